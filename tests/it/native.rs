//! The native protocol as a client meets it: frames, commands, replies, close codes.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Connect, TestServer, Token, publish_request, unix_now};

#[tokio::test]
async fn the_welcome_comes_first_and_says_who_is_there() {
    let server = TestServer::start().await;
    let (client, welcome) = Client::welcomed(&server, &Connect::new()).await;
    assert_eq!(client.protocol.as_deref(), Some("pogo.v1.json"));
    assert_eq!(welcome["protocol"], "pogo.v1.json");
    assert_eq!(welcome["ping_interval"], 25_000);
    assert_eq!(welcome["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(welcome["channels"], json!([]));
    assert!(
        welcome.get("subject").is_none() && welcome.get("expires").is_none(),
        "{welcome}"
    );

    let token = Token::of("alice").claim("channels", json!(["inbox-alice"]));
    let connect = Connect::new().token(&token.sign());
    let (client, welcome) = Client::welcomed(&server, &connect).await;
    assert_eq!(
        client.protocol.as_deref(),
        Some("pogo.v1.json"),
        "the token is not echoed"
    );
    assert_eq!(welcome["subject"], "alice");
    assert!(welcome["expires"].as_u64().unwrap() > unix_now());
    assert_eq!(welcome["channels"], json!(["inbox-alice"]));
}

#[tokio::test]
async fn the_subprotocol_selects_the_encoding() {
    let server = TestServer::start().await;
    let (none, welcome) = Client::welcomed(&server, &Connect::new().protocols(&[])).await;
    assert_eq!(
        (none.protocol, welcome["protocol"].as_str()),
        (None, Some("pogo.v1.json"))
    );
    let among = Connect::new().protocols(&["soap", "pogo.v1.json"]);
    assert_eq!(
        among.open(&server).await.protocol.as_deref(),
        Some("pogo.v1.json")
    );
    assert_eq!(
        Connect::new()
            .protocols(&["soap", "pogo.v9.json"])
            .refused(&server)
            .await,
        400
    );
    let (_, welcome) = Client::welcomed(&server, &Connect::new().path("/")).await;
    assert!(welcome["session"].is_string(), "`/` is the same door");
}

#[tokio::test]
async fn replies_carry_the_id_as_it_came() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    for id in [json!(7), json!("x-1"), json!(0), json!("")] {
        client.send(&json!({"id": id, "event": "ping"})).await;
        let reply = client.next().await;
        assert_eq!((&reply["id"], &reply["status"]), (&id, &json!("ok")));
    }
    client.send(&json!({"event": "ping"})).await;
    client
        .send(&json!({"event": "channel:subscribe", "channel": "no spaces"}))
        .await;
    client.quiet().await;
    let time = client
        .ok(json!({"event": "ping", "unknown": [1], "options": {}}))
        .await["time"]
        .clone();
    assert!(
        time.as_u64().unwrap().abs_diff(unix_now() * 1000) < 5_000,
        "{time}"
    );
    client
        .send_raw(Message::text(
            r#"{"id":1,"id":2,"event":"x","event":"ping"}"#,
        ))
        .await;
    assert_eq!(
        client.next().await["id"],
        2,
        "the last of duplicate keys counts"
    );
}

#[tokio::test]
async fn a_frame_that_is_no_command_closes_with_4000() {
    let server = TestServer::start().await;
    for bad in [
        "",
        "nonsense",
        "[]",
        "1",
        "null",
        "{}",
        r#"{"id":1}"#,
        r#"{"event":1}"#,
        "{\"event\":",
    ] {
        let mut client = Client::anonymous(&server).await;
        client.send_raw(Message::text(bad)).await;
        assert_eq!(client.closed().await, (4000, "bad_frame".into()), "{bad}");
    }
    let mut client = Client::anonymous(&server).await;
    client.send_raw(Message::binary(b"{}".to_vec())).await;
    assert_eq!(client.closed().await.0, 1003);
}

#[tokio::test]
async fn a_wrong_command_gets_its_error() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    for (code, command) in [
        ("bad_request", json!({"event": "channel:subscribe"})),
        (
            "bad_request",
            json!({"event": "channel:subscribe", "channel": ""}),
        ),
        (
            "bad_request",
            json!({"event": "channel:subscribe", "channel": "a b"}),
        ),
        (
            "bad_request",
            json!({"event": "channel:subscribe", "channel": 7}),
        ),
        ("bad_request", json!({"event": "bind", "channel": "news"})),
        (
            "bad_request",
            json!({"event": "create", "channel": "news", "data": 1}),
        ),
        ("bad_request", json!({"event": "show", "channel": "news"})),
        (
            "bad_request",
            json!({"event": "pogo:x", "channel": "news", "data": 1}),
        ),
        (
            "bad_request",
            json!({"event": "pusher:x", "channel": "news", "data": 1}),
        ),
        ("bad_request", json!({"event": "auth"})),
        ("no_route", json!({"event": "show", "uri": "/posts/1"})),
        ("no_route", json!({"event": "index", "uri": "/posts"})),
        (
            "not_subscribed",
            json!({"event": "channel:unsubscribe", "channel": "news"}),
        ),
    ] {
        assert_eq!(client.error(command.clone()).await, code, "{command}");
    }
    let long = "x".repeat(201);
    assert_eq!(
        client
            .error(json!({"event": "channel:subscribe", "channel": long}))
            .await,
        "bad_request"
    );
    assert_eq!(
        client
            .error(json!({"event": "e", "channel": long, "data": 1}))
            .await,
        "bad_request"
    );
}

#[tokio::test]
async fn a_clients_publication_reaches_the_others_after_its_reply() {
    let server = TestServer::start().await;
    let mut alice = Client::with(&server, &Token::master("alice").sign()).await;
    let mut bob = Client::with(&server, &Token::master("bob").sign()).await;
    alice.subscribe("room").await;
    bob.subscribe("room").await;
    alice
        .send(&json!({"id": "p", "event": "says", "channel": "room", "data": {"a": 1}}))
        .await;
    let reply = alice.next().await;
    assert_eq!(
        (&reply["id"], &reply["status"]),
        (&json!("p"), &json!("ok")),
        "the reply is first"
    );
    let push = json!({"event": "says", "channel": "room", "data": {"a": 1}});
    assert_eq!(alice.next().await, push);
    assert_eq!(bob.next().await, push);

    let quietly =
        json!({"event": "says", "channel": "room", "data": 2, "options": {"echo": false}});
    alice.ok(quietly).await;
    assert_eq!(bob.next().await["data"], 2);
    alice.quiet().await;
}

#[tokio::test]
async fn data_passes_through_as_it_was_written() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    client.subscribe("raw").await;
    let mut control = server.control().await;
    for data in [
        "12345678901234567890.10",
        "1e400",
        "\"\\u00e9\\ud83d\\ude00\"",
        "[ 1 , 2 ]",
        "null",
    ] {
        let mut request = publish_request("raw", "e", &Value::Null);
        request.data = data.to_owned().into();
        control.send(request).await;
        let text = client.next_text().await;
        assert!(text.contains(data), "{data} in {text}");
    }
}

#[tokio::test]
async fn a_uri_is_a_channel_with_its_own_spelling() {
    let server = TestServer::start().await;
    let mut by_uri = Client::with(&server, &Token::master("a").sign()).await;
    let mut by_channel = Client::with(&server, &Token::master("b").sign()).await;
    let bound = by_uri.ok(json!({"event": "bind", "uri": "/posts/1"})).await;
    assert!(bound.get("error").is_none(), "{bound}");
    by_channel.subscribe("/posts/1").await;
    let mut control = server.control().await;
    assert_eq!(
        control
            .publish("/posts/1", "update", &json!({"t": 1}))
            .await
            .receivers,
        2
    );
    let expected = json!({"event": "update", "uri": "/posts/1", "data": {"t": 1}});
    assert_eq!(by_uri.next().await, expected);
    let expected = json!({"event": "update", "channel": "/posts/1", "data": {"t": 1}});
    assert_eq!(by_channel.next().await, expected);
    by_uri
        .ok(json!({"event": "unbind", "uri": "/posts/1"}))
        .await;
    assert_eq!(
        control
            .publish("/posts/1", "update", &json!({"t": 2}))
            .await
            .receivers,
        1
    );
    by_uri.quiet().await;
}

#[tokio::test]
async fn many_channels_in_one_command_answer_one_by_one() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let names = json!(["one", "private-two", "bad name", "three"]);
    let data = client
        .ok(json!({"event": "channel:subscribe", "channels": names}))
        .await;
    let results = data["results"].as_array().unwrap();
    let channels: Vec<_> = results
        .iter()
        .map(|row| row["channel"].as_str().unwrap())
        .collect();
    assert_eq!(channels, ["one", "private-two", "bad name", "three"]);
    assert!(
        results[0].get("error").is_none() && results[3].get("error").is_none(),
        "{data}"
    );
    assert_eq!(results[1]["error"]["code"], "forbidden");
    assert_eq!(results[2]["error"]["code"], "bad_request");
    let mut control = server.control().await;
    assert_eq!(control.publish("three", "e", &json!(3)).await.receivers, 1);
    assert_eq!(client.next().await["channel"], "three");
    let names = json!(["one", "three"]);
    client
        .ok(json!({"event": "channel:unsubscribe", "channels": names}))
        .await;
    assert_eq!(control.publish("three", "e", &json!(4)).await.receivers, 0);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    client.send_raw(Message::text("x".repeat(65_537))).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn a_session_may_stay_on_so_many_channels_only() {
    let server = TestServer::with("[limits]\nchannels = 3").await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    for channel in ["a", "b", "c"] {
        client.subscribe(channel).await;
    }
    let fourth = json!({"event": "channel:subscribe", "channel": "d"});
    assert_eq!(client.error(fourth.clone()).await, "limit_exceeded");
    client.subscribe("a").await;
    client
        .ok(json!({"event": "channel:unsubscribe", "channel": "b"}))
        .await;
    client.ok(fourth).await;
}
