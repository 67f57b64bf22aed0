//! A snapshot and what follows it: nothing lost, doubled or older than what was shown. After
//! Resgate's 01 (subscribe) and 18 (events while queueing).

use serde_json::{Value, json};

use super::{SHARED, VERSIONED, client, posts, verb};
use crate::support::TestServer;
use crate::support::upstream::Upstream;

fn post(version: u64) -> Value {
    json!({"id": 1, "title": format!("v{version}"), "version": version})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_binds_and_says_where_it_stands() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut ann = client(&server, "ann").await;
    let showing = ann.command(verb("show", "/posts/1"));
    let answering = async { api.expect("GET", "/posts/1").await.json(200, &post(1)) };
    let (reply, ()) = tokio::join!(showing, answering);
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!((&reply["code"], &reply["data"]), (&json!(200), &post(1)));
    assert_eq!(reply["bound"], "/posts/1");
    assert_eq!(reply["offset"], 0, "{reply}");
    assert!(reply["epoch"].is_string(), "{reply}");
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bind_alone_fetches_nothing_where_everyone_may() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut ann = client(&server, "ann").await;
    let bound = ann.ok(verb("bind", "/posts/1")).await;
    assert!(
        bound["epoch"].is_string() && bound["offset"] == 0,
        "{bound}"
    );
    ann.quiet().await;
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_versions_an_event_during_the_fetch_means_another_fetch() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    let early = api.expect("GET", "/posts/1").await;
    control.publish("/posts/1", "update", &post(2)).await;
    // What the API read before the event tells nothing of what came with it.
    early.json(200, &post(1));
    api.expect("GET", "/posts/1").await.json(200, &post(2));
    let reply = ann.next().await;
    assert_eq!((&reply["id"], &reply["data"]), (&json!(1), &post(2)));
    assert_eq!(reply["offset"], 1, "{reply}");
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_versions_what_the_snapshot_holds_is_not_pushed_again() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    let fetch = api.expect("GET", "/posts/1").await;
    for version in [2, 3, 4] {
        control.publish("/posts/1", "update", &post(version)).await;
    }
    // Older than what is known by now, so it is asked again.
    fetch.json(200, &post(3));
    api.expect("GET", "/posts/1").await.json(200, &post(4));
    let reply = ann.next().await;
    assert_eq!(
        (&reply["data"], &reply["offset"]),
        (&post(4), &json!(3)),
        "{reply}"
    );
    ann.quiet().await;
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_never_go_back_however_late_an_event_comes() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    api.expect("GET", "/posts/1").await.json(200, &post(5));
    assert_eq!(ann.next().await["data"], post(5));
    for version in [7, 6, 7, 4] {
        control.publish("/posts/1", "update", &post(version)).await;
    }
    assert_eq!(ann.expect("update").await["data"], post(7));
    ann.quiet().await;
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_are_one_request() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut clients = vec![];
    for _ in 0..20 {
        let mut one = client(&server, "ann").await;
        one.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
            .await;
        clients.push(one);
    }
    for one in &mut clients {
        // They go on meanwhile, and their calls are on their way when this is answered.
        one.ok(json!({"event": "ping"})).await;
    }
    api.expect("GET", "/posts/1").await.json(200, &post(1));
    for one in &mut clients {
        assert_eq!(one.next().await["data"], post(1));
    }
    api.idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_api_holds_nobody_else_and_nothing_else_of_the_session() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, SHARED)).await;
    let mut ann = client(&server, "ann").await;
    ann.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    let slow = api.expect("GET", "/posts/1").await;
    ann.send(&json!({"id": 2, "event": "show", "uri": "/posts/2"}))
        .await;
    api.expect("GET", "/posts/2")
        .await
        .json(200, &json!({"id": 2}));
    assert_eq!(ann.next().await["id"], 2);
    ann.ok(json!({"event": "ping"})).await;
    slow.json(200, &post(1));
    assert_eq!(ann.next().await["id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_away_gets_what_it_missed_or_hears_that_it_cannot() {
    let mut api = Upstream::held().await;
    let server = TestServer::with(&posts(&api.upstream, VERSIONED)).await;
    let mut control = server.control().await;
    let (mut ann, mut stays) = (client(&server, "ann").await, client(&server, "bob").await);
    for one in [&mut ann, &mut stays] {
        one.send(&json!({"id": 1, "event": "show", "uri": "/posts/1"}))
            .await;
    }
    api.expect("GET", "/posts/1").await.json(200, &post(1));
    let reply = ann.next().await;
    if let Ok(again) = tokio::time::timeout(std::time::Duration::from_millis(100), api.next()).await
    {
        again.json(200, &post(1));
    }
    stays.next().await;
    ann.close().await;
    control.publish("/posts/1", "update", &post(2)).await;
    stays.expect("update").await;
    let mut ann = client(&server, "ann").await;
    let since = json!({"epoch": reply["epoch"], "offset": reply["offset"]});
    let back = ann
        .ok(json!({"event": "bind", "uri": "/posts/1", "options": {"recover": since}}))
        .await;
    assert_eq!(back["recovered"], true, "{back}");
    assert_eq!(back["publications"][0]["data"], post(2), "{back}");
    let lost = json!({"epoch": "of another life", "offset": 0});
    let back = ann
        .ok(json!({"event": "bind", "uri": "/posts/1", "options": {"recover": lost}}))
        .await;
    assert_eq!(back["recovered"], false, "{back}");
}
