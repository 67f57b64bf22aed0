//! WebSocket frames as no good client sends them, and the close code for each.

use crate::support::TestServer;
use crate::support::raw::{CLOSE, CONTINUATION, PING, Raw, TEXT, frame, whole};

#[tokio::test]
async fn each_broken_frame_has_its_close_code() {
    let server = TestServer::start().await;
    let unmasked = vec![whole(TEXT), 2, b'{', b'}'];
    let long_ping = frame(whole(PING), &[0; 126]);
    let too_large = [
        &[whole(TEXT), 0x80 | 127][..],
        &30_000_000_u64.to_be_bytes(),
        &[0; 4],
    ]
    .concat();
    let split = |second: &[u8]| [frame(TEXT, b"{\"event\":\"").as_slice(), second].concat();
    for (why, expected, bytes) in [
        ("not masked", 1002, unmasked),
        ("a reserved bit", 1002, frame(whole(TEXT) | 0x40, b"{}")),
        ("a reserved opcode", 1002, frame(whole(3), b"{}")),
        ("a reserved control opcode", 1002, frame(whole(11), b"")),
        ("a ping in fragments", 1002, frame(PING, b"x")),
        ("a ping too long", 1002, long_ping),
        (
            "a continuation of nothing",
            1002,
            frame(whole(CONTINUATION), b"x"),
        ),
        (
            "a text within a text",
            1002,
            split(&frame(whole(TEXT), b"{}")),
        ),
        ("bad UTF-8", 1007, frame(whole(TEXT), b"\"\xff\"")),
        ("a surrogate", 1007, frame(whole(TEXT), b"\"\xed\xa0\x80\"")),
        ("half a character", 1007, frame(whole(TEXT), b"\"\xe2\x82")),
        (
            "bad UTF-8 in a fragment",
            1007,
            split(&frame(whole(CONTINUATION), b"\xc0\xaf")),
        ),
        ("declared too large", 1009, too_large),
        (
            "a close code of nobody",
            1002,
            frame(whole(CLOSE), &999_u16.to_be_bytes()),
        ),
        ("a close of one byte", 1002, frame(whole(CLOSE), b"x")),
        (
            "a close reason that is no text",
            1007,
            frame(whole(CLOSE), b"\x03\xe8\xff"),
        ),
    ] {
        let mut raw = Raw::upgraded(server.edge()).await;
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, Some(expected), "{why}");
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_own_code() {
    let server = TestServer::start().await;
    let mut raw = Raw::upgraded(server.edge()).await;
    raw.frame(whole(CLOSE), &1000_u16.to_be_bytes()).await;
    assert_eq!(raw.closed().await, Some(1000));
    raw.ended().await;
}

#[tokio::test]
async fn fragments_make_a_message_and_a_ping_between_them_is_answered() {
    let server = TestServer::start().await;
    let mut raw = Raw::upgraded(server.edge()).await;
    for (first, part) in [
        (TEXT, &b"{\"id\":1,"[..]),
        (whole(PING), b"?"),
        (CONTINUATION, b"\"event\":"),
        (whole(CONTINUATION), b"\"ping\"}"),
        (whole(TEXT), b"[]"),
    ] {
        raw.frame(first, part).await;
    }
    assert_eq!(
        raw.closed().await,
        Some(4000),
        "the first message was a command, the last none"
    );
}

#[tokio::test]
async fn floods_are_cut() {
    let server = TestServer::start().await;
    let mut fragments = Raw::upgraded(server.edge()).await;
    fragments.frame(TEXT, b"{").await;
    let empty = frame(CONTINUATION, b"").repeat(200);
    for _ in 0..500 {
        if !fragments.write(&empty).await {
            break;
        }
    }
    let code = fragments.closed().await;
    assert!(matches!(code, Some(1008) | None), "{code:?}");

    let mut pings = Raw::upgraded(server.edge()).await;
    let ping = frame(whole(PING), b"x").repeat(100);
    for _ in 0..2_000 {
        if !pings.write(&ping).await {
            break;
        }
    }
    let code = pings.closed().await;
    assert!(matches!(code, Some(1008) | None), "{code:?}");
}

#[tokio::test]
async fn a_declared_size_reserves_nothing() {
    let server = TestServer::start().await;
    let mut waiting = vec![];
    for _ in 0..100 {
        let mut raw = Raw::upgraded(server.edge()).await;
        raw.write(&[whole(TEXT), 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0])
            .await;
        waiting.push(raw);
    }
    for raw in &mut waiting {
        raw.write(&vec![b' '; 0xffff]).await;
        assert_eq!(
            raw.closed().await,
            Some(4000),
            "65,535 bytes are a message, if an empty one"
        );
    }
}
