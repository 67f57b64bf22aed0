//! Bound queries of a collection. After Resgate's 12 (query subscribe) and 13 (query event).

use serde_json::{Value, json};

use super::{SHARED, client, posts, verb};
use crate::support::TestServer;
use crate::support::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
async fn two_spellings_of_a_query_are_one_resource() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "index", "uri": "/posts?status=a%20b&page=2"}))
        .await;
    api.expect("GET", "/posts?page=2&status=a%20b")
        .await
        .json(200, &json!([]));
    assert_eq!(ann.next().await["bound"], "/posts?page=2&status=a%20b");
    let asked =
        json!({"id": 2, "event": "index", "uri": "/posts", "data": {"page": 2, "status": "a b"}});
    ann.send(&asked).await;
    api.expect("GET", "/posts?page=2&status=a%20b")
        .await
        .json(200, &json!([]));
    assert_eq!(ann.next().await["bound"], "/posts?page=2&status=a%20b");
    assert_eq!(
        ann.error(verb("index", "/posts?evil=1")).await,
        "bad_request"
    );
    ann.ok(verb("unbind", "/posts?status=a%20b&page=2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_fetches_each_bound_query_once_and_tells_the_difference() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut control = server.control().await;
    let mut clients = vec![];
    for uri in [
        "/posts?status=open",
        "/posts?status=open",
        "/posts?status=done",
    ] {
        let mut one = client(&server, "ann").await;
        one.send(&json!({"id": 1, "event": "index", "uri": uri}))
            .await;
        let before = if uri.ends_with("open") {
            json!([{"id": 1}, {"id": 2}])
        } else {
            json!([])
        };
        api.expect("GET", uri).await.json(200, &before);
        assert_eq!(one.next().await["data"], before);
        clients.push(one);
    }
    control
        .publish("/posts/1", "update", &json!({"id": 1, "status": "done"}))
        .await;
    for _ in 0..2 {
        let asked = api.next().await;
        let now = match &*asked.heard.path {
            "/posts?status=open" => json!([{"id": 2}]),
            "/posts?status=done" => json!([{"id": 1, "status": "done"}]),
            other => panic!("asked for {other}"),
        };
        asked.json(200, &now);
    }
    for one in &mut clients[..2] {
        let push = one.expect("delete").await;
        assert_eq!(
            (&push["uri"], &push["item"]),
            (&json!("/posts?status=open"), &json!("/posts/1"))
        );
    }
    let push = clients[2].expect("create").await;
    assert_eq!(
        (&push["item"], &push["data"]),
        (&json!("/posts/1"), &json!({"id": 1, "status": "done"}))
    );
    for one in &mut clients {
        one.quiet().await;
    }
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_an_event_did_not_change_is_told_nothing() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "index", "uri": "/posts?page=1"}))
        .await;
    api.expect("GET", "/posts?page=1")
        .await
        .json(200, &json!([{"id": 1}, {"id": 2}]));
    ann.next().await;
    control.publish("/posts", "create", &json!({"id": 3})).await;
    // In another order, which is no event either.
    api.expect("GET", "/posts?page=1")
        .await
        .json(200, &json!([{"id": 2}, {"id": 1}]));
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_compared_is_announced_as_lost() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "index", "uri": "/posts?page=1"}))
        .await;
    api.expect("GET", "/posts?page=1")
        .await
        .json(200, &json!({"a": 1}));
    ann.next().await;
    control.publish("/posts", "create", &Value::Null).await;
    api.expect("GET", "/posts?page=1")
        .await
        .json(200, &json!({"a": 2}));
    assert_eq!(ann.expect("pogo:gap").await["uri"], "/posts?page=1");
}
