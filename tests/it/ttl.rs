//! A publication older than its ttl reaches nobody.

use std::time::Duration;

use pogo::control::proto::PublishRequest;
use serde_json::{Value, json};

use crate::support::{Client, TestServer, Token, eventually, publish_request};

const HISTORY: &str = "[[channel]]\npattern = \"h-*\"\nhistory = { size = 100, ttl = \"1m\" }";

fn short_lived(channel: &str, data: &Value, ttl: Duration) -> PublishRequest {
    let ttl = Some(prost_types::Duration::try_from(ttl).unwrap());
    PublishRequest {
        ttl,
        ..publish_request(channel, "e", data)
    }
}

fn data_of(publications: &Value) -> Vec<Value> {
    publications
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["data"].clone())
        .collect()
}

#[tokio::test]
async fn an_expired_publication_is_in_no_history_and_does_not_count_as_missed() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let start = client.subscribe("h-1").await;
    control.publish("h-1", "e", &json!("before")).await;
    control
        .send(short_lived(
            "h-1",
            &json!("short"),
            Duration::from_millis(300),
        ))
        .await;
    control.publish("h-1", "e", &json!("after")).await;
    for expected in ["before", "short", "after"] {
        assert_eq!(client.next().await["data"], expected);
    }
    let history = json!({"event": "channel:history", "channel": "h-1"});
    let page = client.ok(history.clone()).await;
    assert_eq!(
        data_of(&page["publications"]).len(),
        3,
        "alive, it is in history"
    );
    tokio::time::sleep(Duration::from_millis(350)).await;

    let kept = [json!("before"), json!("after")];
    assert_eq!(data_of(&client.ok(history).await["publications"]), kept);
    let again = |options: Value| json!({"event": "channel:subscribe", "channel": "h-1", "options": options});
    let recover = json!({"recover": {"epoch": start["epoch"], "offset": 0}});
    let data = client.ok(again(recover)).await;
    assert_eq!(
        data["recovered"], true,
        "a hole that the ttl made is no loss: {data}"
    );
    assert_eq!(data_of(&data["publications"]), kept);
    let data = client.ok(again(json!({"rewind": 10}))).await;
    assert_eq!(data_of(&data["publications"]), kept);
    assert_eq!(data["offset"], 3);
}

#[tokio::test]
async fn an_expired_publication_does_not_leave_the_mailbox() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    client.subscribe("news").await;
    // What the kernel takes is out of the server's hands: fill its buffers first, unread.
    let filler = json!("x".repeat(60_000));
    let mut waiting = 0.0;
    let mut sent = 0;
    while waiting < 200_000.0 && sent < 400 {
        control.publish("news", "fill", &filler).await;
        sent += 1;
        waiting = server.metric("pogo_mailbox_bytes").await;
    }
    assert!(waiting >= 200_000.0, "the mailbox fills: {waiting}");
    let before = server.metric("pogo_expired_publications_total").await;
    control
        .send(short_lived(
            "news",
            &json!("short"),
            Duration::from_millis(50),
        ))
        .await;
    control.publish("news", "end", &json!(null)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    loop {
        let push = client.next().await;
        assert_ne!(push["data"], "short", "it came after its ttl");
        if push["event"] == "end" {
            break;
        }
    }
    eventually("the metric counts it", || async {
        let now = server.metric("pogo_expired_publications_total").await;
        (now >= before + 1.0).then_some(())
    })
    .await;
}
