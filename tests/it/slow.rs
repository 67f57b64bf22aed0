//! Who reads too slowly is cut or loses the oldest, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Control, PATIENCE, TestServer, Token};

/// Enough to fill the kernel's buffers and the mailbox of a client that does not read.
const FLOOD: usize = 300;

async fn flood(control: &mut Control, channel: &str, reader: &mut Client) {
    let filler = "x".repeat(60_000);
    for n in 0..FLOOD {
        control.publish(channel, "e", &json!([n, filler])).await;
        let push = reader.next().await;
        assert_eq!(push["data"][0], n, "the reader misses nothing");
    }
}

#[tokio::test]
async fn a_stalled_reader_is_disconnected_and_others_get_all() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut stalled = Client::with(&server, &Token::of("slow").sign()).await;
    let mut reader = Client::with(&server, &Token::of("quick").sign()).await;
    stalled.subscribe("news").await;
    reader.subscribe("news").await;
    let begun = Instant::now();
    flood(&mut control, "news", &mut reader).await;
    assert!(
        begun.elapsed() < PATIENCE,
        "one stalled reader holds nobody up"
    );
    // Its own close frame may find no room in a full socket; the count tells.
    let cut = "pogo_disconnects_total{code=\"4101\"}";
    crate::support::eventually("it is cut", || async {
        (server.metric(cut).await >= 1.0).then_some(())
    })
    .await;
    let (code, _) = stalled.closed().await;
    assert!(code == 4101 || code == 1006, "{code}");
    assert_eq!(control.publish("news", "e", &json!(0)).await.receivers, 1);
}

#[tokio::test]
async fn a_channel_may_drop_the_oldest_and_say_so() {
    let settings = r#"
        [[channel]]
        pattern = "ticks"
        slow = "drop_oldest"
        history = { size = 10, ttl = "1m" }
    "#;
    let server = TestServer::with(settings).await;
    let mut control = server.control().await;
    let mut stalled = Client::with(&server, &Token::of("slow").sign()).await;
    let mut reader = Client::with(&server, &Token::of("quick").sign()).await;
    let start = stalled.subscribe("ticks").await;
    reader.subscribe("ticks").await;
    flood(&mut control, "ticks", &mut reader).await;
    control.publish("ticks", "end", &json!([FLOOD])).await;

    let mut last = 0;
    let mut gaps: Vec<Value> = vec![];
    loop {
        let push = stalled.next().await;
        if push["event"] == "pogo:gap" {
            assert_eq!(
                (&push["channel"], &push["data"]["epoch"]),
                (&json!("ticks"), &start["epoch"])
            );
            let before = push["data"]["offset"].as_u64().unwrap();
            assert_eq!(before, last, "the position before the loss");
            gaps.push(push);
            continue;
        }
        let offset = push["offset"].as_u64().unwrap();
        assert!(offset > last, "never back: {offset} after {last}");
        if offset != last + 1 {
            assert!(
                !gaps.is_empty(),
                "a hole from {last} to {offset} without a gap"
            );
        }
        last = offset;
        if push["event"] == "end" {
            break;
        }
    }
    assert!(!gaps.is_empty(), "so much was dropped that a gap was told");
    assert_eq!(last, FLOOD as u64 + 1, "the newest is kept");
    stalled.silent_for(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn stalled_readers_hold_no_more_than_the_nodes_mailboxes_may() {
    const CAP: usize = 2 << 20;
    const ROUND: usize = 4 * 61_000;
    let settings = format!("edge.mailbox_total_bytes = {CAP}\nedge.mailbox_bytes = {CAP}");
    let server = TestServer::with(&settings).await;
    let mut control = server.control().await;
    let mut stalled = Vec::new();
    for n in 0..3 {
        let mut client = Client::with(&server, &Token::of(&format!("slow-{n}")).sign()).await;
        client.subscribe("news").await;
        stalled.push(client);
    }
    let mut reader = Client::with(&server, &Token::of("quick").sign()).await;
    reader.subscribe("news").await;
    let filler = "x".repeat(60_000);
    let (mut most, mut receivers) = (0, 4);
    for n in 0..FLOOD {
        let published = control.publish("news", "e", &json!([n, filler])).await;
        receivers = published.receivers.min(receivers);
        assert_eq!(
            reader.next().await["data"][0],
            n,
            "the reader misses nothing"
        );
        most = (server.metric("pogo_mailbox_bytes").await as usize).max(most);
    }
    assert!(most > CAP / 2, "they were stalled: {most}");
    assert!(most <= CAP + ROUND, "{most} bytes in mailboxes");
    assert!(receivers < 4, "the largest was cut");
}
