//! permessage-deflate on real sockets: who gets it, and what hostile senders of it get.

use serde_json::{Value, json};
use zlib_rs::{DeflateConfig, InflateConfig, ReturnCode, compress_slice, decompress_slice};

use crate::support::process::Process;
use crate::support::raw::{CONTINUATION, Raw, TEXT, upgrade, whole};
use crate::support::{Client, TestServer, Token};

const ON: &str = "edge.compression = true";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
const COMPRESSED: u8 = 0x40;

/// `text` as one compressed message.
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut room = vec![0; text.len() + 1_000];
    let config = DeflateConfig {
        window_bits: -15,
        ..DeflateConfig::default()
    };
    let (bytes, code) = compress_slice(&mut room, text, config);
    assert_eq!(code, ReturnCode::Ok);
    // It ends with a last block: the start of an empty one follows (RFC 7692, 7.2.3.4).
    [&*bytes, &[0]].concat()
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    // The end of the flush, which is not sent, and a last block.
    let whole = [bytes, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut room = vec![0; 100_000];
    let (text, code) = decompress_slice(&mut room, &whole, InflateConfig { window_bits: -12 });
    assert_eq!(code, ReturnCode::Ok, "{bytes:x?}");
    text.to_vec()
}

/// A WebSocket whose handshake offered `offer`, and the head that answered it.
async fn offering(server: &TestServer, offer: &str) -> (Raw, String) {
    let mut raw = Raw::connect(server.edge()).await;
    let bearer = format!("Authorization: Bearer {}", Token::master("ann").sign());
    let head = raw.request(&upgrade("/ws", &[offer, &bearer])).await;
    assert_eq!(head.status, 101, "{}", head.text);
    (raw, head.text)
}

/// The next message, inflated if it was compressed, and whether it was.
async fn message(raw: &mut Raw) -> (Value, bool) {
    let (first, payload) = raw.receive().await;
    let compressed = first & COMPRESSED != 0;
    assert_eq!(first & !COMPRESSED, whole(TEXT));
    let text = if compressed {
        inflated(&payload)
    } else {
        payload
    };
    (serde_json::from_slice(&text).unwrap(), compressed)
}

#[tokio::test]
async fn it_is_given_to_who_offers_it_where_it_is_on() {
    let off = TestServer::start().await;
    let (mut raw, head) = offering(&off, OFFER).await;
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    raw.frame(whole(TEXT) | COMPRESSED, &deflated(b"{}")).await;
    assert_eq!(raw.closed().await, Some(1002), "it was not negotiated");

    let on = TestServer::with(ON).await;
    for offer in [
        "X-Nothing: offered",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9",
    ] {
        let (mut raw, head) = offering(&on, offer).await;
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        raw.frame(whole(TEXT) | COMPRESSED, &deflated(b"{}")).await;
        assert_eq!(raw.closed().await, Some(1002), "{offer}");
    }
    let (_raw, head) = offering(&on, OFFER).await;
    let granted = "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
                   client_no_context_takeover\r\n";
    assert!(head.contains(granted), "{head}");
    let mut raw = Raw::connect(on.edge()).await;
    let malformed = "Sec-WebSocket-Extensions: permessage-deflate; =";
    let head = raw.request(&upgrade("/ws", &[malformed])).await;
    assert_eq!(head.status, 400);
}

#[tokio::test]
async fn publications_are_compressed_for_them_and_commands_inflated() {
    let server = TestServer::with(ON).await;
    let (mut raw, _) = offering(&server, OFFER).await;
    assert_eq!(message(&mut raw).await.0["event"], "pogo:welcome");
    let subscribe = br#"{"id":1,"event":"channel:subscribe","channel":"open-1"}"#;
    let bytes = deflated(subscribe);
    // In three fragments, of which the first says that all are compressed.
    raw.frame(TEXT | COMPRESSED, &bytes[..5]).await;
    raw.frame(CONTINUATION, &bytes[5..6]).await;
    raw.frame(whole(CONTINUATION), &bytes[6..]).await;
    let (reply, compressed) = message(&mut raw).await;
    assert_eq!((&reply["status"], compressed), (&json!("ok"), false));
    let mut plain = Client::with(server.edge(), &Token::master("bob").sign()).await;
    plain
        .ok(json!({"event": "channel:subscribe", "channel": "open-1"}))
        .await;

    let mut control = server.control().await;
    let data: Vec<Value> = (0..100)
        .map(|n| json!({"id": n, "name": "grüße"}))
        .collect();
    for (data, expected) in [(json!(data), true), (json!("short"), false)] {
        control.publish("open-1", "rows", &data).await;
        let (push, compressed) = message(&mut raw).await;
        assert_eq!(compressed, expected);
        assert_eq!(push["data"], data);
        assert_eq!(push, plain.next().await);
    }
    let before = "pogo_compression_bytes_total{what=\"publications_before\"}";
    let after = "pogo_compression_bytes_total{what=\"publications_after\"}";
    let (before, after) = (server.metric(before).await, server.metric(after).await);
    assert!(after > 0.0 && after < before / 3.0, "{before} → {after}");
    assert_eq!(server.metric("pogo_compressed_sessions").await, 1.0);
    let commands = "pogo_compression_bytes_total{what=\"commands_after\"}";
    assert_eq!(server.metric(commands).await, subscribe.len() as f64);
}

#[tokio::test]
async fn what_does_not_inflate_is_closed() {
    let server = TestServer::with(ON).await;
    let bomb = deflated(&vec![b' '; 50 << 20]);
    let one_too_many = deflated(&vec![b' '; 65_537]);
    let cut = &deflated(br#"{"event":"ping","event":"ping"}"#)[..10];
    for (why, expected, first, bytes) in [
        ("a bomb", 1009, TEXT, &bomb[..]),
        ("one byte too many", 1009, TEXT, &one_too_many),
        ("no deflate", 1002, TEXT, b"\xff\xff\xff"),
        ("cut short", 1002, TEXT, cut),
        ("bad UTF-8", 1007, TEXT, &deflated(b"\"\xff\"")),
        ("binary", 1003, 2, &deflated(b"{}")),
        ("no command", 4000, TEXT, &[0]),
    ] {
        let (mut raw, _) = offering(&server, OFFER).await;
        raw.frame(whole(first) | COMPRESSED, bytes).await;
        assert_eq!(raw.closed().await, Some(expected), "{why}");
    }
}

#[tokio::test]
async fn beyond_the_rate_only_small_commands_are_inflated() {
    let rate =
        "edge.compression = true\n[limits]\nallow = []\ncommands = { per_second = 1, burst = 2 }";
    let server = TestServer::with(rate).await;
    // It does not shrink: a large message stays one.
    let noise: Vec<String> = (0..2_000_u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7).to_string())
        .collect();
    let large = deflated(
        json!({"id": 9, "event": "ping", "x": noise})
            .to_string()
            .as_bytes(),
    );
    let small = deflated(br#"{"id":9,"event":"ping"}"#);
    assert!(large.len() > 10_000);
    let (mut raw, _) = offering(&server, OFFER).await;
    message(&mut raw).await;
    raw.frame(whole(TEXT) | COMPRESSED, &large).await;
    assert_eq!(message(&mut raw).await.0["status"], "ok");
    let refused = loop {
        raw.frame(whole(TEXT) | COMPRESSED, &small).await;
        let reply = message(&mut raw).await.0;
        if reply["status"] == "error" {
            break reply;
        }
    };
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(9), &json!("rate_limited"))
    );
    raw.frame(whole(TEXT) | COMPRESSED, &large).await;
    assert_eq!(raw.closed().await, Some(4102));
}

#[tokio::test]
async fn bombs_leave_no_memory_behind() {
    let process = Process::start(ON, None).await;
    let bomb = deflated(&vec![b' '; 60 << 20]);
    assert!(bomb.len() < 65_536, "{}", bomb.len());
    let before = process.memory();
    let mut held = vec![];
    for _ in 0..200 {
        let mut raw = Raw::connect(process.edge).await;
        let head = raw.request(&upgrade("/ws", &[OFFER])).await;
        assert_eq!(head.status, 101, "{}", head.text);
        raw.frame(whole(TEXT) | COMPRESSED, &bomb).await;
        assert_eq!(raw.closed().await, Some(1009));
        held.push(raw);
    }
    let mut client = Client::with(process.edge, &Token::of("probe").sign()).await;
    client.ok(json!({"event": "ping"})).await;
    let grown = process.memory().saturating_sub(before);
    assert!(grown < 12 << 10, "{grown} KiB");
}
