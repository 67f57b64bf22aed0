//! Being bound: what comes after the answer, and in which order.

use std::time::Duration;

use serde_json::json;

use super::rig::{How, Rig, sub};
use crate::resource::{Audience, CallOptions, Publisher, Since, Verb, VersionAt, WriteReturns};

/// Everyone's posts, with versions.
async fn versioned() -> Rig {
    Rig::of_posts(|posts| {
        posts.version = VersionAt::Body("/v".into());
        posts.write_returns = WriteReturns::Representation;
    })
    .await
}

fn post(version: u32) -> String {
    format!(r#"{{"id":1,"v":{version}}}"#)
}

#[tokio::test]
async fn a_show_binds_and_events_follow() {
    let rig = versioned().await;
    let ada = rig.anonymous();
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    assert_eq!(rig.publish("/posts/1", "update", &post(2)).await, 1);
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(2)));
    // Twice, and late: nothing.
    rig.publish("/posts/1", "update", &post(2)).await;
    rig.publish("/posts/1", "update", &post(1)).await;
    rig.publish("/posts/1", "update", &post(4)).await;
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(4)));
    rig.silent(&ada).await;
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_event_that_overtakes_the_snapshot_is_not_lost() {
    let rig = versioned().await;
    let ada = rig.anonymous();
    rig.call(&ada, Verb::Show, "/posts/1", How::bound());
    let slow = rig.upstream.expect("GET /posts/1").await;
    rig.publish("/posts/1", "update", &post(2)).await;
    slow.ok(&post(1));
    // Whatever way it takes, the last that Ada hears is the second.
    loop {
        tokio::select! {
            line = rig.line(&ada) => match line.contains(&post(2)) {
                true => break,
                false => assert!(line.contains(&post(1)), "{line}"),
            },
            asked = rig.upstream.next() => asked.ok(&post(2)),
        }
    }
    rig.silent(&ada).await;
}

#[tokio::test]
async fn without_versions_an_event_makes_it_be_fetched_again() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.anonymous();
    rig.bind(&ada, Verb::Show, "/posts/1", "\"a\"").await;
    rig.publish("/posts/1", "update", "\"stale\"").await;
    rig.publish("/posts/1", "update", "\"stale\"").await;
    rig.upstream.expect("GET /posts/1").await.ok("\"b\"");
    assert_eq!(rig.line(&ada).await, "update /posts/1 \"b\"");
    rig.silent(&ada).await;
    assert_eq!(rig.upstream.seen().len(), 2, "once for both");
}

#[tokio::test]
async fn the_writers_own_copy_follows_his_reply() {
    let rig = versioned().await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.bind(&bob, Verb::Show, "/posts/1", &post(1)).await;
    let how = How::bound().with("{}");
    rig.call(&ada, Verb::Update, "/posts/1", how.clone());
    rig.upstream.expect("PATCH /posts/1").await.ok(&post(2));
    assert_eq!(rig.line(&ada).await, format!("ok /posts/1 {}", post(2)));
    assert_eq!(
        rig.line(&ada).await,
        format!("update /posts/1 {} re", post(2))
    );
    assert_eq!(rig.line(&bob).await, format!("update /posts/1 {}", post(2)));
    // Who was not bound before is now.
    let eve = rig.anonymous();
    rig.call(&eve, Verb::Update, "/posts/1", how);
    rig.upstream.expect("PATCH /posts/1").await.ok(&post(3));
    assert_eq!(rig.line(&eve).await, format!("ok /posts/1 {}", post(3)));
    assert_eq!(
        rig.line(&eve).await,
        format!("update /posts/1 {} re", post(3))
    );
    for client in [&ada, &bob] {
        assert_eq!(
            rig.line(client).await,
            format!("update /posts/1 {}", post(3))
        );
    }
}

#[tokio::test]
async fn who_wants_no_copy_gets_none() {
    let rig = versioned().await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.bind(&bob, Verb::Show, "/posts/1", &post(1)).await;
    let how = How {
        body: "{}",
        quiet: true,
        ..How::bound()
    };
    rig.call(&ada, Verb::Update, "/posts/1", how);
    rig.upstream.expect("PATCH /posts/1").await.ok(&post(2));
    assert_eq!(rig.line(&ada).await, format!("ok /posts/1 {}", post(2)));
    assert_eq!(rig.line(&bob).await, format!("update /posts/1 {}", post(2)));
    rig.silent(&ada).await;
}

#[tokio::test]
async fn a_delete_ends_it_for_everyone() {
    let rig = versioned().await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.bind(&bob, Verb::Show, "/posts/1", &post(1)).await;
    rig.call(&ada, Verb::Delete, "/posts/1", How::bound());
    rig.upstream
        .expect("DELETE /posts/1")
        .await
        .answer(204, &[], "");
    assert_eq!(rig.line(&ada).await, "ok - ");
    // A delete says no version: it might be older than what is known.
    let asked = rig.upstream.expect("GET /posts/1").await;
    asked.answer(404, &[], "null");
    assert_eq!(rig.line(&ada).await, "delete /posts/1 null re");
    assert_eq!(rig.line(&ada).await, "unsubscribed /posts/1 gone");
    assert_eq!(rig.line(&bob).await, "delete /posts/1 null");
    assert_eq!(rig.line(&bob).await, "unsubscribed /posts/1 gone");
}

#[tokio::test]
async fn a_create_binds_to_the_new_item_and_tells_the_collection() {
    let rig = versioned().await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&bob, Verb::Index, "/posts", "[]").await;
    rig.call(&ada, Verb::Create, "/posts", How::bound().with("{}"));
    let location = format!("location: {}/posts/1", rig.upstream.base);
    let asked = rig.upstream.expect("POST /posts").await;
    asked.answer(201, &[&location], &post(1));
    assert_eq!(rig.line(&ada).await, format!("ok /posts/1 {}", post(1)));
    // An item that is not known may be new, or may have gone again.
    let index = format!("[{}]", post(1));
    rig.upstream.expect("GET /posts").await.ok(&index);
    assert_eq!(
        rig.line(&bob).await,
        format!("create /posts /posts/1 {}", post(1))
    );
    rig.publish("/posts/1", "update", &post(2)).await;
    // What he was answered may not be the item: his replica has yet to see it.
    rig.upstream.expect("GET /posts/1").await.ok(&post(2));
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(2)));
    assert_eq!(
        rig.line(&bob).await,
        format!("update /posts /posts/1 {}", post(2))
    );
    // Without `Location`, by its id.
    rig.call(&ada, Verb::Create, "/posts", How::bound().with("{}"));
    rig.upstream
        .next()
        .await
        .answer(201, &[], r#"{"id":"x y","v":1}"#);
    assert_eq!(
        rig.line(&ada).await,
        r#"ok /posts/x%20y {"id":"x y","v":1}"#
    );
}

#[tokio::test]
async fn nobodys_data_reaches_another() {
    let rig = Rig::of_posts(|posts| posts.audience = Audience::User).await;
    let (ada, bob) = (rig.client(&sub("ada")), rig.client(&sub("bob")));
    rig.bind(&ada, Verb::Show, "/posts/1", "\"ada 1\"").await;
    rig.bind(&bob, Verb::Show, "/posts/1", "\"bob 1\"").await;
    rig.call(&ada, Verb::Update, "/posts/1", How::bound().with("{}"));
    rig.upstream.expect("PATCH /posts/1").await.ok("\"ada 2\"");
    assert_eq!(rig.line(&ada).await, "ok /posts/1 \"ada 2\"");
    let bearer = |client: &super::rig::Client| {
        let token = client.caller.grant.as_ref().unwrap().token().unwrap();
        format!("Bearer {token}")
    };
    for _ in 0..2 {
        let asked = rig.upstream.expect("GET /posts/1").await;
        let who = match asked.header("authorization").unwrap() == bearer(&ada) {
            true => "\"ada 2\"",
            false => "\"bob 2\"",
        };
        asked.ok(who);
    }
    assert_eq!(rig.line(&ada).await, "update /posts/1 \"ada 2\" re");
    assert_eq!(rig.line(&bob).await, "update /posts/1 \"bob 2\"");
    // Nor in what a service publishes, nor in history.
    rig.publish("/posts/1", "update", "\"canary\"").await;
    let query = crate::broker::HistoryQuery {
        limit: 100,
        ..Default::default()
    };
    let page = rig
        .node
        .history(&super::rig::name("/posts/1"), query)
        .await
        .unwrap();
    assert!(page.publications.iter().all(|one| one.data == "null"));
}

#[tokio::test]
async fn a_bound_query_is_compared_by_id() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.anonymous();
    let (one, two) = (json!({"id": 1, "t": "a"}), json!({"id": 2, "t": "a"}));
    rig.bind(
        &ada,
        Verb::Index,
        "/posts?page=2",
        &json!([one, two]).to_string(),
    )
    .await;
    rig.publish("/posts/1", "update", "null").await;
    let (new, three) = (json!({"id": 1, "t": "b"}), json!({"id": 3, "t": "c"}));
    rig.upstream
        .expect("GET /posts?page=2")
        .await
        .ok(&json!([new, three]).to_string());
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(rig.line(&ada).await);
    }
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("create /posts?page=2 /posts/3 {three}"),
            "delete /posts?page=2 /posts/2 null".to_owned(),
            format!("update /posts?page=2 /posts/1 {new}"),
        ]
    );
}

#[tokio::test]
async fn what_was_missed_is_recovered() {
    let rig = versioned().await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.bind(&bob, Verb::Show, "/posts/1", &post(1)).await;
    let position = rig.position("/posts/1").await;
    rig.gateway_left(&ada, "/posts/1");
    rig.publish("/posts/1", "update", &post(2)).await;
    rig.publish("/posts/1", "update", &post(3)).await;
    let options = CallOptions {
        bind: true,
        recover: Some(Since {
            position,
            session: None,
        }),
        ..CallOptions::default()
    };
    let how = How {
        options,
        ..How::default()
    };
    let call = rig.call(&ada, Verb::Bind, "/posts/1", how);
    let success = rig.answer(call).await.unwrap();
    assert_eq!(success.recovered, Some(true));
    let data: Vec<_> = success
        .publications
        .iter()
        .map(|past| past.data.clone())
        .collect();
    assert_eq!(data, [post(2), post(3)]);
}

#[tokio::test]
async fn an_unknown_outcome_is_found_out() {
    let rig = Rig::of_posts(|posts| posts.upstream.timeout = Duration::from_millis(100)).await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&bob, Verb::Show, "/posts/1", "\"a\"").await;
    rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    let _held = rig.upstream.expect("PATCH /posts/1").await;
    assert_eq!(rig.line(&ada).await, "error timeout");
    rig.upstream.expect("GET /posts/1").await.ok("\"b\"");
    assert_eq!(rig.line(&bob).await, "update /posts/1 \"b\"");
}

#[tokio::test]
async fn where_the_service_tells_the_gateway_only_looks() {
    let rig = Rig::of_posts(|posts| posts.publish = Publisher::Service).await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&bob, Verb::Show, "/posts/1", "\"a\"").await;
    let before = rig.position("/posts/1").await;
    rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    rig.upstream.expect("PATCH /posts/1").await.ok("\"b\"");
    assert_eq!(rig.line(&ada).await, "ok - \"b\"");
    rig.upstream.expect("GET /posts/1").await.ok("\"b\"");
    assert_eq!(rig.line(&bob).await, "update /posts/1 \"b\"");
    assert_eq!(
        rig.position("/posts/1").await,
        before,
        "nothing was published"
    );
}

#[tokio::test]
async fn two_who_tell_of_one_change_are_heard_once() {
    let rig = Rig::of_posts(|posts| {
        posts.publish = Publisher::Both;
        posts.version = VersionAt::Body("/v".into());
        posts.write_returns = WriteReturns::Representation;
    })
    .await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&bob, Verb::Show, "/posts/1", &post(1)).await;
    rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    let asked = rig.upstream.expect("PATCH /posts/1").await;
    rig.publish("/posts/1", "update", &post(2)).await;
    asked.ok(&post(2));
    assert_eq!(rig.line(&ada).await, format!("ok - {}", post(2)));
    assert_eq!(rig.line(&bob).await, format!("update /posts/1 {}", post(2)));
    rig.silent(&bob).await;
}

#[tokio::test]
async fn a_bind_that_fails_leaves_nothing_behind() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.anonymous();
    rig.call(&ada, Verb::Show, "/posts/1", How::bound());
    rig.upstream.next().await.answer(404, &[], "null");
    assert_eq!(rig.line(&ada).await, "error not_found");
    let hub = rig.node.hub();
    while hub.subscribers("/posts/1") > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.publish("/posts/1", "update", "1").await;
    rig.silent(&ada).await;
}

#[tokio::test]
async fn who_shows_again_sees_what_the_upstream_says_now() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    rig.bind(&ada, Verb::Show, "/posts/1", "\"a\"").await;
    // Nobody told of the change, and nothing may be kept: each who asks is told the truth.
    rig.bind(&bob, Verb::Show, "/posts/1", "\"b\"").await;
    assert_eq!(rig.line(&ada).await, "update /posts/1 \"b\"");
    assert_eq!(rig.node.hub().subscribers("/posts/1"), 2);
    rig.bind(&ada, Verb::Show, "/posts/1", "\"b\"").await;
    assert_eq!(rig.node.hub().subscribers("/posts/1"), 2, "bound once");
}

#[tokio::test]
async fn what_is_cached_binds_before_the_call_returns() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    let first = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let fresh = &["cache-control: max-age=60"];
    rig.upstream.next().await.answer(200, fresh, "\"a\"");
    rig.answer(first).await.unwrap();
    let call = rig.call(&bob, Verb::Show, "/posts/1", How::bound());
    assert_eq!(rig.answer_now(call).unwrap().unwrap().data, "\"a\"");
    rig.publish("/posts/1", "update", "null").await;
    rig.upstream.expect("GET /posts/1").await.ok("\"b\"");
    assert_eq!(rig.line(&bob).await, "update /posts/1 \"b\"");
}
