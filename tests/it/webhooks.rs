//! Webhooks: a real receiver is told what happens on channels.

use serde_json::{Value, json};

use crate::support::process::{Process, free_address, whole};
use crate::support::{
    Client, Connect, Hook, HookReceiver, TestServer, Token, eventually, signature, unix_now,
};

const SECRET: &str = "the app's own secret";

/// A server with one app and one webhook, which may be on this machine.
fn settings(url: &str, more: &str) -> String {
    format!(
        r#"
        [pusher]
        webhook_allow = ["127.0.0.0/8"]
        webhook_delay = "100ms"
        webhook_retry_min = "10ms"
        webhook_batch_wait = "10ms"
        apps = [{{ id = "1", key = "the-key", secret = "{SECRET}", webhooks = [{{ url = "{url}" }}] }}]
        {more}
        "#
    )
}

/// Waits until so many events were taken.
async fn told(receiver: &HookReceiver, count: usize) {
    let arrived = || async { (receiver.events().len() >= count).then_some(()) };
    eventually(&format!("{count} events"), arrived).await;
}

fn token(subject: &str) -> String {
    let caps = json!({"**": ["subscribe"]});
    Token::of(subject).claim("caps", caps).sign()
}

async fn leave(client: &mut Client, channel: &str) {
    let command = json!({"event": "channel:unsubscribe", "channel": channel});
    client.ok(command).await;
}

/// Two requests that failed, and the same again; all of them as Pusher makes them.
fn check_requests(seen: &[Hook], before: u64) {
    assert_eq!(
        seen.iter()
            .take(3)
            .map(|hook| hook.status)
            .collect::<Vec<_>>(),
        [500, 503, 200]
    );
    assert!(seen[..3].iter().all(|hook| hook.body == seen[0].body));
    for hook in seen {
        assert!(hook.is_signed(SECRET));
        assert_eq!(hook.path, "/hook?a=b");
        assert_eq!(hook.headers["x-pusher-key"], "the-key");
        assert_eq!(hook.headers["content-type"], "application/json");
        let time = hook.json()["time_ms"].as_u64().unwrap() / 1_000;
        assert!((before..=unix_now()).contains(&time), "{time}");
    }
}

#[tokio::test]
async fn who_comes_and_goes_is_told_signed_and_tried_again() {
    let receiver = HookReceiver::start(&[500, 503]).await;
    let server = TestServer::with(&settings(&receiver.url("/hook?a=b"), "")).await;
    let before = unix_now();
    let mut ann = Client::with(&server, &token("ann")).await;
    ann.subscribe("news").await;
    receiver.expect(&["channel_occupied news"]).await;
    ann.subscribe("presence-room").await;
    let all = [
        "channel_occupied news",
        "channel_occupied presence-room",
        "member_added presence-room ann",
    ];
    receiver.expect(&all).await;
    check_requests(&receiver.seen(), before);

    let mut bob = Client::with(&server, &token("bob")).await;
    bob.subscribe("presence-room").await;
    // A second session is no second member, nor is it the channel's first subscriber.
    let mut again = Client::with(&server, &token("ann")).await;
    again.subscribe("presence-room").await;
    leave(&mut bob, "presence-room").await;
    leave(&mut again, "presence-room").await;
    ann.close().await;
    let rest = [
        "member_added presence-room bob",
        "member_removed presence-room bob",
        "member_removed presence-room ann",
        "channel_vacated presence-room",
        "channel_vacated news",
    ];
    let expected = all.into_iter().chain(rest);
    told(&receiver, 8).await;
    // Two channels are left in no certain order.
    let (mut all_told, mut expected): (Vec<_>, Vec<_>) = (receiver.events(), expected.collect());
    all_told[5..].sort_unstable();
    expected[5..].sort_unstable();
    assert_eq!(all_told, expected);
    assert_eq!(
        server
            .metric("pogo_webhooks_total{result=\"status\"}")
            .await,
        2.0
    );
    assert_eq!(
        server
            .metric("pogo_webhook_events_total{result=\"delivered\"}")
            .await,
        8.0
    );
}

#[tokio::test]
async fn who_is_back_at_once_has_never_left() {
    let receiver = HookReceiver::start(&[]).await;
    let slow = settings(&receiver.url("/"), "").replace("100ms", "1m");
    let mut server = TestServer::with(&slow).await;
    let mut ann = Client::with(&server, &token("ann")).await;
    ann.subscribe("presence-room").await;
    leave(&mut ann, "presence-room").await;
    ann.subscribe("presence-room").await;
    ann.subscribe("news").await;
    let news = [
        "channel_occupied presence-room",
        "member_added presence-room ann",
        "channel_occupied news",
    ];
    receiver.expect(&news).await;
    assert_eq!(
        server
            .metric("pogo_webhook_events_total{result=\"rejoined\"}")
            .await,
        4.0
    );
    // The end is told, and not after a minute.
    server.stop();
    told(&receiver, 6).await;
    let mut rest = receiver.events().split_off(3);
    rest.sort_unstable();
    assert_eq!(
        rest,
        [
            "channel_vacated news",
            "channel_vacated presence-room",
            "member_removed presence-room ann"
        ]
    );
}

#[tokio::test]
async fn a_webhook_gets_the_events_it_asked_for() {
    let receiver = HookReceiver::start(&[]).await;
    let other = HookReceiver::start(&[]).await;
    let settings = settings(&receiver.url("/"), "").replace(
        "webhooks = [{",
        &format!(
            "webhooks = [{{ url = \"{}\", events = [\"member_added\"] }}, {{",
            other.url("/")
        ),
    );
    let server = TestServer::with(&settings).await;
    let mut ann = Client::with(&server, &token("ann")).await;
    ann.subscribe("presence-room").await;
    ann.subscribe("news").await;
    receiver
        .expect(&[
            "channel_occupied presence-room",
            "member_added presence-room ann",
            "channel_occupied news",
        ])
        .await;
    other.expect(&["member_added presence-room ann"]).await;
}

#[tokio::test]
async fn a_private_address_is_not_connected_to() {
    let receiver = HookReceiver::start(&[]).await;
    let settings = settings(&receiver.url("/"), "").replace("127.0.0.0/8", "10.0.0.0/8");
    let server = TestServer::with(&settings).await;
    let mut ann = Client::with(&server, &token("ann")).await;
    ann.subscribe("news").await;
    eventually("it is refused", || async {
        let blocked = server.metric("pogo_webhooks_total{result=\"blocked\"}");
        (blocked.await >= 2.0).then_some(())
    })
    .await;
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn a_receiver_that_hangs_keeps_nobody_waiting() {
    // Nobody ever answers there.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let more = "webhook_notices = 10\nwebhook_queue_events = 5\nwebhook_drain = \"0ms\"";
    let server = TestServer::with(&settings(&url, more)).await;
    let caps = json!({"**": ["subscribe", "publish"]});
    let token = Token::of("ann").claim("caps", caps).sign();
    let mut ann = Client::with(&server, &token).await;
    for number in 0..100 {
        let channel = format!("room-{number}");
        ann.subscribe(&channel).await;
        leave(&mut ann, &channel).await;
    }
    ann.subscribe("presence-room").await;
    let said =
        json!({"event": "said", "channel": "presence-room", "data": 1, "options": {"echo": true}});
    ann.ok(said).await;
    let lost = |what: &str| {
        let name = format!("pogo_webhook_events_total{{result=\"{what}\"}}");
        let server = &server;
        async move { server.metric(&name).await }
    };
    eventually("what has no room is dropped", || async {
        (lost("overflow").await + lost("unnoticed").await > 50.0).then_some(())
    })
    .await;
    let waiting = server.metric("pogo_webhook_queue{what=\"waiting\"}").await;
    assert!(waiting <= 5.0 + 5.0, "{waiting}");
}

#[tokio::test]
async fn webhooks_change_while_it_runs_and_no_log_line_holds_what_is_secret() {
    let receiver = HookReceiver::start(&[500]).await;
    let other = HookReceiver::start(&[]).await;
    let user = |receiver: &HookReceiver| {
        let url = receiver.url("/hook?query-secret");
        url.replace("http://", "http://some-user:pass-secret@")
    };
    let edge = free_address();
    let text = |url: &str, allow: &str| {
        // `whole` is without sections, so that these come last.
        whole(edge, "log.level = \"trace\"") + &settings(url, "").replace("127.0.0.0/8", allow)
    };
    let process = Process::run(edge, &text(&user(&receiver), "127.0.0.1"), None).await;
    let mut ann = Client::with(edge, &token("ann")).await;
    ann.subscribe("first").await;
    receiver.expect(&["channel_occupied first"]).await;
    assert!(receiver.seen()[0].headers.contains_key("authorization"));

    let logged = |what: &'static str, times: usize| {
        let process = &process;
        eventually(what, move || async move {
            (process.log().matches(what).count() >= times).then_some(())
        })
    };
    let reload = |text: String| {
        std::fs::write(process.folder.path().join("pogo.toml"), text).unwrap();
        process.signal("-HUP");
    };
    reload(text(&user(&other), "127.0.0.1"));
    logged("configuration reloaded", 1).await;
    ann.subscribe("second").await;
    other.expect(&["channel_occupied second"]).await;
    reload(text(&user(&other), "10.0.0.0/8"));
    logged("configuration reloaded", 2).await;
    ann.subscribe("third").await;
    logged("is not public", 1).await;
    reload(text("htp://some-user:pass-secret@a/?query-secret", "::1"));
    logged("configuration not reloaded", 1).await;
    assert_eq!((receiver.seen().len(), other.seen().len()), (2, 1));

    let log = process.log();
    assert!(
        log.contains("TRACE") && log.contains("/hook"),
        "{}",
        log.len()
    );
    for secret in [SECRET, "some-user", "pass-secret", "query-secret"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

#[tokio::test]
async fn counts_are_told_where_they_are_asked_for() {
    let receiver = HookReceiver::start(&[]).await;
    let only = "events = [\"subscription_count\"] }] }]";
    let settings = settings(&receiver.url("/"), "").replace("}] }]", &format!(", {only}"));
    let server = TestServer::with(&settings).await;
    let (mut ann, mut bob) = (
        Client::with(&server, &token("ann")).await,
        Client::with(&server, &token("bob")).await,
    );
    ann.subscribe("news").await;
    bob.subscribe("presence-room").await;
    bob.subscribe("news").await;
    leave(&mut ann, "news").await;
    leave(&mut bob, "news").await;
    told(&receiver, 4).await;
    let events: Vec<Value> = receiver.seen().iter().flat_map(Hook::events).collect();
    let count = |count: usize| json!({"name": "subscription_count", "channel": "news", "subscription_count": count});
    assert_eq!(events, [1, 2, 1, 0].map(count));
}

/// A Pusher client on a channel, and its socket_id.
async fn pusher(server: &TestServer, channel: &str, data: Option<&str>) -> (Client, String) {
    let connect = Connect::new().path("/app/the-key?protocol=7");
    let mut client = connect.protocols(&[]).open(server).await;
    let hello = client.expect("pusher:connection_established").await;
    let hello: Value = serde_json::from_str(hello["data"].as_str().unwrap()).unwrap();
    let id = hello["socket_id"].as_str().unwrap().to_owned();
    let signed = [Some(id.as_str()), Some(channel), data]
        .into_iter()
        .flatten();
    let signed = signed.collect::<Vec<_>>().join(":");
    let auth = format!("the-key:{}", signature(SECRET, signed.as_bytes()));
    let mut subscribe = json!({"channel": channel, "auth": auth});
    if let Some(data) = data {
        subscribe["channel_data"] = json!(data);
    }
    let subscribe = json!({"event": "pusher:subscribe", "data": subscribe});
    client.send(&subscribe).await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    (client, id)
}

#[tokio::test]
async fn pusher_clients_events_and_misses_are_told() {
    let receiver = HookReceiver::start(&[]).await;
    let server = TestServer::with(&settings(&receiver.url("/"), "")).await;
    let user = r#"{"user_id": 7, "user_info": {"name": "Ann"}}"#;
    let (mut ann, id) = pusher(&server, "presence-cache-room", Some(user)).await;
    ann.expect("pusher:cache_miss").await;
    for data in [json!({"x": [1, "a"]}), json!("text")] {
        let event =
            json!({"event": "client-moved", "channel": "presence-cache-room", "data": data});
        ann.send(&event).await;
    }
    // Two sessions have no order among each other.
    told(&receiver, 5).await;
    let (mut bob, other) = pusher(&server, "private-room", None).await;
    bob.send(&json!({"event": "client-hi", "channel": "private-room", "data": {"y": 1}}))
        .await;
    told(&receiver, 7).await;
    let events: Vec<Value> = receiver.seen().iter().flat_map(Hook::events).collect();
    let room = "presence-cache-room";
    let moved = |data: &str| {
        json!({"name": "client_event", "channel": room, "event": "client-moved", "data": data,
            "socket_id": id, "user_id": "7"})
    };
    assert_eq!(
        json!(events),
        json!([
            {"name": "channel_occupied", "channel": room},
            {"name": "member_added", "channel": room, "user_id": "7"},
            {"name": "cache_miss", "channel": room},
            moved(r#"{"x":[1,"a"]}"#),
            moved("text"),
            {"name": "channel_occupied", "channel": "private-room"},
            {"name": "client_event", "channel": "private-room", "event": "client-hi",
                "data": r#"{"y":1}"#, "socket_id": other},
        ])
    );
}
