//! Pusher's HTTP API over real HTTP: what is published reaches native clients, bodies and errors
//! are those that Pusher's libraries look for.

use serde_json::{Value, json};

use crate::support::http::{APP, APP_KEY, ask, call, signed_target};
use crate::support::{Client, TestServer, Token, eventually};

async fn post(server: &TestServer, place: &str, body: &Value) -> (u16, String) {
    let path = format!("/apps/1/{place}");
    let answer = call(server, "POST", &path, "", &body.to_string()).await;
    (answer.status, answer.body)
}

async fn get(server: &TestServer, place: &str, rest: &str) -> (u16, Value) {
    let answer = call(server, "GET", &format!("/apps/1/{place}"), rest, "").await;
    let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| json!(answer.body));
    (answer.status, body)
}

fn event(channel: &str, data: &str) -> Value {
    json!({ "name": "create", "channel": channel, "data": data })
}

#[tokio::test]
async fn an_event_reaches_native_clients_in_their_form() {
    let server = TestServer::with(APP).await;
    let mut client = Client::with(&server, &Token::master("ann").sign()).await;
    client.subscribe("private-items_1").await;
    for (sent, expected) in [
        (r#"{"id": 1.0}"#, json!({ "id": 1.0 })),
        ("plain text", json!("plain text")),
        ("\"a string\"", json!("a string")),
        ("", json!("")),
    ] {
        let answer = post(&server, "events", &event("private-items_1", sent)).await;
        assert_eq!(answer, (200, "{}".into()));
        let push = client.next().await;
        assert_eq!(push["event"], "create");
        assert_eq!(push["channel"], "private-items_1");
        assert_eq!(push["data"], expected, "{sent}");
    }
}

#[tokio::test]
async fn a_session_can_be_left_out_and_channels_be_many() {
    let server = TestServer::with(APP).await;
    let token = Token::master("ann").sign();
    let (mut one, mut two) = (
        Client::with(&server, &token).await,
        Client::with(&server, &token).await,
    );
    let channels: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    for client in [&mut one, &mut two] {
        client.subscribe("c99").await;
        client.subscribe("last").await;
    }
    let mut control = server.control().await;
    let list = control
        .sessions
        .list_sessions(pogo::control::proto::ListSessionsRequest::default());
    let ids: Vec<String> = list
        .await
        .unwrap()
        .into_inner()
        .sessions
        .into_iter()
        .map(|session| session.id)
        .collect();
    let body = json!({ "name": "e", "channels": channels, "data": "1", "socket_id": ids[0] });
    assert_eq!(post(&server, "events", &body).await, (200, "{}".into()));
    assert_eq!(post(&server, "events", &event("last", "2")).await.0, 200);
    let mut got = [
        one.next().await["channel"].clone(),
        two.next().await["channel"].clone(),
    ];
    got.sort_by_key(ToString::to_string);
    assert_eq!(got, [json!("c99"), json!("last")]);
}

#[tokio::test]
async fn a_batch_is_published_whole_or_not_at_all() {
    let server = TestServer::with(APP).await;
    let mut client = Client::with(&server, &Token::master("ann").sign()).await;
    client.subscribe("a").await;
    let batch = |events: Vec<Value>| json!({ "batch": events });
    let bad = batch(vec![event("a", "1"), event("a b", "2")]);
    assert_eq!(post(&server, "batch_events", &bad).await.0, 400);
    let large = batch(vec![event("a", "1"); 11]);
    let (status, says) = post(&server, "batch_events", &large).await;
    assert_eq!(status, 400);
    assert!(says.contains("Batch too large"), "{says}");
    let good = batch(vec![event("a", "3"), event("b", "4"), event("a", "5")]);
    assert_eq!(
        post(&server, "batch_events", &good).await,
        (200, "{}".into())
    );
    assert_eq!(client.next().await["data"], 3);
    assert_eq!(client.next().await["data"], 5);
    let mut asking = event("a", "6");
    asking["info"] = json!("subscription_count");
    let told = post(
        &server,
        "batch_events",
        &batch(vec![event("b", "7"), asking]),
    )
    .await;
    let expected = r#"{"batch":[{},{"subscription_count":1}]}"#;
    assert_eq!(told, (200, expected.into()));
}

#[tokio::test]
async fn limits_and_errors_are_pushers() {
    let server = TestServer::with(APP).await;
    let (status, says) = post(&server, "events", &event("a", &"x".repeat(10_241))).await;
    assert_eq!(status, 413);
    assert!(says.contains("content of this event"), "{says}");
    assert_eq!(
        post(&server, "events", &event("a", &"x".repeat(10_240)))
            .await
            .0,
        200
    );
    for (place, body) in [
        ("events", json!([])),
        ("events", json!({ "name": "e", "data": "" })),
        (
            "events",
            json!({ "name": "pusher:x", "channel": "a", "data": "" }),
        ),
        ("events", event("#user-1", "")),
        ("batch_events", json!({})),
    ] {
        assert_eq!(post(&server, place, &body).await.0, 400, "{body}");
    }
    assert_eq!(post(&server, "nothing", &json!({})).await.0, 404);
    assert_eq!(
        call(&server, "POST", "/apps/2/events", "", "{}")
            .await
            .status,
        404
    );
    let answer = call(&server, "GET", "/apps/1/events", "", "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let huge = event("a", &"x".repeat(300_000));
    assert_eq!(post(&server, "events", &huge).await.0, 413);
}

#[tokio::test]
async fn what_is_not_signed_is_not_done() {
    let server = TestServer::with(APP).await;
    let body = event("a", "1").to_string();
    let path = "/apps/1/events";
    let good = signed_target("POST", path, "", &body);
    assert_eq!(ask(&server, "POST", &good, &[], &body).await.status, 200);
    let other = event("b", "1").to_string();
    for (target, body) in [
        (path.to_owned(), &*body),
        (good.clone(), &*other),
        (good.replace(APP_KEY, "another"), &*body),
        (good.replace("auth_timestamp=", "auth_timestamp=1"), &*body),
        (good.replace("auth_signature=", "auth_signature=0"), &*body),
        (
            good.replace("/apps/1/events?", "/apps/1/batch_events?"),
            &*body,
        ),
    ] {
        let answer = ask(&server, "POST", &target, &[], body).await;
        assert_eq!(answer.status, 401, "{target}: {answer:?}");
        assert!(!answer.body.contains("7ad3773142a6692b25b8"));
    }
    // pusher-http-python signs the MD5 of an empty body with every GET.
    let target = signed_target(
        "GET",
        "/apps/1/channels",
        "body_md5=d41d8cd98f00b204e9800998ecf8427e",
        "",
    );
    assert_eq!(ask(&server, "GET", &target, &[], "").await.status, 200);
}

#[tokio::test]
async fn channels_and_users_are_told_of() {
    let server = TestServer::with(APP).await;
    let mut sessions = vec![];
    for subject in ["ann", "ann", "bob"] {
        let mut client = Client::with(&server, &Token::master(subject).sign()).await;
        client.subscribe("presence-room").await;
        sessions.push(client);
    }
    sessions[0].subscribe("news").await;
    assert_eq!(
        get(&server, "channels", "").await,
        (
            200,
            json!({ "channels": { "news": {}, "presence-room": {} } })
        )
    );
    let rest = "filter_by_prefix=presence-&info=user_count,subscription_count";
    assert_eq!(
        get(&server, "channels", rest).await.1,
        json!({ "channels": { "presence-room": { "user_count": 2, "subscription_count": 3 } } })
    );
    assert_eq!(get(&server, "channels", "info=user_count").await.0, 400);
    assert_eq!(
        get(&server, "channels/presence-room", "info=user_count")
            .await
            .1,
        json!({ "occupied": true, "user_count": 2 })
    );
    assert_eq!(
        get(&server, "channels/empty", "").await.1,
        json!({ "occupied": false })
    );
    assert_eq!(
        get(&server, "channels/news", "info=user_count").await.0,
        400
    );
    assert_eq!(get(&server, "channels/news", "info=colour").await.0, 400);
    assert_eq!(
        get(&server, "channels/presence-room/users", "").await,
        (200, json!({ "users": [{ "id": "ann" }, { "id": "bob" }] }))
    );
    assert_eq!(
        get(&server, "channels/presence-nobody/users", "").await.1,
        json!({ "users": [] })
    );
    assert_eq!(get(&server, "channels/news/users", "").await.0, 400);
    let mut asking = event("presence-room", "1");
    asking["info"] = json!("user_count,subscription_count");
    assert_eq!(
        post(&server, "events", &asking).await.1,
        r#"{"channels":{"presence-room":{"subscription_count":3,"user_count":2}}}"#
    );
    drop(sessions);
    eventually("nobody is there", || async {
        let told = get(&server, "channels", "").await.1;
        (told == json!({ "channels": {} })).then_some(())
    })
    .await;
}

#[tokio::test]
async fn names_that_come_before_the_servers_own_are_listed() {
    let server = TestServer::with(APP).await;
    let mut client = Client::with(&server, &Token::master("ann").sign()).await;
    for name in ["!a", "\"b", "$c", "d"] {
        client.subscribe(name).await;
    }
    let told = get(&server, "channels", "").await.1;
    let names: Vec<_> = told["channels"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["!a", "\"b", "$c", "d"]);
}

#[tokio::test]
async fn an_answer_repeats_little_of_what_came() {
    let server = TestServer::with(APP).await;
    let long = "é".repeat(12_000);
    let raw = "x".repeat(8_000);
    let (get, post) = ("GET", "POST");
    let body = json!({ "name": "e", "channels": long, "data": "" }).to_string();
    let signed = signed_target(get, "/apps/1/channels", "", "");
    for (method, target, body) in [
        (get, format!("{signed}&x={raw}"), ""),
        (
            get,
            signed.replace("signature=", &format!("signature={raw}")),
            "",
        ),
        (
            get,
            signed.replace("auth_key=", &format!("auth_key={raw}")),
            "",
        ),
        (
            post,
            signed_target(post, "/apps/1/events", "", &body),
            &body,
        ),
        (
            get,
            signed_target(get, &format!("/apps/1/channels/{raw}"), "", ""),
            "",
        ),
    ] {
        let answer = ask(&server, method, &target, &[], body).await;
        assert!((400..=401).contains(&answer.status), "{}", answer.status);
        assert!(answer.body.len() <= 1_100, "{}", answer.body.len());
    }
}

#[tokio::test]
async fn a_list_is_bounded() {
    let server = TestServer::with(&format!("[pusher]\nmax_listed = 1\n{APP}")).await;
    let mut client = Client::with(&server, &Token::master("ann").sign()).await;
    client.subscribe("a1").await;
    client.subscribe("b1").await;
    assert_eq!(get(&server, "channels", "").await.0, 400);
    let told = get(&server, "channels", "filter_by_prefix=b").await.1;
    assert_eq!(told, json!({ "channels": { "b1": {} } }));
}

#[tokio::test]
async fn a_cache_channel_tells_its_last_event() {
    let server = TestServer::with(APP).await;
    let place = "channels/private-cache-a";
    let nothing = json!({ "occupied": false, "cache": null });
    assert_eq!(get(&server, place, "info=cache").await, (200, nothing));
    for data in ["{\"a\": 1}", "text"] {
        post(&server, "events", &event("private-cache-a", data)).await;
        let cache = get(&server, place, "info=cache").await.1["cache"].clone();
        assert_eq!(cache["data"], data);
        let ttl = cache["ttl"].as_u64().unwrap();
        assert!((1_790..=1_800).contains(&ttl), "{ttl}");
    }
    assert_eq!(get(&server, "channels/a", "info=cache").await.0, 400);
}

#[tokio::test]
async fn the_ways_before_still_work() {
    let server = TestServer::with(APP).await;
    let mut client = Client::with(&server, &Token::master("ann").sign()).await;
    client.subscribe("a").await;
    let path = "/apps/1/channels/a/events";
    let answer = call(&server, "POST", path, "name=old", "{\"n\":1}").await;
    assert_eq!(answer.status, 202);
    let push = client.next().await;
    assert_eq!(
        (&push["event"], &push["data"]),
        (&json!("old"), &json!({ "n": 1 }))
    );
    assert_eq!(
        get(&server, "channels/a/stats", "").await.1,
        json!({ "occupied": true, "subscription_count": 1 })
    );
    // pusher-http-python leaves the app out here; its key tells which.
    for path in [
        "/users/7/terminate_connections",
        "/apps/1/users/7/terminate_connections",
    ] {
        let answer = call(&server, "POST", path, "", "{}").await;
        assert_eq!((answer.status, &*answer.body), (200, "{}"));
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let server = TestServer::with(APP).await;
    post(&server, "events", &event("a", "1")).await;
    post(&server, "events", &event("a b", "1")).await;
    post(&server, "made-up", &json!({})).await;
    ask(&server, "POST", "/pusher/auth", &[], "").await;
    for labels in [
        r#"place="events",status="200""#,
        r#"place="events",status="400""#,
        r#"place="other",status="404""#,
        r#"place="auth",status="400""#,
    ] {
        let name = format!("pogo_pusher_requests_total{{{labels}}}");
        assert!(
            (server.metric(&name).await - 1.0).abs() < f64::EPSILON,
            "{name}"
        );
    }
}

#[tokio::test]
async fn without_an_app_there_is_no_api() {
    let server = TestServer::start().await;
    for path in ["/apps/1/channels", "/pusher/auth"] {
        assert_eq!(call(&server, "GET", path, "", "").await.status, 404);
    }
}
