//! The four encodings from the client's side: a message in full words ↔ a WebSocket message.

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

/// Words of the envelope and their letters, as the contract lists them.
const KEYS: [(&str, &str); 12] = [
    ("id", "i"),
    ("event", "e"),
    ("channel", "c"),
    ("uri", "u"),
    ("data", "d"),
    ("options", "o"),
    ("status", "s"),
    ("error", "x"),
    ("code", "n"),
    ("message", "m"),
    ("offset", "f"),
    ("epoch", "p"),
];
const EVENTS: [(&str, &str); 13] = [
    ("auth", "a"),
    ("bind", "b"),
    ("unbind", "n"),
    ("channel:subscribe", "s"),
    ("channel:unsubscribe", "t"),
    ("index", "l"),
    ("show", "g"),
    ("create", "c"),
    ("update", "u"),
    ("delete", "d"),
    ("channel:presence", "y"),
    ("channel:history", "h"),
    ("ping", "i"),
];

/// How a session writes, from its subprotocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Codec {
    pub compact: bool,
    pub binary: bool,
}

impl Codec {
    pub fn of(subprotocol: &str) -> Self {
        let name = subprotocol.strip_prefix("pogo.v1.").unwrap_or("json");
        Self {
            compact: name.starts_with('c'),
            binary: name.ends_with("msgpack"),
        }
    }

    pub fn write(self, message: &Value) -> Message {
        let message = if self.compact {
            shortened(message)
        } else {
            message.clone()
        };
        if self.binary {
            return Message::binary(rmp_serde::to_vec(&message).unwrap());
        }
        Message::text(message.to_string())
    }

    pub fn read(self, message: &Message) -> Value {
        let value = match message {
            Message::Text(text) if !self.binary => {
                serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
            }
            Message::Binary(bytes) if self.binary => rmp_serde::from_slice(bytes)
                .unwrap_or_else(|error| panic!("no MessagePack, {error}: {bytes:x?}")),
            other => panic!("the wrong kind: {other:?}"),
        };
        if self.compact { in_full(&value) } else { value }
    }
}

/// `message` with letters.
fn shortened(message: &Value) -> Value {
    renamed(
        message,
        |(word, letter)| (word, letter),
        |key, value| match key {
            "e" => {
                let event = value.as_str().unwrap();
                let known = EVENTS.iter().find(|(word, _)| *word == event);
                known
                    .map_or_else(|| format!(":{event}"), |known| known.1.to_owned())
                    .into()
            }
            _ => value.clone(),
        },
    )
}

/// `message` with words.
fn in_full(message: &Value) -> Value {
    renamed(
        message,
        |(word, letter)| (letter, word),
        |key, value| match key {
            "event" => {
                let event = value.as_str().unwrap();
                let known = EVENTS.iter().find(|(_, letter)| *letter == event);
                let marked = || event.strip_prefix(':').expect("a letter or a mark");
                known.map_or_else(marked, |known| known.0).into()
            }
            "status" => ["ok", "error"][usize::try_from(value.as_u64().unwrap()).unwrap()].into(),
            "error" => in_full(value),
            _ => value.clone(),
        },
    )
}

/// The entries of `message` under other keys, each with the value that `change` makes.
fn renamed(
    message: &Value,
    pair: fn((&'static str, &'static str)) -> (&'static str, &'static str),
    change: fn(&str, &Value) -> Value,
) -> Value {
    let entries = message.as_object().expect("a message is a map").iter();
    let entry = |(key, value): (&String, &Value)| {
        let known = KEYS.into_iter().map(pair).find(|(from, _)| from == key);
        let key = known.map_or(key.as_str(), |(_, to)| to);
        (key.to_owned(), change(key, value))
    };
    Value::Object(entries.map(entry).collect())
}
