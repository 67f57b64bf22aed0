//! Who may see what, and for how long. After Resgate's 10 (reaccess) and 11 (system events).

use pogo::control::proto::{ListSessionsRequest, ReaccessRequest};
use serde_json::{Value, json};

use super::{SHARED, client, posts, verb};
use crate::support::upstream::{Held, Upstream};
use crate::support::{Client, TestServer, Token};

/// Everyone sees the same, once the API has shown it to them.
const ASKED: &str = r#"
    access = { rule = "upstream", ttl = "1h" }
    audience = "shared"
    cache.max_ttl = "0s"
    version = "body:/version"
"#;

async fn shown(one: &mut Client, api: &mut Held, uri: &str, who: &str, body: &Value) {
    one.send(&json!({"id": "shown", "event": "show", "uri": uri}))
        .await;
    let asked = api.expect("GET", uri).await;
    assert_eq!(asked.subject().as_deref(), Some(who));
    asked.json(200, body);
    assert_eq!(one.next().await["data"], *body);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subject_is_asked_for_with_its_own_token_and_sees_its_own() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, "")).await;
    let mut control = server.control().await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    shown(
        &mut ann,
        &mut api,
        "/posts/1",
        "ann",
        &json!("canary of ann"),
    )
    .await;
    shown(
        &mut bob,
        &mut api,
        "/posts/1",
        "bob",
        &json!("canary of bob"),
    )
    .await;
    // A service's data reaches nobody: it says only that there is something new.
    control
        .publish("/posts/1", "update", &json!("canary of the service"))
        .await;
    for _ in 0..2 {
        let asked = api.expect("GET", "/posts/1").await;
        let who = asked.subject().unwrap();
        asked.json(200, &json!(format!("news of {who}")));
    }
    assert_eq!(ann.expect("update").await["data"], "news of ann");
    assert_eq!(bob.expect("update").await["data"], "news of bob");
    ann.quiet().await;
    bob.quiet().await;
    let history = control
        .channels
        .read_history(pogo::control::proto::ReadHistoryRequest {
            channel: "/posts/1".into(),
            limit: 100,
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(history.publications.len(), 1);
    assert_eq!(
        &history.publications[0].data[..],
        b"null",
        "nobody's data is in history"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_access_is_told_and_gets_nothing_more() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, ASKED)).await;
    let mut control = server.control().await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    let body = json!({"id": 1, "version": 1});
    shown(&mut ann, &mut api, "/posts/1", "ann", &body).await;
    shown(&mut bob, &mut api, "/posts/1", "bob", &body).await;
    let mut checking = control.clone();
    let checking = tokio::spawn(async move {
        let request = ReaccessRequest {
            uri_pattern: Some("/posts/*".into()),
            ..Default::default()
        };
        checking
            .endpoints
            .reaccess(request)
            .await
            .unwrap()
            .into_inner()
    });
    let mut held = vec![
        api.expect("GET", "/posts/1").await,
        api.expect("GET", "/posts/1").await,
    ];
    // Held back until it is known who may have it.
    control
        .publish("/posts/1", "update", &json!({"id": 1, "version": 2}))
        .await;
    ann.quiet().await;
    bob.quiet().await;
    held.sort_by_key(|asked| asked.subject());
    let (for_bob, for_ann) = (held.pop().unwrap(), held.pop().unwrap());
    for_ann.json(200, &json!({"id": 1, "version": 2}));
    for_bob.json(403, &json!({"error": "no"}));
    assert_eq!(ann.expect("update").await["data"]["version"], 2);
    let ended = bob.expect("pogo:unsubscribed").await;
    assert_eq!(ended["data"]["reason"], "forbidden", "{ended}");
    let done = checking.await.unwrap();
    assert_eq!((done.rechecked, done.removed), (2, 1));
    control
        .publish("/posts/1", "update", &json!({"id": 1, "version": 3}))
        .await;
    ann.expect("update").await;
    bob.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_busy_loses_access_at_once_and_is_told_in_turn() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, ASKED)).await;
    let mut control = server.control().await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    let body = json!({"id": 1, "version": 1});
    shown(&mut ann, &mut api, "/posts/1", "ann", &body).await;
    shown(&mut bob, &mut api, "/posts/1", "bob", &body).await;
    ann.send(&json!({"id": "list", "event": "channel:subscribe", "channels": ["/posts/2"]}))
        .await;
    let slow = api.expect("GET", "/posts/2").await;
    let mut checking = control.clone();
    let checking = tokio::spawn(async move {
        let request = ReaccessRequest {
            uri_pattern: Some("/posts/1".into()),
            ..Default::default()
        };
        checking.endpoints.reaccess(request).await.unwrap();
    });
    for _ in 0..2 {
        let asked = api.expect("GET", "/posts/1").await;
        let denied = asked.subject().as_deref() == Some("ann");
        asked.json(if denied { 403 } else { 200 }, &body);
    }
    checking.await.unwrap();
    let request = ListSessionsRequest {
        channel: Some("/posts/1".into()),
        ..Default::default()
    };
    let listed = control.sessions.list_sessions(request).await.unwrap();
    let listed = listed.into_inner().sessions;
    let on_it: Vec<_> = listed.iter().map(|one| one.subject.as_deref()).collect();
    assert_eq!(on_it, [Some("bob")], "ann is off it at once");
    control
        .publish("/posts/1", "update", &json!({"id": 1, "version": 2}))
        .await;
    assert_eq!(bob.expect("update").await["data"]["version"], 2);
    slow.json(200, &json!({"id": 2, "version": 1}));
    assert_eq!(ann.next().await["id"], "list");
    let ended = ann.expect("pogo:unsubscribed").await;
    assert_eq!(ended["data"]["reason"], "forbidden", "{ended}");
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_is_checked_on_every_bound_uri() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, ASKED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    for id in [1, 2] {
        let body = json!({"id": id, "version": 1});
        shown(&mut ann, &mut api, &format!("/posts/{id}"), "ann", &body).await;
    }
    let fresh = Token::of("ann").claim("jti", json!("fresh")).sign();
    ann.ok(json!({"event": "auth", "data": {"token": fresh}}))
        .await;
    for _ in 0..2 {
        let asked = api.next().await;
        let status = if asked.heard.path == "/posts/1" {
            200
        } else {
            404
        };
        asked.json(status, &json!({"id": 1, "version": 1}));
    }
    let ended = ann.expect("pogo:unsubscribed").await;
    assert_eq!(ended["uri"], "/posts/2", "{ended}");
    control
        .publish("/posts/1", "update", &json!({"id": 1, "version": 2}))
        .await;
    assert_eq!(ann.expect("update").await["uri"], "/posts/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_decide_without_asking_the_api() {
    let mut api = Upstream::held().await;
    let more = r#"
        access = "claims:role=editor"
        audience = "shared"
        auth.mode = "claims"
        cache.max_ttl = "0s"
    "#;
    let server = TestServer::with(&posts(&api.upstream, more)).await;
    let mut reader = client(&server, "ann").await;
    assert_eq!(reader.error(verb("show", "/posts/1")).await, "forbidden");
    api.idle();
    let editor = Token::of("eve")
        .claim("role", json!(["reader", "editor"]))
        .sign();
    let mut editor = Client::with(&server, &editor).await;
    editor
        .send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    let asked = api.expect("GET", "/posts/1").await;
    assert_eq!(asked.heard.headers["x-pogo-sub"], "eve");
    assert!(asked.heard.headers.get("authorization").is_none());
    asked.json(200, &json!(1));
    assert_eq!(editor.next().await["data"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_neither_publish_nor_read_history_where_an_endpoint_is() {
    let api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut ann = Client::with(&server, &Token::master("ann").sign()).await;
    ann.ok(verb("bind", "/posts/1")).await;
    let publish = json!({"event": "shout", "channel": "/posts/1", "data": 1});
    assert_eq!(ann.error(publish).await, "forbidden");
    let history = json!({"event": "channel:history", "channel": "/posts/1"});
    assert_eq!(ann.error(history).await, "forbidden");
    for uri in ["/posts/..%2f1", "/posts/1?evil=1", "/posts/%00"] {
        assert_eq!(ann.error(verb("show", uri)).await, "bad_request", "{uri}");
    }
    assert_eq!(ann.error(verb("show", "/comments/1")).await, "no_route");
    ann.ok(json!({"event": "channel:unsubscribe", "channel": "/%70osts/1"}))
        .await;
}
