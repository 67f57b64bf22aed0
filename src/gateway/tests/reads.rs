//! index and show: what is asked, what comes back, and how often the upstream is asked at all.

use super::client::Client;
use super::rig::{How, Rig, sub};
use crate::code::ErrorCode;
use crate::resource::Verb;

const FRESH: &[&str] = &["cache-control: max-age=60", "etag: \"a\""];

#[tokio::test]
async fn a_show_is_the_upstreams_answer() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    let call = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let asked = rig.upstream.expect("GET /posts/1").await;
    assert_eq!(asked.header("accept"), Some("application/json"));
    let token = &ada
        .caller
        .grant
        .as_ref()
        .unwrap()
        .token()
        .unwrap()
        .to_owned();
    assert_eq!(
        asked.header("authorization"),
        Some(&*format!("Bearer {token}"))
    );
    asked.answer(200, FRESH, r#"{"id":1}"#);
    let success = rig.answer(call).await.unwrap();
    assert_eq!(success.code, Some(200));
    assert_eq!(success.data, r#"{"id":1}"#);
    assert_eq!(success.etag.as_deref(), Some("\"a\""));
}

#[tokio::test]
async fn what_is_cached_is_answered_before_the_call_returns() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = (rig.client(&sub("ada")), rig.anonymous());
    let first = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    rig.upstream.next().await.answer(200, FRESH, r#"{"id":1}"#);
    rig.answer(first).await.unwrap();
    let second = rig.call(&bob, Verb::Show, "/posts/1", How::alone());
    let success = rig.answer_now(second).expect("it was there").unwrap();
    assert_eq!(success.data, r#"{"id":1}"#);
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let rig = Rig::of_posts(|_| {}).await;
    let calls: Vec<u32> = (0..20)
        .map(|_| rig.call(&rig.anonymous(), Verb::Index, "/posts?page=2", How::alone()))
        .collect();
    rig.upstream
        .expect("GET /posts?page=2")
        .await
        .answer(200, FRESH, "[1]");
    for call in calls {
        assert_eq!(rig.answer(call).await.unwrap().data, "[1]");
    }
    assert_eq!(rig.upstream.seen(), ["GET /posts?page=2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_are_bound_at_once_are_one_question_too() {
    // The upstream decides who may see it, and nothing says how long it lasts.
    let rig = Rig::of_posts(|posts| {
        posts.access = crate::resource::AccessRule::Upstream;
        posts.audience = crate::resource::Audience::User;
    })
    .await;
    for round in 0..20 {
        let uri = format!("/posts/{round}");
        let ada = rig.client(&sub("ada"));
        // Further sessions with her token.
        let also = |_| Client {
            origin: rig.anonymous().origin,
            caller: ada.caller.clone(),
        };
        let calls: Vec<u32> = (0..40)
            .map(also)
            .map(|one| rig.call(&one, Verb::Show, &uri, How::bound()))
            .collect();
        let asked = rig.upstream.expect(&format!("GET {uri}")).await;
        asked.answer(200, &[], r#"{"id":1}"#);
        for call in calls {
            assert_eq!(rig.answer(call).await.unwrap().data, r#"{"id":1}"#);
        }
        assert_eq!(rig.upstream.seen().len(), round + 1);
    }
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    for (status, code) in [
        (400, ErrorCode::BadRequest),
        (401, ErrorCode::Unauthenticated),
        (403, ErrorCode::Forbidden),
        (404, ErrorCode::NotFound),
        (410, ErrorCode::Gone),
        (418, ErrorCode::BadRequest),
        (422, ErrorCode::Invalid),
        (429, ErrorCode::RateLimited),
    ] {
        let uri = format!("/posts/{status}");
        let call = rig.call(&ada, Verb::Show, &uri, How::alone());
        let asked = rig.upstream.next().await;
        asked.answer(status, &["retry-after: 7"], r#"{"why":"no"}"#);
        let failure = rig.answer(call).await.unwrap_err();
        assert_eq!((failure.code, failure.http), (code, Some(status)));
        assert_eq!(failure.details.unwrap(), r#"{"why":"no"}"#);
        assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), Some(7));
    }
}

#[tokio::test]
async fn what_an_upstream_says_of_its_own_trouble_stays_here() {
    let rig = Rig::of_posts(|posts| posts.upstream.retries = 0).await;
    let ada = rig.client(&sub("ada"));
    let call = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    rig.upstream
        .next()
        .await
        .answer(500, &[], r#"{"stack":"secret"}"#);
    let failure = rig.answer(call).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.http),
        (ErrorCode::UpstreamError, Some(500))
    );
    assert_eq!(failure.details, None);
}

#[tokio::test]
async fn what_is_no_json_is_text_or_nothing() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&sub("ada"));
    let ask = async |headers: &[&str], body: &str| {
        let call = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
        rig.upstream.next().await.answer(200, headers, body);
        rig.answer(call).await.map(|success| success.data)
    };
    assert_eq!(
        ask(&["content-type: text/plain"], "hi").await.unwrap(),
        "\"hi\""
    );
    let bad = ask(&["content-type: image/png"], "\u{89}PNG")
        .await
        .unwrap_err();
    assert_eq!(bad.code, ErrorCode::BadGateway);
    let bad = ask(&[], "{").await.unwrap_err();
    assert_eq!(bad.code, ErrorCode::BadGateway);
}

#[tokio::test]
async fn nothing_in_time_is_a_timeout_whose_outcome_nobody_asks_for() {
    let rig = Rig::of_posts(|posts| {
        posts.upstream.timeout = std::time::Duration::from_millis(50);
        posts.upstream.retries = 0;
    })
    .await;
    let call = rig.call(&rig.anonymous(), Verb::Show, "/posts/1", How::alone());
    let failure = rig.answer(call).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Timeout);
    assert!(!failure.outcome_unknown);
}

#[tokio::test]
async fn a_verb_that_the_endpoint_does_not_take_reaches_nobody() {
    let rig = Rig::of_posts(|posts| posts.methods = vec![Verb::Show]).await;
    let ada = rig.anonymous();
    for (verb, uri, code) in [
        (Verb::Index, "/posts", ErrorCode::BadRequest),
        (Verb::Show, "/posts", ErrorCode::BadRequest),
        (Verb::Show, "/posts/1?color=red", ErrorCode::BadRequest),
        (Verb::Show, "/other", ErrorCode::NoRoute),
    ] {
        let call = rig.call(&ada, verb, uri, How::alone());
        assert_eq!(
            rig.answer(call).await.unwrap_err().code,
            code,
            "{verb:?} {uri}"
        );
    }
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_not_queued() {
    let rig = Rig::of_posts(|_| {}).await;
    let room = rig.gateway.waiting.clone();
    let _all = room
        .acquire_many(u32::try_from(room.available_permits()).unwrap())
        .await;
    let call = rig.call(&rig.anonymous(), Verb::Show, "/posts/1", How::alone());
    let failure = rig.answer_now(call).unwrap().unwrap_err();
    assert_eq!(failure.code, ErrorCode::Unavailable);
}
