//! Who may open a connection, and with which version of the protocol.

use serde_json::{Value, json};

use super::error;
use crate::support::http::{APP, APP_KEY, ask};
use crate::support::pusher::{QUERY, connect};
use crate::support::{Connect, Pusher, TestServer};

#[tokio::test]
async fn every_version_that_clients_ever_spoke_is_served() {
    let server = TestServer::with(APP).await;
    let mut clients = vec![];
    for query in [
        QUERY,
        "?protocol=6&client=js&version=2.1.4",
        "?protocol=5&client=js&version=1.12.7",
        "?protocol=4",
        "?client=js&version=1.8.6",
        "",
    ] {
        let mut client = Pusher::with_query(&server, query).await;
        // The oldest send no `auth` at all.
        client
            .say("pusher:subscribe", json!({"channel": "news"}))
            .await;
        client
            .expect("pusher_internal:subscription_succeeded")
            .await;
        clients.push(client);
    }
    let open = server.metric("pogo_sessions{protocol=\"pusher\"}").await;
    assert!((open - 6.0).abs() < 0.1, "{open}");
}

#[tokio::test]
async fn what_cannot_be_served_is_told_so_after_the_upgrade() {
    let server = TestServer::with(APP).await;
    for (key, query, code) in [
        ("unknown", QUERY, 4001),
        ("", QUERY, 4001),
        (APP_KEY, "?protocol=3", 4007),
        (APP_KEY, "?protocol=8", 4007),
        (APP_KEY, "?protocol=seven", 4006),
    ] {
        let mut client = connect(key, query).open(&server).await;
        let told = client.next().await;
        assert_eq!(told["event"], "pusher:error", "{query}");
        assert_eq!(told["data"]["code"], code, "{query}");
        let (closed, reason) = client.closed().await;
        assert_eq!(closed, code);
        assert_eq!(told["data"]["message"], reason);
    }
    let label = "pogo_disconnects_total{code=\"4007\"}";
    assert!((server.metric(label).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn any_origin_may_unless_some_are_listed() {
    let foreign = || connect(APP_KEY, QUERY).header("origin", "https://shop.example");
    let server = TestServer::with(APP).await;
    foreign().open(&server).await;
    let native = Connect::new().header("origin", "https://shop.example");
    assert_eq!(native.refused(&server).await, 403);
    let listed = "[edge]\nallowed_origins = ['https://good.example']\n";
    let server = TestServer::with(&format!("{listed}{APP}")).await;
    assert_eq!(foreign().refused(&server).await, 403);
    let good = connect(APP_KEY, QUERY).header("origin", "https://good.example");
    good.open(&server).await;
    connect(APP_KEY, QUERY).open(&server).await;
}

#[tokio::test]
async fn it_is_a_websocket_or_nothing() {
    let server = TestServer::with(APP).await;
    let target = format!("/app/{APP_KEY}{QUERY}");
    assert_eq!(
        ask(&server, "GET", &target, &["connection: close"], "")
            .await
            .status,
        426
    );
    assert_eq!(
        ask(&server, "GET", "/app/a/b", &["connection: close"], "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn binary_frames_are_not_spoken() {
    let server = TestServer::with(APP).await;
    let mut client = Pusher::open(&server).await;
    client
        .send_raw(tokio_tungstenite::tungstenite::Message::binary(vec![1]))
        .await;
    assert_eq!(client.closed().await.0, 1003);
}

#[tokio::test]
async fn an_address_over_its_rate_is_told_and_then_closed() {
    let limits = "[limits]\nallow = []\ncommands = { per_second = 1, burst = 5 }\n\
                  max_refusals = 3\n";
    let server = TestServer::with(&format!("{limits}{APP}")).await;
    let mut client = Pusher::open(&server).await;
    for _ in 0..20 {
        client.say("pusher:ping", json!({})).await;
    }
    for _ in 0..5 {
        client.expect("pusher:pong").await;
    }
    for _ in 0..3 {
        error(&mut client, Value::from(4301)).await;
    }
    assert_eq!(client.closed().await.0, 4100);
}
