//! All encodings say the same: whatever is said or asked in one can be read in the others.

mod reference;
mod words;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::sink::{Key, LETTERS};
use super::*;
use crate::code::ErrorCode;
use crate::publication::Position;

/// Any JSON value, as text with white space and escapes in it.
pub(in crate::protocol) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// What the frame of `event` says, in full words.
fn said(encoding: Encoding, event: &Event<'_>) -> Value {
    let frame = encode(encoding, event);
    let payload = frame::payload(&frame);
    let binary = matches!(encoding, Encoding::MsgPack | Encoding::CompactMsgPack);
    assert_eq!(frame[0], if binary { 0x82 } else { 0x81 });
    let value = if binary {
        rmp_serde::from_slice(payload).expect("MessagePack")
    } else {
        serde_json::from_slice(payload).expect("JSON")
    };
    if encoding.is_compact() {
        in_full(value)
    } else {
        value
    }
}

/// The message that a compact `value` is.
fn in_full(value: Value) -> Value {
    let Value::Object(entries) = value else {
        panic!("a message is a map: {value}")
    };
    let entry = |(key, value): (String, Value)| {
        let known = Key::ALL.iter().find(|known| known.text(true) == key);
        let key = known.map_or(key, |known| known.text(false).to_owned());
        let value = match &*key {
            "event" => name(value.as_str().expect("a name")).into(),
            "status" => if value == 0 { "ok" } else { "error" }.into(),
            "error" => in_full(value),
            _ => value,
        };
        (key, value)
    };
    entries.into_iter().map(entry).collect()
}

fn name(short: &str) -> &str {
    let known = LETTERS.iter().find(|(_, letter)| *letter == short);
    known.map_or_else(|| short.strip_prefix(':').expect("a mark"), |known| known.0)
}

/// `command` as a client writes it.
fn asked(encoding: Encoding, command: &Value) -> Vec<u8> {
    let command = if encoding.is_compact() {
        let entry = |(key, value): (&String, &Value)| {
            let known = Key::ALL.iter().find(|known| known.text(false) == key);
            let key = known.map_or(key.as_str(), |known| known.text(true));
            let value = if key == "e" {
                let event = value.as_str().expect("a name");
                let known = LETTERS.iter().find(|(name, _)| *name == event);
                known
                    .map_or_else(|| format!(":{event}"), |known| known.1.to_owned())
                    .into()
            } else {
                value.clone()
            };
            (key.to_owned(), value)
        };
        command
            .as_object()
            .expect("a map")
            .iter()
            .map(entry)
            .collect::<Map<_, _>>()
            .into()
    } else {
        command.clone()
    };
    match encoding {
        Encoding::MsgPack | Encoding::CompactMsgPack => rmp_serde::to_vec(&command).unwrap(),
        _ => command.to_string().into_bytes(),
    }
}

/// What is read of a message, as one value.
fn read(encoding: Encoding, bytes: &[u8]) -> Result<Value, CloseCode> {
    let message = match encoding {
        Encoding::MsgPack | Encoding::CompactMsgPack => Message::Binary(bytes),
        _ => Message::Text(std::str::from_utf8(bytes).unwrap()),
    };
    let mut scratch = String::new();
    let command = decode(encoding, message, &mut scratch)?;
    let raw = |raw: Option<&serde_json::value::RawValue>| {
        raw.map(|raw| serde_json::from_str::<Value>(raw.get()).expect("JSON"))
    };
    let id = command.id.map(|id| match id {
        RequestId::Number(text) => serde_json::from_str(&text).expect("a number"),
        RequestId::Text(text) => Value::from(text),
    });
    Ok(json!({
        "id": id, "event": command.event, "channel": command.channel, "uri": command.uri,
        "channels": command.channels, "data": raw(command.data), "options": raw(command.options),
        "fault": command.fault.map(|fault| fault.0),
    }))
}

fn id() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
        Just(Value::Null),
        Just(json!([1])),
    ]
}

fn event() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(&LETTERS[..]).prop_map(|(name, _)| name.to_owned()),
        prop::sample::select(&LETTERS[..]).prop_map(|(_, letter)| letter.to_owned()),
        ".{0,8}",
        Just(":a".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_command_is_the_same_in_every_encoding(
        id in id(), event in event(), channel in ".{0,8}", data in any_json(), options in any_json(),
        channels in prop::collection::vec(".{0,4}", 0..3), which in 0_usize..4,
    ) {
        let mut command = json!({"id": id, "event": event, "data": data, "options": options, "other": 1});
        match which {
            0 => command["channel"] = channel.into(),
            1 => command["uri"] = channel.into(),
            2 => command["channels"] = channels.into(),
            _ => {}
        }
        let expected = read(Encoding::Json, &asked(Encoding::Json, &command)).unwrap();
        prop_assert_eq!(&expected["event"], &command["event"]);
        prop_assert_eq!(&expected["data"], &command["data"]);
        for encoding in Encoding::ALL {
            let found = read(encoding, &asked(encoding, &command)).unwrap();
            prop_assert_eq!(&found, &expected, "{:?}", encoding);
        }
    }

    #[test]
    fn an_event_is_the_same_in_every_encoding(
        event in event(), name in ".{0,8}", by_uri: bool, data in any_json(), offset: Option<u64>,
        item in prop::option::of(".{0,4}"), re in prop::option::of(any_json()), id in ".{0,8}",
        epoch in ".{0,4}", http: Option<u16>, recovered: Option<bool>,
    ) {
        let spelling = if by_uri { Spelling::Uri } else { Spelling::Channel };
        let (text, re) = (data.to_string(), re.map(|re| re.to_string()));
        let push = Event::Push {
            event: &event,
            name: Some(Name { spelling, text: &name }),
            data: text.as_bytes(),
            offset,
            item: item.as_deref(),
            re: re.as_deref().map(str::as_bytes),
        };
        let past = [Past {
            event: &event, item: item.as_deref(), data: text.as_bytes(), offset: offset.unwrap_or(0), time: 9,
        }];
        let position = Position { epoch: epoch.into(), offset: offset.unwrap_or(1) };
        let resource = Resource {
            code: http, data: Some(text.as_bytes()), etag: Some(&name), bound: item.as_deref(),
            position: Some(&position), recovered, publications: Some(&past),
        };
        let failure = Failure {
            http, details: Some(text.as_bytes()), outcome_unknown: by_uri,
            ..Failure::new(ErrorCode::Conflict, &name)
        };
        let id = RequestId::Text(id.into());
        let subscribed = Subscribed {
            name: Name { spelling, text: &name }, position: Some(&position), recovered,
            publications: Some(&past),
        };
        let results = [
            SubscribeResult::Ok(subscribed.clone()),
            SubscribeResult::Failed { channel: &name, failure },
        ];
        for event in [
            push,
            Event::Reply { id: &id, reply: Reply::Resource(resource) },
            Event::Reply { id: &id, reply: Reply::Error(failure) },
            Event::Reply { id: &id, reply: Reply::Subscribed(subscribed.clone()) },
            Event::Reply { id: &id, reply: Reply::Results(&results) },
        ] {
            let expected = said(Encoding::Json, &event);
            for encoding in Encoding::ALL {
                prop_assert_eq!(&said(encoding, &event), &expected, "{:?}", encoding);
            }
        }
    }
}

#[test]
fn each_wire_has_a_number_of_its_own() {
    let encodings = Encoding::ALL.into_iter().chain([Encoding::Pusher]);
    let mut numbers = std::collections::BTreeSet::new();
    for encoding in encodings {
        for (spelling, deflate) in [
            (Spelling::Channel, false),
            (Spelling::Channel, true),
            (Spelling::Uri, false),
            (Spelling::Uri, true),
        ] {
            let index = Wire {
                encoding,
                spelling,
                deflate,
            }
            .index();
            assert!(index < Wire::COUNT);
            assert!(numbers.insert(index) || encoding == Encoding::Pusher);
        }
    }
    assert_eq!(numbers.len(), Wire::COUNT);
}
