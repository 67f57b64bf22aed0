//! Channels: fan-out, order, positions, history, recovery and rewind.

use pogo::control::proto::{ListChannelsRequest, PublishRequest, ReadHistoryRequest};
use serde_json::{Value, json};

use crate::support::{Client, Connect, TestServer, Token, publish_request};

const HISTORY: &str = "[[channel]]\npattern = \"h-*\"\nhistory = { size = 5, ttl = \"1m\" }";

fn subscribe(channel: &str, options: Value) -> Value {
    json!({"event": "channel:subscribe", "channel": channel, "options": options})
}

fn offsets(publications: &Value) -> Vec<u64> {
    publications
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["offset"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_services_publication_reaches_every_subscriber() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut clients = vec![];
    for n in 0..5 {
        let mut client = Client::with(&server, &Token::of(&format!("s{n}")).sign()).await;
        client.subscribe("news").await;
        clients.push(client);
    }
    let mut elsewhere = Client::with(&server, &Token::of("x").sign()).await;
    elsewhere.subscribe("newsletter").await;
    for n in 0..20 {
        let receipt = control.publish("news", "tick", &json!(n)).await;
        assert_eq!((receipt.receivers, receipt.channel.as_str()), (5, "news"));
        assert!(receipt.position.is_none(), "no history, no position");
    }
    for client in &mut clients {
        for n in 0..20 {
            assert_eq!(
                client.next().await,
                json!({"event": "tick", "channel": "news", "data": n})
            );
        }
    }
    elsewhere.quiet().await;
    assert!(server.metric("pogo_publications_total").await >= 20.0);
    assert!(server.metric("pogo_deliveries_total").await >= 100.0);
}

#[tokio::test]
async fn one_call_may_name_many_channels_and_leave_one_session_out() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let connect = Connect::new().token(&Token::of("a").sign());
    let (mut left_out, welcome) = Client::welcomed(&server, &connect).await;
    let mut taken = Client::with(&server, &Token::of("b").sign()).await;
    for client in [&mut left_out, &mut taken] {
        client.subscribe("x").await;
        client.subscribe("y").await;
    }
    let request = PublishRequest {
        channels: vec!["x".into(), "y".into()],
        exclude_session: Some(welcome["session"].as_str().unwrap().into()),
        ..publish_request("", "e", &json!(1))
    };
    let receipts = control
        .publisher
        .publish(request)
        .await
        .unwrap()
        .into_inner()
        .receipts;
    let told: Vec<_> = receipts
        .iter()
        .map(|receipt| receipt.channel.as_str())
        .collect();
    assert_eq!(told, ["x", "y"]);
    assert_eq!(taken.next().await["channel"], "x");
    assert_eq!(taken.next().await["channel"], "y");
    left_out.quiet().await;
}

#[tokio::test]
async fn a_bad_call_publishes_nothing_at_all() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    client.subscribe("good").await;
    let good = publish_request("good", "e", &json!(1));
    for bad in [
        PublishRequest {
            channels: vec!["good".into(), "b a d".into()],
            ..good.clone()
        },
        PublishRequest {
            channels: vec![],
            ..good.clone()
        },
        PublishRequest {
            event: "pogo:x".into(),
            ..good.clone()
        },
        PublishRequest {
            data: "{not json".into(),
            ..good.clone()
        },
        PublishRequest {
            data: format!("\"{}\"", "x".repeat(65_536)).into(),
            ..good.clone()
        },
        PublishRequest {
            exclude_session: Some("nobody".into()),
            ..good.clone()
        },
    ] {
        let status = control.publisher.publish(bad.clone()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{bad:?}");
    }
    client.quiet().await;
}

#[tokio::test]
async fn positions_grow_one_by_one_and_history_keeps_the_last() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let start = client.subscribe("h-1").await;
    assert_eq!(start["offset"], 0);
    for n in 1..=8_u64 {
        let position = control
            .publish("h-1", "e", &json!(n))
            .await
            .position
            .unwrap();
        assert_eq!(
            (&json!(position.epoch), position.offset),
            (&start["epoch"], n)
        );
        let push = client.next().await;
        assert_eq!(
            push,
            json!({"event": "e", "channel": "h-1", "data": n, "offset": n})
        );
    }
    let history =
        |options: Value| json!({"event": "channel:history", "channel": "h-1", "options": options});
    let all = client.ok(history(json!({}))).await;
    assert_eq!(
        (&all["epoch"], &all["offset"]),
        (&start["epoch"], &json!(8))
    );
    assert_eq!(offsets(&all["publications"]), [4, 5, 6, 7, 8]);
    assert_eq!(all["publications"][0]["data"], 4);
    assert!(all["publications"][0]["time"].as_u64().unwrap() > 1_600_000_000_000);
    let from = json!({"epoch": start["epoch"], "offset": 6});
    for (options, expected) in [
        (json!({"limit": 2}), vec![4, 5]),
        (json!({"limit": 2, "reverse": true}), vec![8, 7]),
        (json!({"from": from}), vec![7, 8]),
        (json!({"from": from, "reverse": true}), vec![5, 4]),
        (json!({"limit": 0}), vec![]),
    ] {
        let page = client.ok(history(options.clone())).await;
        assert_eq!(offsets(&page["publications"]), expected, "{options}");
    }
    let request = ReadHistoryRequest {
        channel: "h-1".into(),
        limit: 2,
        ..Default::default()
    };
    let page = control
        .channels
        .read_history(request)
        .await
        .unwrap()
        .into_inner();
    let read: Vec<_> = page
        .publications
        .iter()
        .map(|p| p.position.clone().unwrap().offset)
        .collect();
    assert_eq!((read, page.position.unwrap().offset), (vec![4, 5], 8));
}

#[tokio::test]
async fn recovery_brings_exactly_what_was_missed() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let token = Token::of("a").sign();
    let mut client = Client::with(&server, &token).await;
    let epoch = client.subscribe("h-1").await["epoch"].clone();
    for n in 1..=3 {
        control.publish("h-1", "e", &json!(n)).await;
        client.next().await;
    }
    client.close().await;
    for n in 4..=6 {
        control.publish("h-1", "e", &json!(n)).await;
    }
    let recover = |epoch: &Value, offset: u64| {
        subscribe(
            "h-1",
            json!({"recover": {"epoch": epoch, "offset": offset}}),
        )
    };
    let mut client = Client::with(&server, &token).await;
    let data = client.ok(recover(&epoch, 3)).await;
    assert_eq!(
        (&data["recovered"], &data["offset"]),
        (&json!(true), &json!(6))
    );
    assert_eq!(offsets(&data["publications"]), [4, 5, 6]);
    control.publish("h-1", "e", &json!(7)).await;
    assert_eq!(client.next().await["offset"], 7);

    let nothing = client.ok(recover(&epoch, 7)).await;
    assert_eq!(
        (&nothing["recovered"], &nothing["publications"]),
        (&json!(true), &json!([]))
    );
    for (why, epoch, offset) in [
        ("too old", &epoch, 1),
        ("another epoch", &json!("zzzzzzzz"), 6),
        ("the future", &epoch, 99),
    ] {
        let data = client.ok(recover(epoch, offset)).await;
        assert_eq!(
            (&data["recovered"], &data["offset"]),
            (&json!(false), &json!(7)),
            "{why}"
        );
        assert!(
            data.get("publications")
                .is_none_or(|list| list == &json!([])),
            "{why}: {data}"
        );
    }
}

#[tokio::test]
async fn rewind_brings_the_last_ones() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    for n in 1..=4 {
        control.publish("h-1", "e", &json!(n)).await;
    }
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let data = client.ok(subscribe("h-1", json!({"rewind": 2}))).await;
    assert_eq!(offsets(&data["publications"]), [3, 4]);
    let data = client.ok(subscribe("h-1", json!({"rewind": 100}))).await;
    assert_eq!(offsets(&data["publications"]), [1, 2, 3, 4]);
    let many = json!({"event": "channel:subscribe", "channels": ["h-1", "h-2"],
        "options": {"recover": {"h-1": {"epoch": data["epoch"], "offset": 1}}}});
    let results = client.ok(many).await["results"].clone();
    assert_eq!(offsets(&results[0]["publications"]), [2, 3, 4]);
    assert!(results[1].get("recovered").is_none(), "{results}");
    assert_eq!(
        client.error(subscribe("h-1", json!({"rewind": -1}))).await,
        "bad_request"
    );
}

#[tokio::test]
async fn what_skips_history_is_delivered_and_not_kept() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    client.subscribe("h-1").await;
    control
        .send(PublishRequest {
            skip_history: true,
            ..publish_request("h-1", "e", &json!("gone"))
        })
        .await;
    control.publish("h-1", "e", &json!("kept")).await;
    assert_eq!(client.next().await["data"], "gone");
    assert_eq!(client.next().await["data"], "kept");
    let page = client
        .ok(json!({"event": "channel:history", "channel": "h-1"}))
        .await;
    let kept: Vec<_> = page["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["data"])
        .collect();
    assert_eq!(kept, ["kept"]);
}

#[tokio::test]
async fn an_idempotency_key_publishes_once() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    client.subscribe("h-1").await;
    let request = PublishRequest {
        idempotency_key: Some("order-81".into()),
        ..publish_request("h-1", "e", &json!(1))
    };
    let first = control.send(request.clone()).await;
    let again = control.send(request.clone()).await;
    assert!(!first.deduplicated && again.deduplicated);
    assert_eq!(first.position, again.position);
    client.next().await;
    client.quiet().await;
    let elsewhere = PublishRequest {
        channels: vec!["h-2".into()],
        ..request
    };
    assert!(
        !control.send(elsewhere).await.deduplicated,
        "another channel"
    );
}

#[tokio::test]
async fn channels_are_listed_by_pattern_and_page() {
    let server = TestServer::with(HISTORY).await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    for n in 0..5 {
        client.subscribe(&format!("list-{n}")).await;
    }
    control.publish("h-9", "e", &json!(1)).await;
    let mut found = vec![];
    let mut request = ListChannelsRequest {
        pattern: "list-*".into(),
        page_size: 2,
        ..Default::default()
    };
    loop {
        let page = control
            .channels
            .list_channels(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.channels.len() <= 2);
        found.extend(
            page.channels
                .into_iter()
                .map(|channel| (channel.name, channel.subscribers)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<_> = (0..5).map(|n| (format!("list-{n}"), 1)).collect();
    assert_eq!(found, expected);
    let all = control
        .channels
        .list_channels(ListChannelsRequest::default())
        .await
        .unwrap();
    assert!(
        all.into_inner()
            .channels
            .iter()
            .any(|c| c.name == "h-9" && c.subscribers == 0)
    );
}
