//! Many at once, and clients that never read: everybody else goes on.

use std::time::Duration;

use futures_util::future::join_all;
use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::{
    AllowRequest, DenyRequest, PublishStreamRequest, RevokeSessionsRequest, SubscribeRequest,
    WatchRequest,
};
use serde_json::json;
use tonic::Code;

use crate::support::{Client, Connect, PATIENCE, TestServer, Token, eventually, publish_request};

#[tokio::test]
async fn hundreds_of_sessions_are_revoked_at_once() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let token = Token::of("mallory").sign();
    let mut crowd = join_all((0..400).map(|_| Client::with(&server, &token))).await;
    let mut other = Client::with(&server, &Token::of("alice").sign()).await;
    let revocation = RevokeSessionsRequest {
        target: Some(Target::Subject("mallory".into())),
        ..RevokeSessionsRequest::default()
    };
    let (done, ()) = tokio::join!(control.revoke(revocation), async {
        for _ in 0..20 {
            let asked = std::time::Instant::now();
            other.ok(json!({"event": "ping"})).await;
            assert!(
                asked.elapsed() < Duration::from_secs(2),
                "{:?}",
                asked.elapsed()
            );
        }
    });
    assert_eq!(done.sessions_closed, 400);
    for closed in join_all(crowd.iter_mut().map(Client::closed)).await {
        assert_eq!(closed.0, 4002);
    }
}

#[tokio::test]
async fn everybody_may_be_denied_and_allowed_again() {
    let server = TestServer::builder()
        .without("limits", "allow")
        .start()
        .await;
    let mut control = server.control().await;
    let mut session = Client::with(&server, &Token::of("a").sign()).await;
    let all = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let deny = DenyRequest {
        addresses: all(),
        ..DenyRequest::default()
    };
    assert_eq!(
        control
            .firewall
            .deny(deny)
            .await
            .unwrap()
            .into_inner()
            .sessions_closed,
        1
    );
    assert_eq!(session.closed().await, (4003, "forbidden".into()));
    assert_eq!(Connect::new().refused(&server).await, 403);
    control
        .firewall
        .allow(AllowRequest { addresses: all() })
        .await
        .unwrap();
    Client::with(&server, &Token::of("a").sign()).await;
}

/// Streams whose clients do not read: the publisher, the sessions and the others go on.
#[tokio::test]
async fn streams_that_nobody_reads_hold_nobody_up() {
    let settings = "[hub]\nmax_watchers = 10\nwatcher_bytes = 131072\n[events]\ncapacity = 100";
    let server = TestServer::with(settings).await;
    let mut control = server.control().await;
    let mut reader = Client::with(&server, &Token::of("a").sign()).await;
    reader.subscribe("news").await;
    let everything = || SubscribeRequest {
        channels: vec!["**".into()],
        ..SubscribeRequest::default()
    };
    // On connections of their own: what is not read stops all of a connection.
    let (mut unread, mut events, mut idle) = (vec![], vec![], vec![]);
    for _ in 0..10 {
        let mut lazy = server.control().await;
        unread.push(lazy.channels.subscribe(everything()).await.unwrap());
        events.push(lazy.events.watch(WatchRequest::default()).await.unwrap());
        idle.push(lazy);
    }
    let refused = control.channels.subscribe(everything()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    // Replies that nobody reads stop the stream, and only the stream.
    let endless = tokio_stream::iter((0..200_000).map(|sequence| PublishStreamRequest {
        sequence,
        publish: Some(publish_request("elsewhere", &"e".repeat(200), &json!(1))),
    }));
    let replies = idle[0].publisher.publish_stream(endless).await.unwrap();

    let filler = "x".repeat(60_000);
    for n in 0..100 {
        control.publish("news", "e", &json!([n, filler])).await;
        assert_eq!(reader.next().await["data"][0], n);
    }
    for n in 0..200 {
        reader.subscribe(&format!("c{n}")).await;
    }
    drop((unread, events, replies));
    eventually("there is room again", || {
        let mut channels = control.channels.clone();
        let request = everything();
        async move { channels.subscribe(request).await.ok() }
    })
    .await;
}

#[tokio::test]
async fn full_stores_refuse_and_evict_nothing_that_is_in_use() {
    let settings = r#"
        [broker]
        max_channels = 100
        max_idempotency_keys = 50
        [node]
        leave_delay = "20ms"
        sweep_interval = "10ms"
    "#;
    let server = TestServer::with(settings).await;
    let mut control = server.control().await;
    let mut first = Client::with(&server, &Token::of("a").sign()).await;
    first.subscribe("mine").await;
    let mut greedy = Client::with(&server, &Token::of("b").sign()).await;
    let names: Vec<_> = (0..300).map(|n| format!("c{n}")).collect();
    let subscribe = json!({"event": "channel:subscribe", "channels": names});
    let results = greedy.ok(subscribe).await["results"].clone();
    let refused = |row: &&serde_json::Value| row["error"]["code"] == "limit_exceeded";
    assert_eq!(
        results.as_array().unwrap().iter().filter(refused).count(),
        201
    );
    assert_eq!(control.publish("mine", "e", &json!(1)).await.receivers, 1);
    first.expect("e").await;
    greedy.close().await;
    let more = json!({"event": "channel:subscribe", "channel": "more"});
    let since = std::time::Instant::now();
    while first.command(more.clone()).await["status"] != "ok" {
        assert!(since.elapsed() < PATIENCE, "there is never room again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let keyed = |n: u32| {
        let mut request = publish_request("mine", "e", &json!(n));
        request.idempotency_key = Some(format!("key {n}"));
        request
    };
    for n in 0..50 {
        control.send(keyed(n)).await;
    }
    let refused = control.publisher.publish(keyed(50)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        control.send(keyed(0)).await.deduplicated,
        "what is kept is kept"
    );
    control.publish("mine", "e", &json!("without a key")).await;
}

#[tokio::test]
async fn histories_share_their_bytes_and_whoever_lost_some_is_told() {
    let settings = r#"
        broker.history_bytes = 131072
        [[channel]]
        pattern = "log-*"
        history = { size = 10, ttl = "1m" }
    "#;
    let server = TestServer::with(settings).await;
    let mut control = server.control().await;
    let mut at = vec![];
    for n in 0..60 {
        let data = json!("x".repeat(10_000));
        let receipt = control.publish(&format!("log-{n}"), "e", &data).await;
        at.push(receipt.position.unwrap());
    }
    let mut late = Client::with(&server, &Token::of("c").sign()).await;
    let mut whole = 0;
    for (n, at) in at.iter().enumerate() {
        let options = json!({"recover": {"epoch": at.epoch, "offset": at.offset - 1}});
        let channel = format!("log-{n}");
        let recover = json!({"event": "channel:subscribe", "channel": channel, "options": options});
        let data = late.ok(recover).await;
        let publications = data["publications"].as_array().map_or(0, Vec::len);
        assert_eq!(data["recovered"] == true, publications == 1, "{channel}");
        whole += publications;
    }
    assert!((1..=13).contains(&whole), "{whole} of 10 kB in 128 KiB");
}
