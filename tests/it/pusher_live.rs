//! Pusher's clients with what plain HTTP gives them: signatures by `/pusher/auth` on a live socket,
//! events by the HTTP API, and how both come to an end.

use pogo::control::proto::RevokeSessionsRequest;
use pogo::control::proto::revoke_sessions_request::Target;
use serde_json::{Value, json};

use crate::support::http::{APP, APP_KEY, ask, call};
use crate::support::{Client, Connect, TestServer, Token, eventually};

/// A connected client and its socket id.
async fn connect(server: &TestServer) -> (Client, String) {
    let path = format!("/app/{APP_KEY}?protocol=7&client=js&version=8.6.0");
    let mut client = Connect::new().path(&path).protocols(&[]).open(server).await;
    let established = client.expect("pusher:connection_established").await;
    let data = inside(&established);
    let id = data["socket_id"].as_str().unwrap().to_owned();
    (client, id)
}

/// The JSON in an event's string.
fn inside(event: &Value) -> Value {
    let text = event["data"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("no string: {event}"))).unwrap()
}

async fn signed(server: &TestServer, place: &str, token: &Token, fields: &str) -> Value {
    let bearer = format!("authorization: Bearer {}", token.sign());
    let answer = ask(server, "POST", place, &[&bearer], fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Subscribes with what `/pusher/auth` answers.
async fn subscribe(server: &TestServer, client: &mut Client, id: &str, channel: &str, of: &Token) {
    let fields = format!("socket_id={id}&channel_name={channel}");
    let mut data = signed(server, "/pusher/auth", of, &fields).await;
    data["channel"] = json!(channel);
    client
        .send(&json!({ "event": "pusher:subscribe", "data": data }))
        .await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
}

async fn sign_in(server: &TestServer, client: &mut Client, id: &str, of: &Token) {
    let fields = format!("socket_id={id}");
    let data = signed(server, "/pusher/user-auth", of, &fields).await;
    client
        .send(&json!({ "event": "pusher:signin", "data": data }))
        .await;
    client.expect("pusher:signin_success").await;
}

async fn publish(server: &TestServer, channel: &str, data: &str, exclude: Option<&str>) {
    let mut body = json!({ "name": "create", "channel": channel, "data": data });
    body["socket_id"] = json!(exclude);
    let answer = call(server, "POST", "/apps/1/events", "", &body.to_string()).await;
    assert_eq!((answer.status, &*answer.body), (200, "{}"));
}

#[tokio::test]
async fn what_the_api_publishes_reaches_whoever_was_let_on_by_a_token() {
    let server = TestServer::with(APP).await;
    let (mut client, id) = connect(&server).await;
    let (mut other, other_id) = connect(&server).await;
    let ann = Token::master("ann").claim("jti", json!("t1"));
    for (client, id) in [(&mut client, &id), (&mut other, &other_id)] {
        subscribe(&server, client, id, "private-items_1", &ann).await;
    }
    for text in ["{\"id\" : 1.0}", "plain"] {
        publish(&server, "private-items_1", text, Some(&id)).await;
        let event = other.expect("create").await;
        assert_eq!(
            (&event["channel"], &event["data"]),
            (&json!("private-items_1"), &json!(text))
        );
    }
    // The one that was left out got neither.
    publish(&server, "private-items_1", "\"last\"", None).await;
    assert_eq!(client.expect("create").await["data"], "\"last\"");
}

#[tokio::test]
async fn presence_is_the_tokens_subject_and_info() {
    let server = TestServer::with(APP).await;
    let (mut client, id) = connect(&server).await;
    let ann = Token::master("ann").claim("info", json!({ "name": "Ann" }));
    subscribe(&server, &mut client, &id, "presence-room", &ann).await;
    let users = call(
        &server,
        "GET",
        "/apps/1/channels/presence-room/users",
        "",
        "",
    )
    .await;
    assert_eq!(users.json(), json!({ "users": [{ "id": "ann" }] }));
    let mut native = Client::with(&server, &Token::master("bob").sign()).await;
    native.subscribe("presence-room").await;
    let joined = client.expect("pusher_internal:member_added").await;
    assert_eq!(inside(&joined)["user_id"], "bob");
    let seen = native
        .ok(json!({ "event": "channel:presence", "channel": "presence-room" }))
        .await;
    let ann = seen["members"].as_array().unwrap().iter();
    let ann: Vec<_> = ann.filter(|row| row["subject"] == "ann").collect();
    assert_eq!(ann[0]["info"], json!({ "name": "Ann" }));
}

#[tokio::test]
async fn a_user_is_reached_and_terminated_wherever_it_is_signed_in() {
    let server = TestServer::with(APP).await;
    let (mut one, one_id) = connect(&server).await;
    let (mut two, two_id) = connect(&server).await;
    let (mut other, other_id) = connect(&server).await;
    for (client, id, user) in [
        (&mut one, &one_id, "ann"),
        (&mut two, &two_id, "ann"),
        (&mut other, &other_id, "bob"),
    ] {
        sign_in(&server, client, id, &Token::of(user)).await;
        let channel = format!("#server-to-user-{user}");
        let data = json!({ "channel": channel, "auth": "" });
        client
            .send(&json!({ "event": "pusher:subscribe", "data": data }))
            .await;
        client
            .expect("pusher_internal:subscription_succeeded")
            .await;
    }
    publish(&server, "#server-to-user-ann", "1", None).await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.expect("create").await["data"], "1");
    }
    // The server's own channels are nobody's business.
    let listed = call(&server, "GET", "/apps/1/channels", "", "").await;
    assert_eq!(listed.json(), json!({ "channels": {} }));
    let path = "/apps/1/users/ann/terminate_connections";
    let answer = call(&server, "POST", path, "", "").await;
    assert_eq!((answer.status, &*answer.body), (200, "{}"));
    for client in [&mut one, &mut two] {
        assert_eq!(client.closed().await.0, 4009);
    }
    publish(&server, "#server-to-user-bob", "2", None).await;
    assert_eq!(other.expect("create").await["data"], "2");
}

#[tokio::test]
async fn a_revoked_token_takes_along_what_was_signed_for_it() {
    let server = TestServer::with(APP).await;
    let token = |id: &str| Token::master("ann").claim("jti", json!(id));
    let (mut revoked, revoked_id) = connect(&server).await;
    let (mut kept, kept_id) = connect(&server).await;
    subscribe(
        &server,
        &mut revoked,
        &revoked_id,
        "private-a",
        &token("t1"),
    )
    .await;
    subscribe(&server, &mut kept, &kept_id, "private-a", &token("t2")).await;
    // Signed before, shown after.
    let (mut late, late_id) = connect(&server).await;
    let fields = format!("socket_id={late_id}&channel_name=private-a");
    let mut early = signed(&server, "/pusher/auth", &token("t1"), &fields).await;
    let request = RevokeSessionsRequest {
        target: Some(Target::TokenId("t1".into())),
        ..RevokeSessionsRequest::default()
    };
    server.control().await.revoke(request).await;
    assert_eq!(revoked.closed().await.0, 4009);
    early["channel"] = json!("private-a");
    late.send(&json!({ "event": "pusher:subscribe", "data": early }))
        .await;
    let told = eventually("the late one is refused", || async {
        let path = "/apps/1/channels/private-a";
        let told = call(&server, "GET", path, "info=subscription_count", "").await;
        (told.json()["subscription_count"] == 1).then_some(told)
    });
    told.await;
    publish(&server, "private-a", "1", None).await;
    assert_eq!(kept.expect("create").await["data"], "1");
}

#[tokio::test]
async fn a_revoked_session_takes_along_every_token_that_it_used() {
    let server = TestServer::with(APP).await;
    // The very same tokens throughout: each is known by its bytes.
    let [t1, t2, t3] = ["t1", "t2", "t3"].map(|id| Token::master(id).claim("jti", json!(id)));
    let (mut target, target_id) = connect(&server).await;
    subscribe(&server, &mut target, &target_id, "private-a", &t1).await;
    subscribe(&server, &mut target, &target_id, "private-b", &t2).await;
    let (mut other, other_id) = connect(&server).await;
    subscribe(&server, &mut other, &other_id, "private-a", &t2).await;
    let (mut kept, kept_id) = connect(&server).await;
    subscribe(&server, &mut kept, &kept_id, "private-a", &t3).await;
    let mut native = Client::with(&server, &t2.sign()).await;
    // Signed before, shown after.
    let fields = format!("socket_id={kept_id}&channel_name=private-b");
    let mut early = signed(&server, "/pusher/auth", &t2, &fields).await;

    let request = RevokeSessionsRequest {
        target: Some(Target::Session(target_id.clone())),
        ..RevokeSessionsRequest::default()
    };
    let report = server.control().await.revoke(request).await;
    assert_eq!(report.sessions_closed, 3);
    assert_eq!(target.closed().await.0, 4009);
    assert_eq!(other.closed().await.0, 4009);
    assert_eq!(native.closed().await.0, 4002);
    for token in [&t1, &t2] {
        let bearer = format!("authorization: Bearer {}", token.sign());
        let refused = ask(&server, "POST", "/pusher/auth", &[&bearer], &fields).await;
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    early["channel"] = json!("private-b");
    kept.send(&json!({ "event": "pusher:subscribe", "data": early }))
        .await;
    let refused = kept.expect("pusher:error").await;
    assert!(refused.to_string().contains("revoked"), "{refused}");
    kept.expect("pusher:subscription_error").await;
    publish(&server, "private-a", "1", None).await;
    assert_eq!(kept.expect("create").await["data"], "1");
}
