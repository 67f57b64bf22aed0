//! Tokens that change, end or are revoked while something asked on them is under way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::rig::{Client, How, Rig, caller, name, sub};
use crate::auth::{Revocation, RevocationTarget};
use crate::gateway::Whose;
use crate::resource::{AccessRule, Audience, Caller, Calls, Verb};

/// The same session on another token.
fn renewed(client: &Client, claims: &serde_json::Value) -> Client {
    Client {
        caller: caller(claims),
        ..client.clone()
    }
}

fn bearer(client: &Client) -> String {
    let grant = client.caller.grant.as_ref().unwrap();
    format!("Bearer {}", grant.token().unwrap())
}

/// Each tenant's posts; the upstream decides who sees them.
async fn tenants(ttl: Duration) -> Rig {
    Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.access_ttl = ttl;
        posts.audience = Audience::Claims(vec!["tenant".into()]);
    })
    .await
}

/// Who is bound, on which token, as whom.
fn bound(rig: &Rig) -> Vec<(Arc<Caller>, Arc<str>)> {
    let bound = rig.gateway.replicas.bound(|_, _| true).into_iter();
    bound
        .map(|one| (one.caller, one.resource.variant.clone()))
        .collect()
}

fn is_only(rig: &Rig, client: &Client, variant: &str) -> bool {
    let bound = bound(rig);
    bound.len() == 1 && Arc::ptr_eq(&bound[0].0, &client.caller) && &*bound[0].1 == variant
}

#[tokio::test]
async fn a_call_on_an_older_token_does_not_bring_that_one_back() {
    let rig = Rig::of_posts(|posts| posts.audience = Audience::Claims(vec!["tenant".into()])).await;
    let older = rig.client(&json!({"sub": "ada", "tenant": "acme"}));
    rig.bind(&older, Verb::Show, "/posts/1", "\"acme\"").await;
    rig.call(&older, Verb::Update, "/posts/1", How::bound().with("{}"));
    let slow = rig.upstream.expect("PATCH /posts/1").await;
    let newer = renewed(&older, &json!({"sub": "ada", "tenant": "zeta"}));
    rig.call(&newer, Verb::Recheck, "/posts/1", How::alone());
    for _ in 0..2 {
        rig.line(&newer).await;
    }
    slow.answer(204, &[], "");
    assert!(rig.line(&newer).await.starts_with("ok /posts/1"));
    let asked = rig.upstream.expect("GET /posts/1").await;
    assert_eq!(asked.header("authorization"), Some(&*bearer(&newer)));
    asked.ok("\"zeta\"");
    assert!(
        rig.line(&newer)
            .await
            .starts_with("update /posts/1 \"zeta\"")
    );
    assert!(is_only(&rig, &newer, "[\"zeta\"]"));
}

#[tokio::test]
async fn a_check_of_an_older_token_says_nothing_of_the_newer() {
    for status in [200, 403] {
        let rig = tenants(Duration::from_millis(50)).await;
        let older = rig.client(&json!({"sub": "ada", "tenant": "acme"}));
        rig.bind(&older, Verb::Show, "/posts/1", "\"acme\"").await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        rig.publish("/posts/1", "update", "null").await;
        let slow = rig.upstream.expect("GET /posts/1").await;
        let newer = renewed(&older, &json!({"sub": "ada", "tenant": "zeta"}));
        rig.call(&newer, Verb::Recheck, "/posts/1", How::alone());
        rig.upstream.expect("GET /posts/1").await.ok("\"zeta\"");
        for _ in 0..2 {
            rig.line(&newer).await;
        }
        slow.answer(status, &[], "\"acme\"");
        rig.silent(&newer).await;
        assert!(is_only(&rig, &newer, "[\"zeta\"]"), "{status}");
    }
}

#[tokio::test]
async fn nothing_is_asked_on_a_token_that_has_ended() {
    let rig = Rig::of_posts(|_| {}).await;
    let mut ada = rig.client(&sub("ada"));
    let mut ended = (*ada.caller).clone();
    let mut grant = (**ended.grant.as_ref().unwrap()).clone();
    grant.expires_at = 1;
    ended.grant = Some(Arc::new(grant));
    ada.caller = Arc::new(ended);
    for how in [How::bound(), How::alone()] {
        rig.call(&ada, Verb::Show, "/posts/1", how);
        assert_eq!(rig.line(&ada).await, "error token_expired");
    }
    rig.call(&ada, Verb::Update, "/posts/1", How::bound().with("{}"));
    assert_eq!(rig.line(&ada).await, "error token_expired");
    assert_eq!(rig.upstream.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_asked_on_a_token_that_was_revoked() {
    let rig = Rig::of_posts(|_| {}).await;
    let ada = rig.client(&json!({"sub": "ada", "jti": "a"}));
    rig.bind(&ada, Verb::Show, "/posts/1", "\"a\"").await;
    rig.shared.revocations.insert(&Revocation {
        id: "r".into(),
        target: RevocationTarget::TokenId("a".into()),
        reason: "".into(),
        created_at: Duration::ZERO,
        expires_at: Duration::MAX,
    });
    let before = rig.upstream.seen().len();
    rig.publish("/posts/1", "update", "null").await;
    assert_eq!(rig.line(&ada).await, "unsubscribed /posts/1 token_revoked");
    assert_eq!(rig.upstream.seen().len(), before);
}

#[tokio::test]
async fn only_the_latest_check_says_whether_a_session_may_stay() {
    let rig = tenants(Duration::from_secs(60)).await;
    let first = rig.client(&json!({"sub": "ada", "tenant": "acme"}));
    rig.bind(&first, Verb::Show, "/posts/1", "\"a\"").await;
    // One of the same token, by an operator; then one of the next.
    let gateway = Arc::clone(&rig.gateway);
    let checking = tokio::spawn(async move { gateway.reaccess(&Whose::default()).await });
    let older = rig.upstream.expect("GET /posts/1").await;
    let second = renewed(&first, &json!({"sub": "ada", "tenant": "acme"}));
    rig.call(&second, Verb::Recheck, "/posts/1", How::alone());
    let newer = rig.upstream.expect("GET /posts/1").await;
    older.ok("\"a\"");
    checking.await.unwrap();
    let before = rig.upstream.seen().len();
    rig.publish("/posts/1", "update", "null").await;
    rig.silent(&second).await;
    assert_eq!(rig.upstream.seen().len(), before, "still held");
    newer.answer(403, &[], "null");
    assert_eq!(rig.line(&second).await, "error forbidden");
    rig.silent(&second).await;
}

#[tokio::test]
async fn who_may_not_stay_is_held_until_its_session_has_left() {
    let rig = Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.access_ttl = Duration::from_secs(60);
    })
    .await;
    let (ada, bob) = (rig.client(&sub("ada")), rig.client(&sub("bob")));
    for client in [&ada, &bob] {
        rig.bind(client, Verb::Show, "/posts/1", "\"a\"").await;
    }
    let ada = renewed(&ada, &sub("ada"));
    rig.call(&ada, Verb::Recheck, "/posts/1", How::alone());
    let check = rig.upstream.expect("GET /posts/1").await;
    check.answer(403, &[], "null");
    assert_eq!(rig.line(&ada).await, "error forbidden");
    // Its worker has not yet taken it out of its table.
    rig.publish("/posts/1", "note", "1").await;
    assert_eq!(rig.line(&bob).await, "note /posts/1 1");
    rig.silent(&ada).await;
    rig.gateway_left(&ada, "/posts/1");
    assert_eq!(bound(&rig).len(), 1);
}

#[tokio::test]
async fn a_session_is_held_before_it_is_asked_about() {
    let rig = tenants(Duration::from_secs(60)).await;
    let ada = rig.client(&json!({"sub": "ada", "tenant": "acme"}));
    rig.bind(&ada, Verb::Show, "/posts/1", "\"a\"").await;
    let newer = renewed(&ada, &json!({"sub": "ada", "tenant": "zeta"}));
    let uris = [name("/posts/1")];
    rig.gateway.hold(ada.origin.session, &uris, &newer.caller);
    rig.publish("/posts/1", "update", "null").await;
    rig.silent(&ada).await;
    assert_eq!(rig.upstream.seen().len(), 1, "nobody is there to ask for");
}

#[tokio::test]
async fn access_that_has_run_out_is_checked_before_what_a_poll_brings() {
    let rig = Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.access_ttl = Duration::from_millis(50);
        posts.revalidate_every = Some(Duration::from_secs(1));
    })
    .await;
    let (mut ada, mut bob) = (rig.client(&sub("ada")), rig.client(&sub("bob")));
    // The poll is made with the credentials of the first session; the other is refused.
    if bob.origin.session < ada.origin.session {
        std::mem::swap(&mut ada, &mut bob);
    }
    for client in [&ada, &bob] {
        rig.bind(client, Verb::Show, "/posts/1", "\"a\"").await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let refuse_bob = async {
        loop {
            let asked = rig.upstream.next().await;
            match asked.header("authorization") == Some(&*bearer(&bob)) {
                true => asked.answer(403, &[], "null"),
                false => asked.ok("\"secret\""),
            }
        }
    };
    let told = async { (rig.line(&ada).await, rig.line(&bob).await) };
    let (ada, bob) = tokio::select! {
        lines = told => lines,
        () = refuse_bob => unreachable!(),
    };
    assert_eq!(ada, "update /posts/1 \"secret\"");
    assert_eq!(bob, "unsubscribed /posts/1 forbidden");
}
