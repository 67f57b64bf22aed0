//! Who may see what, and whose data reaches whom.

use serde_json::{Value, json};

use super::rig::{How, Rig, sub};
use crate::code::ErrorCode;
use crate::resource::{AccessRule, Audience, Credentials, Failure, FetchAs, Success, Verb};

const FRESH: &[&str] = &["cache-control: max-age=60", "etag: \"a\""];

async fn show(rig: &Rig, claims: Value, uri: &str) -> Result<Success, Failure> {
    let client = rig.client(&claims);
    let call = rig.call(&client, Verb::Show, uri, How::alone());
    rig.answer(call).await
}

#[tokio::test]
async fn claims_decide_before_anybody_is_asked() {
    let rig = Rig::of_posts(|posts| {
        posts.access = AccessRule::Claims("role=editor,posts={id}".into());
        posts.collection = None;
        posts.methods = vec![Verb::Show];
    })
    .await;
    for (claims, code) in [
        (Value::Null, ErrorCode::Unauthenticated),
        (json!({"sub": "a", "role": "editor"}), ErrorCode::Forbidden),
        (
            json!({"sub": "a", "role": "editor", "posts": [2, "3"]}),
            ErrorCode::Forbidden,
        ),
        (
            json!({"sub": "a", "role": "reader", "posts": ["1"]}),
            ErrorCode::Forbidden,
        ),
    ] {
        let failure = show(&rig, claims.clone(), "/posts/1").await.unwrap_err();
        assert_eq!(failure.code, code, "{claims}");
    }
    assert!(rig.upstream.seen().is_empty());
    let claims = json!({"sub": "a", "role": ["editor", "x"], "posts": [1]});
    let (shown, ()) = tokio::join!(show(&rig, claims.clone(), "/posts/1"), async {
        rig.upstream.next().await.ok("1");
    });
    assert_eq!(shown.unwrap().data, "1");
}

#[tokio::test]
async fn a_users_answer_is_nobody_elses() {
    let rig = Rig::of_posts(|posts| posts.audience = Audience::User).await;
    for (who, canary) in [("ada", "\"for ada\""), ("bob", "\"for bob\"")] {
        let (shown, ()) = tokio::join!(show(&rig, sub(who), "/posts/1"), async {
            rig.upstream.next().await.answer(200, FRESH, canary);
        });
        assert_eq!(shown.unwrap().data, canary);
    }
    // Each has an entry: nobody is asked again, on another token either.
    for (who, canary) in [("ada", "\"for ada\""), ("bob", "\"for bob\"")] {
        assert_eq!(show(&rig, sub(who), "/posts/1").await.unwrap().data, canary);
    }
    let (shown, ()) = tokio::join!(show(&rig, Value::Null, "/posts/1"), async {
        rig.upstream
            .next()
            .await
            .answer(200, FRESH, "\"for anyone\"");
    });
    assert_eq!(shown.unwrap().data, "\"for anyone\"");
    assert_eq!(rig.upstream.seen().len(), 3);
}

#[tokio::test]
async fn an_audience_of_claims_is_all_who_share_their_values() {
    let rig = Rig::of_posts(|posts| {
        posts.audience = Audience::Claims(vec!["tenant".into(), "/org/id".into()]);
    })
    .await;
    let of = |tenant: &str, org: &str| json!({"sub": "x", "tenant": tenant, "org": {"id": org}});
    let (shown, ()) = tokio::join!(show(&rig, of("acme", "1"), "/posts/1"), async {
        rig.upstream.next().await.answer(200, FRESH, "\"acme 1\"");
    });
    assert_eq!(shown.unwrap().data, "\"acme 1\"");
    assert_eq!(
        show(&rig, of("acme", "1"), "/posts/1").await.unwrap().data,
        "\"acme 1\""
    );
    let (shown, ()) = tokio::join!(show(&rig, of("acme", "2"), "/posts/1"), async {
        rig.upstream.next().await.answer(200, FRESH, "\"acme 2\"");
    });
    assert_eq!(shown.unwrap().data, "\"acme 2\"");
    for claims in [
        sub("x"),
        json!({"sub": "x", "tenant": "acme", "org": {"id": null}}),
    ] {
        let failure = show(&rig, claims.clone(), "/posts/1").await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn where_the_upstream_decides_each_token_is_asked_about_once() {
    let rig = Rig::of_posts(|posts| posts.access = AccessRule::Upstream).await;
    let (ada, bob, eve) = (
        rig.client(&sub("ada")),
        rig.client(&sub("bob")),
        rig.client(&sub("eve")),
    );
    let call = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    rig.upstream.next().await.answer(200, FRESH, "1");
    assert_eq!(rig.answer(call).await.unwrap().data, "1");
    // Bob's own credentials, and the cached answer where they say that it still stands.
    let call = rig.call(&bob, Verb::Show, "/posts/1", How::alone());
    let asked = rig.upstream.next().await;
    assert_eq!(asked.header("if-none-match"), Some("\"a\""));
    let token = bob
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
    asked.answer(304, &["etag: \"a\""], "");
    assert_eq!(rig.answer(call).await.unwrap().data, "1");
    // Eve gets nothing of it.
    let call = rig.call(&eve, Verb::Show, "/posts/1", How::alone());
    rig.upstream.next().await.answer(403, &[], r#"{"no":1}"#);
    let failure = rig.answer(call).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.http),
        (ErrorCode::Forbidden, Some(403))
    );
    // Both are known now.
    for client in [&ada, &bob] {
        let call = rig.call(client, Verb::Show, "/posts/1", How::alone());
        assert_eq!(rig.answer_now(call).unwrap().unwrap().data, "1");
    }
    assert_eq!(rig.upstream.seen().len(), 3);
}

#[tokio::test]
async fn one_who_may_never_lends_his_answer_to_one_who_waits_beside_him() {
    let rig = Rig::of_posts(|posts| posts.access = AccessRule::Upstream).await;
    let (ada, eve) = (rig.client(&sub("ada")), rig.client(&sub("eve")));
    let shown = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let refused = rig.call(&eve, Verb::Show, "/posts/1", How::alone());
    for _ in 0..2 {
        let asked = rig.upstream.next().await;
        let token = ada
            .caller
            .grant
            .as_ref()
            .unwrap()
            .token()
            .unwrap()
            .to_owned();
        match asked.header("authorization") == Some(&*format!("Bearer {token}")) {
            true => asked.answer(200, FRESH, "\"canary\""),
            false => asked.answer(403, &[], "null"),
        }
    }
    assert_eq!(rig.answer(shown).await.unwrap().data, "\"canary\"");
    assert_eq!(
        rig.answer(refused).await.unwrap_err().code,
        ErrorCode::Forbidden
    );
}

#[tokio::test]
async fn what_a_service_fetches_is_shown_to_those_whom_the_upstream_lets_in() {
    let rig = Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.fetch_as = FetchAs::Service(Some("its-own".into()));
    })
    .await;
    let (ada, eve) = (rig.client(&sub("ada")), rig.client(&sub("eve")));
    let call = rig.call(&ada, Verb::Show, "/posts/1", How::alone());
    let check = rig.upstream.next().await;
    assert_ne!(check.header("authorization"), Some("Bearer its-own"));
    check.ok("\"as ada sees it\"");
    let fetch = rig.upstream.next().await;
    assert_eq!(fetch.header("authorization"), Some("Bearer its-own"));
    fetch.answer(200, FRESH, "\"for all\"");
    assert_eq!(rig.answer(call).await.unwrap().data, "\"for all\"");
    let call = rig.call(&eve, Verb::Show, "/posts/1", How::alone());
    rig.upstream.next().await.answer(404, &[], "null");
    assert_eq!(
        rig.answer(call).await.unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn without_credentials_everybody_is_one() {
    let rig = Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.auth = Credentials::None;
    })
    .await;
    let (shown, ()) = tokio::join!(show(&rig, sub("ada"), "/posts/1"), async {
        let asked = rig.upstream.next().await;
        assert_eq!(asked.header("authorization"), None);
        asked.answer(200, FRESH, "1");
    });
    assert_eq!(shown.unwrap().data, "1");
    assert_eq!(show(&rig, sub("bob"), "/posts/1").await.unwrap().data, "1");
}
