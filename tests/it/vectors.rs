//! `tests/vectors/`: each kind of message in all four encodings, byte for byte. The files are what
//! the server says and reads; they also follow from the client's own codec here, and the byte
//! counts in `docs/protocol.md` are theirs.

mod said;

use pogo::code::CloseCode;
use pogo::protocol::{Command, Encoding, Message, decode, encode, frame};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::support::{Client, Codec, Connect, TestServer, Token};

/// One message in all encodings: text, or hexadecimal.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    name: String,
    json: String,
    cjson: String,
    msgpack: String,
    cmsgpack: String,
}

/// A message that ends its session.
#[derive(Debug, Deserialize)]
struct Bad {
    name: String,
    protocol: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    binary: Option<String>,
    close: u16,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

impl Vector {
    /// One of which `write` makes the payload.
    fn new(name: &str, write: impl Fn(Encoding) -> Vec<u8>) -> Self {
        let text = |encoding| String::from_utf8(write(encoding)).unwrap();
        Self {
            name: name.into(),
            json: text(Encoding::Json),
            cjson: text(Encoding::CompactJson),
            msgpack: hex(&write(Encoding::MsgPack)),
            cmsgpack: hex(&write(Encoding::CompactMsgPack)),
        }
    }

    fn bytes(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::CompactJson => self.cjson.clone().into(),
            Encoding::MsgPack => unhex(&self.msgpack),
            Encoding::CompactMsgPack => unhex(&self.cmsgpack),
            _ => self.json.clone().into(),
        }
    }

    /// What it says, read by the client's own codec.
    fn meaning(&self, encoding: Encoding) -> Value {
        let codec = Codec::of(encoding.subprotocol());
        let bytes = self.bytes(encoding);
        codec.read(&if codec.binary {
            Frame::binary(bytes)
        } else {
            Frame::text(String::from_utf8(bytes).unwrap())
        })
    }
}

/// What the server reads.
fn commands() -> Vec<Vector> {
    let written = |(name, text): &(&str, &str)| {
        let command: Value = serde_json::from_str(text).unwrap();
        Vector::new(name, |encoding| {
            if encoding == Encoding::Json {
                return text.as_bytes().to_vec();
            }
            let message = Codec::of(encoding.subprotocol()).write(&command);
            message.into_data().to_vec()
        })
    };
    said::COMMANDS.iter().map(written).collect()
}

/// What the server says.
fn events() -> Vec<Vector> {
    let mut vectors = vec![];
    said::events(|name, event| {
        vectors.push(Vector::new(name, |encoding| {
            frame::payload(&encode(encoding, event)).to_vec()
        }));
    });
    vectors
}

fn path(file: &str) -> String {
    format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> Vec<T> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// `cargo test --test it vectors -- --ignored` writes the files anew, to be read before they are
/// committed: clients rely on them.
#[test]
#[ignore = "writes files"]
fn write_the_vectors() {
    for (file, vectors) in [("commands.json", commands()), ("events.json", events())] {
        let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
        std::fs::write(path(file), text).unwrap();
    }
    println!("{}", byte_counts());
}

#[test]
fn the_vectors_are_what_the_server_says_and_clients_write() {
    assert_eq!(read::<Vector>("commands.json"), commands());
    assert_eq!(read::<Vector>("events.json"), events());
}

#[test]
fn each_vector_means_the_same_in_every_encoding() {
    for file in ["commands.json", "events.json"] {
        for vector in read::<Vector>(file) {
            let meaning = vector.meaning(Encoding::Json);
            for encoding in Encoding::ALL {
                assert_eq!(vector.meaning(encoding), meaning, "{}", vector.name);
            }
        }
    }
}

fn shown(command: &Command<'_>) -> String {
    let data = command
        .data
        .map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
    let options = command
        .options
        .map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
    assert!(command.fault.is_none(), "{command:?}");
    format!("{command:?} {data:?} {options:?}")
}

fn message(encoding: Encoding, bytes: &[u8]) -> Message<'_> {
    if Codec::of(encoding.subprotocol()).binary {
        Message::Binary(bytes)
    } else {
        Message::Text(std::str::from_utf8(bytes).unwrap())
    }
}

#[test]
fn the_server_reads_each_command_alike() {
    for vector in read::<Vector>("commands.json") {
        let read = |encoding| {
            let (bytes, mut scratch) = (vector.bytes(encoding), String::new());
            let command = decode(encoding, message(encoding, &bytes), &mut scratch).unwrap();
            shown(&command)
        };
        for encoding in Encoding::ALL {
            assert_eq!(read(encoding), read(Encoding::Json), "{}", vector.name);
        }
    }
}

#[test]
fn what_is_bad_closes_with_its_code() {
    let bad: Vec<Bad> = read("bad.json");
    for bad in bad {
        let encoding = Encoding::of_subprotocol(&bad.protocol).unwrap();
        let bytes = bad.binary.as_deref().map(unhex);
        let message = match (&bad.text, &bytes) {
            (Some(text), None) => Message::Text(text),
            (None, Some(bytes)) => Message::Binary(bytes),
            _ => panic!("{bad:?} is one or the other"),
        };
        let mut scratch = String::new();
        let refused = decode(encoding, message, &mut scratch).map(|_| ());
        assert_eq!(
            refused,
            Err(CloseCode::of(bad.close).unwrap()),
            "{}",
            bad.name
        );
    }
}

#[tokio::test]
async fn what_is_bad_ends_its_session() {
    let server = TestServer::start().await;
    let token = Token::master("ann").sign();
    for bad in read::<Bad>("bad.json") {
        let connect = Connect::new().protocols(&[&bad.protocol]).bearer(&token);
        let (mut client, welcome) = Client::welcomed(&server, &connect).await;
        assert_eq!(welcome["protocol"], bad.protocol);
        let message = match (bad.text, bad.binary) {
            (Some(text), _) => Frame::text(text),
            (None, binary) => Frame::binary(unhex(&binary.unwrap())),
        };
        client.send_raw(message).await;
        assert_eq!(client.closed().await.0, bad.close, "{}", bad.name);
    }
}

/// The table of `docs/protocol.md`.
fn byte_counts() -> String {
    let mut table =
        "| message | `json` | `cjson` | `msgpack` | `cmsgpack` |\n|---|---|---|---|---|\n"
            .to_owned();
    let vectors: [Vec<Vector>; 2] = ["commands.json", "events.json"].map(read);
    for vector in vectors.iter().flatten() {
        if said::COUNTED.contains(&&*vector.name) {
            let count = |encoding| format!(" {} |", vector.bytes(encoding).len());
            let counts: String = Encoding::ALL.map(count).concat();
            table += &format!("| {} |{counts}\n", vector.name);
        }
    }
    table
}

#[test]
fn the_documented_byte_counts_are_those_of_the_vectors() {
    let reference = std::fs::read_to_string(path("../../docs/protocol.md")).unwrap();
    let table = byte_counts();
    assert!(
        reference.contains(&table),
        "docs/protocol.md should have\n{table}"
    );
}
