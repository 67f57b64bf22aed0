//! Whether those who are bound may stay: a new token, an operator's word, an access that has run
//! out, endpoints that change.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::rig::{Client, How, Rig, caller, posts, sub};
use crate::channel::Pattern;
use crate::gateway::{Checked, Whose};
use crate::resource::{AccessRule, Audience, Routes, Verb, VersionAt};

/// Everyone's posts, where the upstream decides who sees them.
async fn guarded(ttl: Duration) -> Rig {
    Rig::of_posts(|posts| {
        posts.access = AccessRule::Upstream;
        posts.access_ttl = ttl;
        posts.version = VersionAt::Body("/v".into());
    })
    .await
}

fn post(version: u32) -> String {
    format!(r#"{{"id":1,"v":{version}}}"#)
}

/// The same session on another token.
fn renewed(client: &Client, claims: &serde_json::Value) -> Client {
    Client {
        caller: caller(claims),
        ..client.clone()
    }
}

#[tokio::test]
async fn a_new_token_is_checked_and_pushes_wait_for_it() {
    let rig = guarded(Duration::from_secs(60)).await;
    let ada = rig.client(&sub("ada"));
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    let ada = renewed(&ada, &sub("ada"));
    rig.call(&ada, Verb::Recheck, "/posts/1", How::alone());
    let check = rig.upstream.expect("GET /posts/1").await;
    let token = ada
        .caller
        .grant
        .as_ref()
        .unwrap()
        .token()
        .unwrap()
        .to_owned();
    assert_eq!(
        check.header("authorization"),
        Some(&*format!("Bearer {token}"))
    );
    rig.publish("/posts/1", "update", &post(2)).await;
    rig.silent(&ada).await;
    check.ok(&post(1));
    let mut lines = [rig.line(&ada).await, rig.line(&ada).await];
    lines.sort();
    assert_eq!(
        lines,
        ["ok - ".to_owned(), format!("update /posts/1 {}", post(2))]
    );
}

#[tokio::test]
async fn who_may_not_stay_hears_nothing_more() {
    let rig = guarded(Duration::from_secs(60)).await;
    let ada = rig.client(&sub("ada"));
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    let ada = renewed(&ada, &sub("ada"));
    rig.call(&ada, Verb::Recheck, "/posts/1", How::alone());
    let check = rig.upstream.expect("GET /posts/1").await;
    rig.publish("/posts/1", "update", &post(2)).await;
    check.answer(403, &[], "null");
    assert_eq!(rig.line(&ada).await, "error forbidden");
    rig.publish("/posts/1", "update", &post(3)).await;
    rig.silent(&ada).await;
}

#[tokio::test]
async fn other_claims_lead_to_another_replica() {
    let rig = Rig::of_posts(|posts| posts.audience = Audience::Claims(vec!["tenant".into()])).await;
    let ada = rig.client(&json!({"sub": "ada", "tenant": "acme"}));
    rig.bind(&ada, Verb::Show, "/posts/1", "\"acme\"").await;
    let ada = renewed(&ada, &json!({"sub": "ada", "tenant": "zeta"}));
    rig.call(&ada, Verb::Recheck, "/posts/1", How::alone());
    let mut lines = [rig.line(&ada).await, rig.line(&ada).await];
    lines.sort();
    assert_eq!(lines[0], "ok - ");
    assert!(lines[1].starts_with("pogo:gap /posts/1"), "{}", lines[1]);
    rig.publish("/posts/1", "update", "null").await;
    let asked = rig.upstream.expect("GET /posts/1").await;
    let token = ada
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
    asked.ok("\"zeta\"");
    assert_eq!(rig.line(&ada).await, "update /posts/1 \"zeta\"");
    // Without the claim there is no view at all.
    let ada = renewed(&ada, &sub("ada"));
    rig.call(&ada, Verb::Recheck, "/posts/1", How::alone());
    assert_eq!(rig.line(&ada).await, "error forbidden");
}

#[tokio::test]
async fn an_operator_has_access_checked_again() {
    let rig = guarded(Duration::from_secs(60)).await;
    let (ada, bob) = (rig.client(&sub("ada")), rig.client(&sub("bob")));
    for client in [&ada, &bob] {
        rig.bind(client, Verb::Show, "/posts/1", &post(1)).await;
    }
    let whose = Whose {
        uris: Some(Pattern::parse("/posts/*").unwrap()),
        subject: Some("bob".into()),
        token_id: None,
    };
    let gateway = Arc::clone(&rig.gateway);
    let checking = tokio::spawn(async move { gateway.reaccess(&whose).await });
    let check = rig.upstream.expect("GET /posts/1").await;
    rig.publish("/posts/1", "update", &post(2)).await;
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(2)));
    check.answer(403, &[], "null");
    let checked = checking.await.unwrap();
    assert_eq!(
        checked,
        Checked {
            rechecked: 1,
            removed: 1
        }
    );
    assert_eq!(rig.line(&bob).await, "unsubscribed /posts/1 forbidden");
    rig.publish("/posts/1", "update", &post(3)).await;
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(3)));
    rig.silent(&bob).await;
}

#[tokio::test]
async fn access_that_has_run_out_is_checked_before_the_next_push() {
    let rig = guarded(Duration::from_millis(50)).await;
    let (ada, eve) = (rig.client(&sub("ada")), rig.client(&sub("eve")));
    for client in [&ada, &eve] {
        rig.bind(client, Verb::Show, "/posts/1", &post(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    rig.publish("/posts/1", "update", &post(2)).await;
    for _ in 0..2 {
        let check = rig.upstream.expect("GET /posts/1").await;
        let token = ada
            .caller
            .grant
            .as_ref()
            .unwrap()
            .token()
            .unwrap()
            .to_owned();
        match check.header("authorization") == Some(&*format!("Bearer {token}")) {
            true => check.ok(&post(2)),
            false => check.answer(404, &[], "null"),
        }
    }
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(2)));
    assert_eq!(rig.line(&eve).await, "unsubscribed /posts/1 not_found");
}

#[tokio::test]
async fn an_endpoint_that_changes_has_its_bound_checked() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = (
        rig.client(&json!({"sub": "ada", "staff": true})),
        rig.anonymous(),
    );
    for client in [&ada, &bob] {
        rig.bind(client, Verb::Show, "/posts/1", "\"a\"").await;
    }
    let same = posts(&rig.upstream.base);
    rig.shared
        .routes
        .store(Arc::new(Routes::new(vec![same.clone()]).unwrap()));
    assert_eq!(rig.gateway.renewed().await, Checked::default());
    let mut stricter = same;
    stricter.access = AccessRule::Claims("staff".into());
    rig.shared
        .routes
        .store(Arc::new(Routes::new(vec![stricter]).unwrap()));
    let checked = rig.gateway.renewed().await;
    assert_eq!(
        checked,
        Checked {
            rechecked: 2,
            removed: 1
        }
    );
    assert_eq!(
        rig.line(&bob).await,
        "unsubscribed /posts/1 unauthenticated"
    );
    rig.publish("/posts/1", "update", "null").await;
    let refetch = async { rig.upstream.expect("GET /posts/1").await.ok("\"b\"") };
    let ((), line) = tokio::join!(refetch, async {
        let mut line = rig.line(&ada).await;
        while line.starts_with("pogo:gap") {
            line = rig.line(&ada).await;
        }
        line
    });
    assert_eq!(line, "update /posts/1 \"b\"");
    rig.shared.routes.store(Arc::default());
    assert_eq!(
        rig.gateway.renewed().await,
        Checked {
            rechecked: 1,
            removed: 1
        }
    );
    assert_eq!(rig.line(&ada).await, "unsubscribed /posts/1 no_route");
}
