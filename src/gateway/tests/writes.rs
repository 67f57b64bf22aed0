//! create, update, delete: what is sent, what is answered, and what it makes out of date.

use super::rig::{How, Rig, sub};
use crate::code::ErrorCode;
use crate::resource::{CallOptions, UpdateMethod, Verb};

const FRESH: &[&str] = &["cache-control: max-age=60"];

#[tokio::test]
async fn each_write_has_its_method() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    let how = How::alone().with(r#"{"title":"x"}"#);
    for (verb, uri, line, status) in [
        (Verb::Create, "/posts", "POST /posts", 201),
        (Verb::Update, "/posts/1", "PATCH /posts/1", 200),
        (Verb::Delete, "/posts/1", "DELETE /posts/1", 204),
    ] {
        let call = rig.call(&ada, verb, uri, how.clone());
        let asked = rig.upstream.expect(line).await;
        assert_eq!(asked.body, r#"{"title":"x"}"#);
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let body = if status == 204 { "" } else { r#"{"id":1}"# };
        asked.answer(status, &[], body);
        let success = rig.answer(call).await.unwrap();
        assert_eq!(
            (success.code, &*success.data),
            (Some(status), body.as_bytes())
        );
    }
    let rig = Rig::of_posts(|posts| posts.upstream.update = UpdateMethod::Put).await;
    let call = rig.call(&ada, Verb::Update, "/posts/1", how);
    rig.upstream.expect("PUT /posts/1").await.ok("1");
    rig.answer(call).await.unwrap();
}

#[tokio::test]
async fn options_become_headers() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    let how = How {
        body: "{}",
        options: CallOptions {
            if_match: Some("\"a\"".into()),
            idempotency_key: Some("k-1".into()),
            ..CallOptions::default()
        },
        ..How::default()
    };
    let call = rig.call(&ada, Verb::Update, "/posts/1", how);
    let asked = rig.upstream.next().await;
    assert_eq!(asked.header("if-match"), Some("\"a\""));
    assert_eq!(asked.header("idempotency-key"), Some("k-1"));
    asked.answer(412, &[], r#"{"now":"b"}"#);
    let failure = rig.answer(call).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::PreconditionFailed);
    let options = CallOptions {
        if_match: Some("\"a\"\r\nx-admin: 1".into()),
        ..CallOptions::default()
    };
    let call = rig.call(
        &ada,
        Verb::Update,
        "/posts/1",
        How {
            body: "{}",
            options,
            ..How::default()
        },
    );
    assert_eq!(
        rig.answer(call).await.unwrap_err().code,
        ErrorCode::BadRequest
    );
    assert_eq!(rig.upstream.seen().len(), 1);
}

/// Reads `uri` with a fresh answer; whether the upstream was asked.
async fn cached(rig: &Rig, uri: &str, body: &str) -> bool {
    let before = rig.upstream.seen().len();
    let verb = if uri.starts_with("/posts/") {
        Verb::Show
    } else {
        Verb::Index
    };
    let call = rig.call(&rig.anonymous(), verb, uri, How::alone());
    if let Some(answer) = rig.answer_now(call) {
        answer.unwrap();
        return rig.upstream.seen().len() > before;
    }
    rig.upstream.next().await.answer(200, FRESH, body);
    assert_eq!(rig.answer(call).await.unwrap().data, body);
    true
}

#[tokio::test]
async fn a_write_makes_the_item_its_collection_and_what_it_affects_out_of_date() {
    let rig = Rig::new(|base| {
        let mut posts = super::rig::posts(base);
        posts.affects = vec!["/authors/{body:/author}".into()];
        let mut authors = super::rig::posts(base);
        authors.name = "authors".into();
        authors.item = Some("/authors/{id}".into());
        authors.collection = Some("/authors".into());
        vec![posts, authors]
    })
    .await;
    let uris = ["/posts/1", "/posts", "/posts?page=2", "/posts/2"];
    for uri in uris {
        assert!(cached(&rig, uri, "1").await, "{uri}");
        assert!(!cached(&rig, uri, "1").await, "{uri}");
    }
    let ada = rig.client(&sub("ada"));
    let call = rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    rig.upstream.next().await.ok(r#"{"id":1,"author":"ada"}"#);
    rig.answer(call).await.unwrap();
    assert!(cached(&rig, "/posts/1", "2").await);
    assert!(cached(&rig, "/posts", "2").await);
    assert!(cached(&rig, "/posts?page=2", "2").await);
    assert!(!cached(&rig, "/posts/2", "1").await, "another item");
}

#[tokio::test]
async fn who_reads_after_his_write_never_gets_what_was_asked_for_before() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    let old = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let slow = rig.upstream.expect("GET /posts/1").await;
    let write = rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    rig.upstream.expect("PATCH /posts/1").await.ok("\"new\"");
    rig.answer(write).await.unwrap();
    let new = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let asked = rig.upstream.expect("GET /posts/1").await;
    slow.answer(200, FRESH, "\"old\"");
    assert_eq!(rig.answer(old).await.unwrap().data, "\"old\"");
    asked.answer(200, FRESH, "\"new\"");
    assert_eq!(rig.answer(new).await.unwrap().data, "\"new\"");
    let again = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    assert_eq!(rig.answer_now(again).unwrap().unwrap().data, "\"new\"");
}

#[tokio::test]
async fn a_write_without_an_answer_may_have_been_done() {
    let rig = Rig::of_posts(|posts| {
        posts.upstream.timeout = std::time::Duration::from_millis(100);
    })
    .await;
    assert!(cached(&rig, "/posts/1", "1").await);
    let ada = rig.client(&sub("ada"));
    let call = rig.call(&ada, Verb::Update, "/posts/1", How::alone().with("{}"));
    let _held = rig.upstream.expect("PATCH /posts/1").await;
    let failure = rig.answer(call).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Timeout);
    assert!(failure.outcome_unknown);
    assert!(
        cached(&rig, "/posts/1", "2").await,
        "nobody trusts what was there"
    );
}

#[tokio::test]
async fn a_service_that_publishes_makes_out_of_date_what_a_write_would() {
    let rig = Rig::of_posts(|_| {}).await;
    for uri in ["/posts/1", "/posts?page=2", "/posts/2"] {
        assert!(cached(&rig, uri, "1").await);
    }
    rig.publish("/posts/1", "update", "null").await;
    assert!(cached(&rig, "/posts/1", "2").await);
    assert!(cached(&rig, "/posts?page=2", "2").await);
    assert!(!cached(&rig, "/posts/2", "2").await);
    rig.publish("/posts", "delete", r#"{"id":2}"#).await;
    assert!(cached(&rig, "/posts/2", "3").await);
}
