//! How Pusher sessions end: with Pusher's codes, and with all that acts on native ones.

use std::time::Duration;

use pogo::control::proto::{
    ListSessionsRequest, RevokeSessionsRequest, SendToSessionRequest, SubscribeSessionRequest,
    UnsubscribeSessionRequest, revoke_sessions_request, subscribe_session_request,
    unsubscribe_session_request,
};
use serde_json::{Value, json};

use super::error;
use crate::support::http::{APP, ask};
use crate::support::pusher::QUERY;
use crate::support::{Client, Pusher, TestServer, Token};

/// A signature that Pogo makes of a token.
async fn signature(server: &TestServer, client: &Pusher, channel: &str, token: &Token) -> String {
    let body = format!("socket_id={}&channel_name={channel}", client.id);
    let bearer = format!("authorization: Bearer {}", token.sign());
    let form = "content-type: application/x-www-form-urlencoded";
    let answer = ask(
        server,
        "POST",
        "/pusher/auth",
        &[form, &bearer, "connection: close"],
        &body,
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["auth"].as_str().unwrap().to_owned()
}

async fn subscribe_with(client: &mut Pusher, channel: &str, auth: &str) {
    let data = json!({"channel": channel, "auth": auth});
    client.say("pusher:subscribe", data).await;
}

fn token(subject: &str) -> Token {
    Token::master(subject).claim("jti", json!(format!("{subject}-1")))
}

#[tokio::test]
async fn a_revoked_token_ends_the_session_that_showed_its_signature() {
    let server = TestServer::with(APP).await;
    let mut control = server.control().await;
    let revoke = |target| RevokeSessionsRequest {
        target: Some(target),
        ..RevokeSessionsRequest::default()
    };
    for target in [
        revoke_sessions_request::Target::Subject("ann".into()),
        revoke_sessions_request::Target::TokenId("bob-1".into()),
    ] {
        let who = match &target {
            revoke_sessions_request::Target::Subject(_) => "ann",
            _ => "bob",
        };
        let mut old = Pusher::with_query(&server, "?protocol=5").await;
        let (mut shown, mut other) = (Pusher::open(&server).await, Pusher::open(&server).await);
        for client in [&mut old, &mut shown] {
            let auth = signature(&server, client, "private-a", &token(who)).await;
            subscribe_with(client, "private-a", &auth).await;
            client
                .expect("pusher_internal:subscription_succeeded")
                .await;
        }
        other.subscribe("private-a").await;
        let late = Pusher::open(&server).await;
        let unused = signature(&server, &late, "private-a", &token(who)).await;
        let report = control.revoke(revoke(target)).await;
        assert_eq!(report.sessions_closed, 2);
        let (code, reason) = shown.closed().await;
        assert_eq!((code, reason.contains("authorized")), (4009, true));
        error(&mut old, json!(4009)).await;
        assert_eq!(old.closed().await.0, 4009);
        other.quiet().await;
        let mut late = late;
        subscribe_with(&mut late, "private-a", &unused).await;
        assert!(error(&mut late, Value::Null).await.contains("revoked"));
    }
}

#[tokio::test]
async fn sessions_of_the_app_are_found_by_id_and_by_user() {
    let server = TestServer::with(APP).await;
    let mut control = server.control().await;
    let (mut one, mut two) = (Pusher::open(&server).await, Pusher::open(&server).await);
    one.sign_in(&json!({"id": "ann"})).await;
    let list = control.sessions.list_sessions(ListSessionsRequest {
        subject: Some("ann".into()),
        ..ListSessionsRequest::default()
    });
    let listed = list.await.unwrap().into_inner().sessions;
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].protocol, &listed[0].id), ("pusher", &one.id));
    assert!(listed[0].channels.is_empty(), "{:?}", listed[0].channels);
    let user = revoke_sessions_request::Target::Subject("ann".into());
    let session = revoke_sessions_request::Target::Session(two.id.clone());
    for target in [user, session] {
        let request = RevokeSessionsRequest {
            target: Some(target),
            ..RevokeSessionsRequest::default()
        };
        assert_eq!(control.revoke(request).await.sessions_closed, 1);
    }
    assert_eq!(one.closed().await.0, 4009);
    assert_eq!(two.closed().await.0, 4009);
}

#[tokio::test]
async fn the_first_token_to_end_ends_the_session() {
    let server = TestServer::with(&format!("[auth]\nleeway = '0s'\n{APP}")).await;
    let mut client = Pusher::open(&server).await;
    let auth = signature(&server, &client, "private-a", &token("ann")).await;
    subscribe_with(&mut client, "private-a", &auth).await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    let short = token("ann").expires_in(2);
    let auth = signature(&server, &client, "private-b", &short).await;
    subscribe_with(&mut client, "private-b", &auth).await;
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    assert_eq!(client.closed().await.0, 4200);
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_closed_with_4201() {
    let spans = "[pusher]\nactivity_timeout = '1s'\npong_timeout = '200ms'\n";
    let server = TestServer::with(&format!("{spans}{APP}")).await;
    let mut client = crate::support::pusher::connect(crate::support::http::APP_KEY, QUERY)
        .open(&server)
        .await;
    let established = client.next().await;
    let data = crate::support::pusher::inner(&established);
    assert_eq!(data["activity_timeout"], 1);
    client.expect("pusher:ping").await;
    client
        .send(&json!({"event": "pusher:pong", "data": {}}))
        .await;
    client.expect("pusher:ping").await;
    assert_eq!(client.closed().await.0, 4201);
}

#[tokio::test]
async fn a_drain_closes_with_4200() {
    let mut server = TestServer::with(APP).await;
    let mut client = Pusher::open(&server).await;
    let mut old = Pusher::with_query(&server, "").await;
    server.stop();
    assert_eq!(client.closed().await.0, 4200);
    error(&mut old, json!(4200)).await;
    assert_eq!(old.closed().await.0, 4200);
}

#[tokio::test]
async fn services_act_on_pusher_sessions_too() {
    let server = TestServer::with(APP).await;
    let mut control = server.control().await;
    let mut client = Pusher::open(&server).await;
    let send = SendToSessionRequest {
        session: client.id.clone(),
        event: "hi".into(),
        data: b"{\"a\":1}".to_vec().into(),
    };
    control.sessions.send_to_session(send).await.unwrap();
    let got = client.next().await;
    assert_eq!(got, json!({"event": "hi", "data": "{\"a\":1}"}));
    let subscribe = SubscribeSessionRequest {
        channel: "private-x".into(),
        target: Some(subscribe_session_request::Target::Session(
            client.id.clone(),
        )),
    };
    control.sessions.subscribe_session(subscribe).await.unwrap();
    client
        .expect("pusher_internal:subscription_succeeded")
        .await;
    control.publish("private-x", "e", &json!(1)).await;
    client.expect("e").await;
    let unsubscribe = UnsubscribeSessionRequest {
        channel: "private-x".into(),
        target: Some(unsubscribe_session_request::Target::Session(
            client.id.clone(),
        )),
        reason: "over".into(),
    };
    control
        .sessions
        .unsubscribe_session(unsubscribe)
        .await
        .unwrap();
    client.expect("pusher:subscription_error").await;
    control.publish("private-x", "e", &json!(1)).await;
    client.quiet().await;
}

#[tokio::test]
async fn who_does_not_read_is_closed_with_4100() {
    let small = "[edge]\nmailbox_bytes = 65536\nunsent_bytes = 1024\n";
    let server = TestServer::with(&format!("{small}{APP}")).await;
    let mut control = server.control().await;
    let mut client = Pusher::open(&server).await;
    client.subscribe("news").await;
    let mut native = Client::with(&server, &Token::master("n").sign()).await;
    let label = "pogo_disconnects_total{code=\"4100\"}";
    let data = json!("x".repeat(60_000));
    for _ in 0..2_000 {
        control.publish("news", "e", &data).await;
        if server.metric(label).await > 0.5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((server.metric(label).await - 1.0).abs() < 0.1);
    native.quiet().await;
}
