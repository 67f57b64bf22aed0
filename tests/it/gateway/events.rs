//! Writes and events: who is told, of what, and in which order. After Resgate's 29 (delete) and 08.

use serde_json::{Value, json};

use super::{SHARED, VERSIONED, client, posts, verb};
use crate::support::upstream::{Held, Upstream};
use crate::support::{Client, TestServer};

async fn shown(one: &mut Client, api: &mut Held, uri: &str, body: &Value) {
    one.send(&json!({"id": "shown", "event": if uri == "/posts" { "index" } else { "show" }, "uri": uri}))
        .await;
    api.expect("GET", uri).await.json(200, body);
    let reply = one.next().await;
    assert_eq!(
        (&reply["id"], &reply["data"]),
        (&json!("shown"), body),
        "{reply}"
    );
}

/// Answers the next GETs, in whichever order they come.
async fn answer_gets(api: &mut Held, count: usize, answer: impl Fn(&str) -> (u16, Value)) {
    for _ in 0..count {
        let asked = api.next().await;
        assert_eq!(asked.heard.method, "GET");
        let (status, body) = answer(&asked.heard.path);
        asked.json(status, &body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_answered_first_and_then_told_to_item_and_list() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    let old = json!({"id": 1, "title": "a", "version": 1});
    let new = json!({"id": 1, "title": "b", "version": 2});
    shown(&mut ann, &mut api, "/posts/1", &old).await;
    shown(&mut bob, &mut api, "/posts", &json!([old])).await;

    ann.send(&json!({"id": 17, "event": "update", "uri": "/posts/1", "data": {"title": "b"}}))
        .await;
    let asked = api.expect("PATCH", "/posts/1").await;
    assert_eq!(asked.heard.body, r#"{"title":"b"}"#);
    asked.json(200, &new);
    let reply = ann.next().await;
    assert_eq!(
        (&reply["id"], &reply["status"]),
        (&json!(17), &json!("ok")),
        "{reply}"
    );
    assert_eq!((&reply["code"], &reply["data"]), (&json!(200), &new));
    let copy = ann.expect("update").await;
    assert_eq!((&copy["uri"], &copy["data"]), (&json!("/posts/1"), &new));
    assert_eq!(
        (&copy["re"], &reply["offset"], &copy["offset"]),
        (&json!(17), &json!(0), &json!(1))
    );
    let told = bob.expect("update").await;
    assert_eq!(
        (&told["uri"], &told["item"]),
        (&json!("/posts"), &json!("/posts/1"))
    );
    assert_eq!(told["data"], new);
    assert!(told["re"].is_null(), "{told}");
    ann.quiet().await;
    bob.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_may_leave_its_own_copy_out() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut ann = client(&server, "ann").await;
    shown(&mut ann, &mut api, "/posts/1", &json!({"version": 1})).await;
    let update = json!({"id": 2, "event": "update", "uri": "/posts/1", "data": {}, "options": {"echo": false}});
    ann.send(&update).await;
    api.expect("PATCH", "/posts/1")
        .await
        .json(200, &json!({"version": 2}));
    assert_eq!(ann.next().await["id"], 2);
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_binds_to_the_new_item_wherever_the_api_says_it_is() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut ann = client(&server, "ann").await;
    for (id, location) in [
        (7, Some("/posts/7")),
        (8, Some("http://elsewhere.test/posts/9")),
        (9, None),
    ] {
        ann.send(&json!({"id": id, "event": "create", "uri": "/posts", "data": {"title": "n"}}))
            .await;
        let mut reply = crate::support::upstream::json_reply(201, &json!({"id": id, "version": 1}));
        if let Some(location) = location {
            reply
                .headers_mut()
                .insert("location", location.parse().unwrap());
        }
        api.expect("POST", "/posts").await.reply(reply);
        let reply = ann.next().await;
        assert_eq!(reply["code"], 201, "{reply}");
        assert_eq!(
            reply["bound"],
            format!("/posts/{id}"),
            "a host that is not the API's is not believed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_told_and_unbound() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    let body = json!({"id": 1, "version": 1});
    shown(&mut ann, &mut api, "/posts", &json!([body])).await;
    shown(&mut bob, &mut api, "/posts/1", &body).await;
    ann.send(&json!({"id": 3, "event": "delete", "uri": "/posts/1"}))
        .await;
    api.expect("DELETE", "/posts/1")
        .await
        .json(204, &Value::Null);
    let reply = ann.next().await;
    assert_eq!(
        (&reply["id"], &reply["code"], &reply["data"]),
        (&json!(3), &json!(204), &Value::Null)
    );
    answer_gets(&mut api, 2, |path| match path {
        "/posts" => (200, json!([])),
        _ => (404, Value::Null),
    })
    .await;
    let told = ann.expect("delete").await;
    assert_eq!(
        (&told["uri"], &told["item"]),
        (&json!("/posts"), &json!("/posts/1"))
    );
    assert_eq!(bob.expect("delete").await["uri"], "/posts/1");
    let ended = bob.expect("pogo:unsubscribed").await;
    assert_eq!(
        (&ended["uri"], &ended["data"]["reason"]),
        (&json!("/posts/1"), &json!("gone"))
    );
    assert_eq!(
        bob.error(verb("unbind", "/posts/1")).await,
        "not_subscribed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_event_has_the_effects_of_a_write() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut control = server.control().await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    shown(
        &mut ann,
        &mut api,
        "/posts/1",
        &json!({"id": 1, "version": 1}),
    )
    .await;
    shown(
        &mut bob,
        &mut api,
        "/posts",
        &json!([{"id": 1, "version": 1}]),
    )
    .await;
    let new = json!({"id": 1, "version": 2});
    // In another spelling of the same uri.
    control.publish("/%70osts/1", "update", &new).await;
    let told = ann.expect("update").await;
    assert_eq!((&told["uri"], &told["data"]), (&json!("/posts/1"), &new));
    let told = bob.expect("update").await;
    assert_eq!(
        (&told["uri"], &told["item"], &told["data"]),
        (&json!("/posts"), &json!("/posts/1"), &new)
    );
    // An event that is no change of the resource passes as it is.
    control
        .publish("/posts/1", "viewed", &json!({"by": "eve"}))
        .await;
    assert_eq!(ann.expect("viewed").await["data"], json!({"by": "eve"}));
    control.publish("/posts/1", "delete", &Value::Null).await;
    // Which may be late: whether it is so is asked.
    answer_gets(&mut api, 2, |path| match path {
        "/posts" => (200, json!([])),
        _ => (404, Value::Null),
    })
    .await;
    ann.expect("delete").await;
    ann.expect("pogo:unsubscribed").await;
    assert_eq!(bob.expect("delete").await["item"], "/posts/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_after_an_update_never_shows_what_was_before() {
    let mut api = Upstream::held().await;
    let cached = SHARED.replace(r#"cache.max_ttl = "0s""#, "");
    let server = TestServer::with(&posts(&api.upstream, &cached)).await;
    let (mut ann, mut bob) = (client(&server, "ann").await, client(&server, "bob").await);
    bob.send(&json!({"id": 1, "event": "show", "uri": "/posts/1", "options": {"bind": false}}))
        .await;
    let early = api.expect("GET", "/posts/1").await;
    ann.send(&json!({"id": 1, "event": "update", "uri": "/posts/1", "data": {}, "options": {"bind": false}})).await;
    api.expect("PATCH", "/posts/1")
        .await
        .json(204, &Value::Null);
    assert_eq!(ann.next().await["id"], 1);
    ann.send(&json!({"id": 2, "event": "show", "uri": "/posts/1", "options": {"bind": false}}))
        .await;
    let fresh = |body: &Value| {
        let mut reply = crate::support::upstream::json_reply(200, body);
        reply
            .headers_mut()
            .insert("cache-control", "max-age=60".parse().unwrap());
        reply
    };
    let late = api.expect("GET", "/posts/1").await;
    early.reply(fresh(&json!("before")));
    assert_eq!(bob.next().await["data"], "before");
    late.reply(fresh(&json!("after")));
    assert_eq!(ann.next().await["data"], "after");
    // And what was fetched before the write was not kept.
    let kept = bob
        .command(json!({"event": "show", "uri": "/posts/1", "options": {"bind": false}}))
        .await;
    assert_eq!(kept["data"], "after");
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_outcome_is_unknown_says_so() {
    let mut api = Upstream::held().await;
    let more = format!("{SHARED}\nupstream.timeout = \"300ms\"");
    let server = TestServer::with(&posts(&api.upstream, &more)).await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "update", "uri": "/posts/1", "data": {}}))
        .await;
    let asked = api.expect("PATCH", "/posts/1").await;
    let reply = ann.next().await;
    assert_eq!(reply["error"]["code"], "timeout", "{reply}");
    assert_eq!(reply["error"]["outcome"], "unknown", "{reply}");
    drop(asked);
}
