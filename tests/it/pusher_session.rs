//! Pusher's clients on real sockets: `/app/{key}`, channels of every kind, and one hub with native
//! clients and services.

mod doors;
mod ends;
mod users;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::http::{APP, call};
use crate::support::pusher::inner;
use crate::support::{Client, Pusher, TestServer, Token, publish_request};

async fn trigger(server: &TestServer, channel: &str, name: &str, data: &str) {
    let body = json!({"name": name, "channel": channel, "data": data}).to_string();
    let answer = call(server, "POST", "/apps/1/events", "", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The message of the error that must come next; in band, with this code.
async fn error(client: &mut Pusher, code: Value) -> String {
    let error = client.expect("pusher:error").await;
    assert_eq!(error["code"], code, "{error}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn both_kinds_of_client_get_what_all_kinds_of_publisher_send_each_in_its_form() {
    let server = TestServer::with(APP).await;
    let mut native = Client::with(&server, &Token::master("ann").sign()).await;
    let (mut one, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    let channel = "private-items_1";
    native.subscribe(channel).await;
    assert_eq!(one.subscribe(channel).await, json!({}));
    two.subscribe(channel).await;

    let mut control = server.control().await;
    control.publish(channel, "create", &json!({"id": 1})).await;
    assert_eq!(native.expect("create").await["data"], json!({"id": 1}));
    for client in [&mut one, &mut two] {
        let frame = client.next().await;
        assert_eq!(frame["channel"], channel);
        assert_eq!(frame["data"], r#"{"id":1}"#, "the JSON's text, as a string");
    }

    native
        .ok(json!({"event": "changed", "channel": channel, "data": {"id": 1}}))
        .await;
    trigger(&server, channel, "delete", "not JSON").await;
    trigger(&server, channel, "delete", r#"{ "id": 2 }"#).await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.next().await["data"], r#"{"id":1}"#);
        assert_eq!(client.next().await["data"], "not JSON");
        assert_eq!(client.next().await["data"], r#"{ "id": 2 }"#);
    }
    native.expect("changed").await;
    assert_eq!(native.expect("delete").await["data"], "not JSON");
    assert_eq!(native.expect("delete").await["data"], json!({"id": 2}));

    let typing = json!({"event": "client-typing", "channel": channel, "data": {"at": [1]}});
    one.send(typing.clone()).await;
    assert_eq!(two.next().await, typing, "as it came, and no user");
    assert_eq!(
        native.expect("client-typing").await["data"],
        json!({"at": [1]})
    );
    one.quiet().await;

    one.say("pusher:unsubscribe", json!({"channel": channel}))
        .await;
    one.quiet().await;
    control.publish(channel, "create", &json!(1)).await;
    two.expect("create").await;
    one.quiet().await;
}

#[tokio::test]
async fn the_publisher_is_left_out_by_its_socket_id() {
    let server = TestServer::with(APP).await;
    let (mut one, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    one.subscribe("news").await;
    two.subscribe("news").await;
    let mut control = server.control().await;
    let mut request = publish_request("news", "e", &json!(1));
    request.exclude_session = Some(one.id.clone());
    control.send(request).await;
    assert_eq!(two.next().await["data"], "1");
    one.quiet().await;
}

#[tokio::test]
async fn subscribing_needs_a_right_signature_and_says_what_is_wrong() {
    let server = TestServer::with(APP).await;
    let mut client = Pusher::open(&server).await;
    let right = client.auth("private-a", None);
    for (channel, auth, says) in [
        ("private-a", "x:y", "signed with the key of another app"),
        ("private-a", "", "should be of format 'key:signature'"),
        (
            "private-b",
            &*right,
            "Invalid signature: Expected HMAC SHA256 hex digest of ",
        ),
        ("private-encrypted-a", &right, "Invalid signature"),
        ("presence-a", &right, "Invalid signature"),
        ("a b", "", "Invalid channel name"),
        ("#user-1", "", "Invalid channel name"),
        ("/posts/1", "", "not open to this connection"),
    ] {
        client
            .say(
                "pusher:subscribe",
                json!({"channel": channel, "auth": auth}),
            )
            .await;
        let message = error(&mut client, Value::Null).await;
        assert!(message.contains(says), "{channel}: {message}");
        let refused = client.next().await;
        assert_eq!(refused["event"], "pusher:subscription_error");
        assert_eq!(refused["channel"], channel);
        assert_eq!(inner(&refused)["error"], json!(message));
    }
    // The data is signed on private channels too; a string will do for an object.
    let auth = client.auth("private-a", Some("{}"));
    let data = json!({"channel": "private-a", "auth": auth, "channel_data": "{}"});
    client
        .say("pusher:subscribe", json!(data.to_string()))
        .await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    client
        .say(
            "pusher:subscribe",
            json!({"channel": "private-a", "auth": right}),
        )
        .await;
    assert_eq!(
        error(&mut client, Value::Null).await,
        "Existing subscription to channel private-a"
    );
    client.send_raw(Message::text("not JSON")).await;
    error(&mut client, Value::Null).await;
    client.send(json!({"event": "other", "data": 1})).await;
    error(&mut client, Value::Null).await;
    client.quiet().await;
    let refused = "pogo_commands_total{event=\"channel:subscribe\",status=\"error\"}";
    assert!((server.metric(refused).await - 9.0).abs() < 0.1);
}

#[tokio::test]
async fn rules_hold_for_pusher_too() {
    let rules = "[[channel]]\npattern = 'closed-**'\nsubscribe = 'nobody'\n\
                 [[channel]]\npattern = 'private-closed-**'\nsubscribe = 'nobody'\n\
                 [[channel]]\npattern = 'staff-**'\nsubscribe = 'capability'\n\
                 [[channel]]\npattern = '/open/**'\nsubscribe = 'anyone'\n";
    let server = TestServer::with(&format!("{APP}{rules}")).await;
    let mut client = Pusher::open(&server).await;
    for channel in ["closed-a", "private-closed-a", "staff-a"] {
        let auth = match channel {
            "staff-a" => String::new(),
            _ => client.auth(channel, None),
        };
        client
            .say(
                "pusher:subscribe",
                json!({"channel": channel, "auth": auth}),
            )
            .await;
        error(&mut client, Value::Null).await;
        let refused = client.expect("pusher:subscription_error").await;
        assert_eq!(refused["status"], 403, "{channel}");
    }
    let auth = client.auth("staff-a", None);
    client
        .say(
            "pusher:subscribe",
            json!({"channel": "staff-a", "auth": auth}),
        )
        .await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    client.subscribe("/open/1").await;
}

#[tokio::test]
async fn members_are_shown_once_however_many_connections_they_have() {
    let server = TestServer::with(APP).await;
    let channel = "presence-room";
    let mut native = Client::with(&server, &Token::master("nat").sign()).await;
    native.subscribe(channel).await;
    let mut one = Pusher::open(&server).await;
    let there = one.join(channel, json!(7)).await;
    let there = &there["presence"];
    assert_eq!(there["count"], 2);
    assert_eq!(there["hash"]["7"], json!({"of": 7}));
    assert_eq!(there["hash"]["nat"], json!({}));
    assert_eq!(there["ids"].as_array().unwrap().len(), 2);
    let joined = native.expect("pogo:join").await;
    assert_eq!(joined["data"]["subject"], "7");

    let (mut again, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    again.join(channel, json!("7")).await;
    let there = two.join(channel, json!("eve")).await;
    assert_eq!(there["presence"]["count"], 3);
    let added = one.expect("pusher_internal:member_added").await;
    assert_eq!(added, json!({"user_id": "eve", "user_info": {"of": "eve"}}));
    again.expect("pusher_internal:member_added").await;

    let event = json!({"event": "client-x", "channel": channel, "data": 1});
    two.send(event).await;
    let got = one.next().await;
    assert_eq!((&got["data"], &got["user_id"]), (&json!(1), &json!("eve")));
    again.expect("client-x").await;

    again.close().await;
    two.close().await;
    let removed = one.expect("pusher_internal:member_removed").await;
    assert_eq!(removed, json!({"user_id": "eve"}));
    one.quiet().await;
    native.close().await;
    let removed = one.expect("pusher_internal:member_removed").await;
    assert_eq!(removed["user_id"], "nat");
}

#[tokio::test]
async fn presence_has_its_bounds() {
    let settings = format!("{APP}\n[pusher]\nmax_members = 2\nmax_user_info_bytes = 20\n");
    let server = TestServer::with(&settings).await;
    let mut one = Pusher::open(&server).await;
    one.join("presence-a", json!("a")).await;
    let mut two = Pusher::open(&server).await;
    two.join("presence-a", json!("b")).await;
    one.expect("pusher_internal:member_added").await;
    let mut third = Pusher::open(&server).await;
    let refused = async |client: &mut Pusher, data: Value, says: &str| {
        let data = data.to_string();
        let auth = client.auth("presence-a", Some(&data));
        let subscribe = json!({"channel": "presence-a", "auth": auth, "channel_data": data});
        client.say("pusher:subscribe", subscribe).await;
        let message = error(client, Value::Null).await;
        assert!(message.contains(says), "{message}");
        client.expect("pusher:subscription_error").await;
    };
    refused(&mut third, json!({"user_id": "c"}), "full").await;
    refused(&mut third, json!({"user_info": 1}), "id").await;
    refused(&mut third, json!({"user_id": "x".repeat(129)}), "128").await;
    let long = json!({"user_id": "c", "user_info": "x".repeat(20)});
    refused(&mut third, long, "20 bytes").await;
    third.join("presence-a", json!("b")).await;
    one.quiet().await;
}

#[tokio::test]
async fn clients_events_have_their_rules() {
    let server = TestServer::with(APP).await;
    let (mut one, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    one.subscribe("private-a").await;
    one.subscribe("news").await;
    two.subscribe("private-a").await;
    let refused = async |client: &mut Pusher, event: Value, says: &str| {
        client.send(event).await;
        let message = error(client, Value::Null).await;
        assert!(message.contains(says), "{message}");
    };
    let event = |channel: &str| json!({"event": "client-e", "channel": channel, "data": {}});
    refused(&mut one, event("news"), "only supported on private").await;
    refused(&mut one, event("private-b"), "must be subscribed").await;
    let large = json!({"event": "client-e", "channel": "private-a", "data": "x".repeat(10_240)});
    refused(&mut one, large, "10240 bytes").await;
    let long = format!("client-{}", "x".repeat(200));
    let long = json!({"event": long, "channel": "private-a", "data": 1});
    refused(&mut one, long, "200 bytes").await;
    // Those were four of the ten that it has in a second.
    for _ in 0..6 {
        one.send(event("private-a")).await;
        two.expect("client-e").await;
    }
    let mut refused = 0;
    for _ in 0..10 {
        one.send(event("private-a")).await;
        one.say("pusher:ping", json!({})).await;
        let answer = one.next().await;
        if answer["event"] == "pusher:error" {
            assert_eq!(answer["data"]["code"], 4301);
            refused += 1;
            one.expect("pusher:pong").await;
        }
    }
    assert!(refused > 0, "ten a second, and it stays open");
}

#[tokio::test]
async fn an_app_may_forbid_clients_events() {
    let server = TestServer::with(&format!("{APP}client_events = false\n")).await;
    let mut client = Pusher::open(&server).await;
    client.subscribe("private-a").await;
    client
        .send(json!({"event": "client-e", "channel": "private-a", "data": {}}))
        .await;
    let message = error(&mut client, Value::Null).await;
    assert!(message.starts_with("To send client events, you must enable this feature"));
}

#[tokio::test]
async fn cache_channels_bring_their_last_event_or_say_that_there_is_none() {
    let server = TestServer::with(APP).await;
    for channel in ["cache-a", "private-cache-a", "private-encrypted-cache-a"] {
        let mut one = Pusher::open(&server).await;
        one.subscribe(channel).await;
        let miss = one.next().await;
        assert_eq!(miss["event"], "pusher:cache_miss");
        assert_eq!(miss["channel"], channel);
        trigger(&server, channel, "old", "1").await;
        trigger(&server, channel, "new", "not JSON").await;
        one.expect("old").await;
        assert_eq!(one.next().await["data"], "not JSON");
        if channel == "private-cache-a" {
            one.send(json!({"event": "client-e", "channel": channel, "data": 1}))
                .await;
            one.quiet().await;
        }
        let mut two = Pusher::open(&server).await;
        two.subscribe(channel).await;
        let held = two.next().await;
        assert_eq!(held["event"], "new", "no client's event is kept");
        assert_eq!(
            (&held["channel"], &held["data"]),
            (&json!(channel), &json!("not JSON"))
        );
        two.quiet().await;
    }
    let mut member = Pusher::open(&server).await;
    member.join("presence-cache-a", json!(1)).await;
    member.expect("pusher:cache_miss").await;
}

#[tokio::test]
async fn subscribers_are_counted_where_the_app_wants_it() {
    let other = "[[pusher.apps]]\nid = '2'\nkey = 'quiet'\nsecret = 's'\n";
    let server = TestServer::with(&format!("{APP}subscription_count = true\n{other}")).await;
    let mut native = Client::with(&server, &Token::master("nat").sign()).await;
    let (mut one, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    let count = async |client: &mut Pusher, expected: u64| {
        let frame = client.next().await;
        assert_eq!(frame["event"], "pusher_internal:subscription_count");
        assert_eq!(frame["channel"], "news");
        assert_eq!(inner(&frame)["subscription_count"], expected);
    };
    one.subscribe("news").await;
    count(&mut one, 1).await;
    two.subscribe("news").await;
    count(&mut one, 2).await;
    count(&mut two, 2).await;
    native.subscribe("news").await;
    count(&mut one, 3).await;
    count(&mut two, 3).await;
    two.close().await;
    count(&mut one, 2).await;
    one.join("presence-a", json!(1)).await;
    one.quiet().await;
    native.quiet().await;

    let path = crate::support::pusher::connect("quiet", crate::support::pusher::QUERY);
    let mut quiet = path.open(&server).await;
    quiet.next().await;
    let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": "news"}});
    quiet.send(&subscribe).await;
    quiet.expect("pusher_internal:subscription_succeeded").await;
    count(&mut one, 3).await;
    quiet
        .send(&json!({"event": "pusher:ping", "data": {}}))
        .await;
    quiet.expect("pusher:pong").await;
}
