//! Tokens: how they come in, what they allow, how they end. (What makes a token good is tested
//! beside `auth`.)

use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::{
    DeleteRevocationRequest, ListRevocationsRequest, RevokeSessionsRequest,
};
use serde_json::json;

use crate::support::{Client, Connect, TestServer, Token, unix_now};

fn auth(token: &str) -> serde_json::Value {
    json!({"event": "auth", "data": {"token": token}})
}

#[tokio::test]
async fn a_token_may_come_by_each_door() {
    let server = TestServer::start().await;
    let good = Token::of("alice").sign();
    for connect in [Connect::new().bearer(&good), Connect::new().token(&good)] {
        assert_eq!(
            Client::welcomed(&server, &connect).await.1["subject"],
            "alice"
        );
    }
    let mut client = Client::anonymous(&server).await;
    let data = client.ok(auth(&good)).await;
    assert_eq!(data["subject"], "alice");
    assert!(
        data["expires"].is_u64() && data["session"].is_string(),
        "{data}"
    );
    assert_eq!(data["channels"], json!([]));
}

#[tokio::test]
async fn a_bad_token_is_refused_where_its_sender_can_see_it() {
    let server = TestServer::with("[edge]\ntoken_in_query = true").await;
    let bad = Token::of("alice").sign_with("another secret, also long enough to be one of ours");
    assert_eq!(Connect::new().bearer(&bad).refused(&server).await, 401);
    assert_eq!(
        Connect::new().bearer("nonsense").refused(&server).await,
        401
    );
    let unauthenticated = (4001, "unauthenticated".to_owned());
    assert_eq!(
        Connect::new()
            .token(&bad)
            .open(&server)
            .await
            .closed()
            .await,
        unauthenticated
    );
    let query = Connect::new().path(&format!("/ws?token={bad}"));
    assert_eq!(query.open(&server).await.closed().await, unauthenticated);
    let query = Connect::new().path(&format!("/ws?token={}", Token::of("bob").sign()));
    assert_eq!(Client::welcomed(&server, &query).await.1["subject"], "bob");

    let mut client = Client::with(&server, &Token::of("alice").sign()).await;
    client.subscribe("news").await;
    assert_eq!(client.error(auth(&bad)).await, "unauthenticated");
    assert_eq!(
        client
            .error(auth(&Token::of("alice").expires_in(-60).sign()))
            .await,
        "token_expired"
    );
    let mut control = server.control().await;
    assert_eq!(
        control.publish("news", "e", &json!(1)).await.receivers,
        1,
        "it goes on as it was"
    );
}

#[tokio::test]
async fn a_token_in_the_query_counts_only_where_that_is_allowed() {
    let server = TestServer::start().await;
    let query = Connect::new().path(&format!("/ws?token={}", Token::of("bob").sign()));
    let (_, welcome) = Client::welcomed(&server, &query).await;
    assert!(welcome.get("subject").is_none(), "{welcome}");
}

#[tokio::test]
async fn without_a_token_a_session_ends_at_the_deadline() {
    let server = TestServer::with("[edge]\nauth_deadline = \"300ms\"").await;
    let mut idle = Client::anonymous(&server).await;
    let mut authenticated = Client::anonymous(&server).await;
    authenticated.ok(auth(&Token::of("a").sign())).await;
    assert_eq!(
        idle.error(json!({"event": "channel:subscribe", "channel": "x"}))
            .await,
        "unauthenticated"
    );
    assert_eq!(idle.closed().await, (4001, "unauthenticated".into()));
    authenticated.subscribe("x").await;
    let server =
        TestServer::with("[edge]\nauth_deadline = \"300ms\"\n[auth]\nrequired = false").await;
    let mut free = Client::anonymous(&server).await;
    free.silent_for(std::time::Duration::from_millis(600)).await;
}

#[tokio::test]
async fn rules_and_capabilities_decide_together() {
    let server = TestServer::with(
        r#"
        [[channel]]
        pattern = "open-*"
        subscribe = "anyone"
        publish = "anyone"
        [[channel]]
        pattern = "closed-*"
        subscribe = "nobody"
        publish = "nobody"
        "#,
    )
    .await;
    let subscribe = |channel: &str| json!({"event": "channel:subscribe", "channel": channel});
    let publish = |channel: &str| json!({"event": "e", "channel": channel, "data": 1});
    let mut plain = Client::with(&server, &Token::of("a").sign()).await;
    plain.ok(subscribe("news")).await;
    plain.ok(publish("open-1")).await;
    for refused in [
        publish("news"),
        subscribe("private-x"),
        subscribe("presence-x"),
        subscribe("closed-1"),
    ] {
        assert_eq!(plain.error(refused.clone()).await, "forbidden", "{refused}");
    }
    let caps = json!({"private-*": ["subscribe"], "news": ["publish"], "closed-*": ["*"]});
    let mut capable = Client::with(&server, &Token::of("b").claim("caps", caps).sign()).await;
    capable.ok(subscribe("private-x")).await;
    capable.ok(publish("news")).await;
    for refused in [
        publish("private-x"),
        subscribe("private-a/b"),
        subscribe("closed-1"),
    ] {
        assert_eq!(
            capable.error(refused.clone()).await,
            "forbidden",
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_refresh_keeps_the_session_and_drops_what_is_no_longer_allowed() {
    let server = TestServer::start().await;
    let caps = json!({"private-a": ["subscribe"], "private-b": ["subscribe"]});
    let first = Token::of("alice").claim("caps", caps).sign();
    let mut client = Client::with(&server, &first).await;
    client.subscribe("private-a").await;
    client.subscribe("private-b").await;
    let less = Token::of("alice")
        .claim("caps", json!({"private-a": ["subscribe"]}))
        .claim("channels", json!(["inbox"]))
        .expires_in(7200);
    let data = client.ok(auth(&less.sign())).await;
    assert_eq!(data["channels"], json!(["inbox"]));
    assert!(data["expires"].as_u64().unwrap() > unix_now() + 7000);
    let dropped = client.expect("pogo:unsubscribed").await;
    assert_eq!(dropped["channel"], "private-b");
    assert!(dropped["data"]["reason"].is_string(), "{dropped}");
    let mut control = server.control().await;
    assert_eq!(
        control.publish("private-a", "e", &json!(1)).await.receivers,
        1
    );
    assert_eq!(
        control.publish("private-b", "e", &json!(1)).await.receivers,
        0
    );
    assert_eq!(control.publish("inbox", "e", &json!(1)).await.receivers, 1);
    assert_eq!(
        client.error(auth(&Token::of("bob").sign())).await,
        "forbidden",
        "another subject"
    );
}

fn revoke(target: Target) -> RevokeSessionsRequest {
    RevokeSessionsRequest {
        target: Some(target),
        reason: "test".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_revoked_subject_is_closed_and_refused() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let token = Token::of("mallory")
        .claim("iat", json!(unix_now() - 10))
        .sign();
    let mut first = Client::with(&server, &token).await;
    let mut second = Client::with(&server, &token).await;
    let mut other = Client::with(&server, &Token::of("alice").sign()).await;

    let target = Target::Subject("mallory".into());
    let dry = RevokeSessionsRequest {
        dry_run: true,
        ..revoke(target.clone())
    };
    assert_eq!(control.revoke(dry).await.sessions_closed, 2);
    first.quiet().await;

    let done = control.revoke(revoke(target)).await;
    assert_eq!(
        (done.sessions_closed, done.nodes_confirmed, done.nodes_total),
        (2, 1, 1)
    );
    assert_eq!(first.closed().await, (4002, "revoked".into()));
    assert_eq!(second.closed().await, (4002, "revoked".into()));
    other.quiet().await;
    assert_eq!(Connect::new().bearer(&token).refused(&server).await, 401);
    assert_eq!(
        Connect::new()
            .token(&token)
            .open(&server)
            .await
            .closed()
            .await
            .0,
        4002
    );
    assert_eq!(
        Client::anonymous(&server).await.error(auth(&token)).await,
        "token_revoked"
    );
    let undated = Token::of("mallory").without("iat").sign();
    assert_eq!(
        Connect::new()
            .token(&undated)
            .open(&server)
            .await
            .closed()
            .await
            .0,
        4002
    );
    let fresh = Token::of("mallory")
        .claim("iat", json!(unix_now() + 2))
        .sign();
    Client::with(&server, &fresh).await;
}

#[tokio::test]
async fn a_token_id_and_a_session_are_revoked_alone() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let named = Token::of("a").claim("jti", json!("t-1")).sign();
    let mut by_id = Client::with(&server, &named).await;
    let shared = Token::of("a").claim("jti", json!("t-2")).sign();
    let (mut one, welcome) = Client::welcomed(&server, &Connect::new().token(&shared)).await;
    let mut twin = Client::with(&server, &shared).await;
    let mut other = Client::with(&server, &Token::of("a").claim("jti", json!("t-3")).sign()).await;

    assert_eq!(
        control
            .revoke(revoke(Target::TokenId("t-1".into())))
            .await
            .sessions_closed,
        1
    );
    assert_eq!(by_id.closed().await.0, 4002);
    let session = welcome["session"].as_str().unwrap().to_owned();
    assert_eq!(
        control
            .revoke(revoke(Target::Session(session)))
            .await
            .sessions_closed,
        2
    );
    assert_eq!((one.closed().await.0, twin.closed().await.0), (4002, 4002));
    other.quiet().await;
    for token in [&named, &shared] {
        assert_eq!(
            Connect::new()
                .token(token)
                .open(&server)
                .await
                .closed()
                .await
                .0,
            4002
        );
    }
}

#[tokio::test]
async fn revocations_are_listed_lifted_and_survive_a_restart() {
    let state = "[state]\npath = \"{folder}/state\"";
    let server = TestServer::with(state).await;
    let mut control = server.control().await;
    let token = Token::of("a").claim("jti", json!("t-1")).sign();
    control.revoke(revoke(Target::TokenId("t-1".into()))).await;
    drop(control);
    let folder = server.stopped().await;

    let server = TestServer::builder()
        .folder(folder)
        .config(state)
        .start()
        .await;
    assert_eq!(Connect::new().bearer(&token).refused(&server).await, 401);
    let mut control = server.control().await;
    let list = ListRevocationsRequest::default();
    let listed = control
        .sessions
        .list_revocations(list.clone())
        .await
        .unwrap()
        .into_inner();
    let [revocation] = &listed.revocations[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (revocation.token_id.as_deref(), &*revocation.reason),
        (Some("t-1"), "test")
    );
    let delete = DeleteRevocationRequest {
        id: revocation.id.clone(),
    };
    control.sessions.delete_revocation(delete).await.unwrap();
    Client::with(&server, &token).await;
    let listed = control
        .sessions
        .list_revocations(list)
        .await
        .unwrap()
        .into_inner();
    assert!(listed.revocations.is_empty(), "{listed:?}");
}
