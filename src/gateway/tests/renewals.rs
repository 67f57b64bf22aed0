//! What happens while access is being checked: those who wait go away, endpoints change again, and
//! others are on their way in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::rig::{Client, How, Rig, posts, sub};
use crate::gateway::{Checked, Whose};
use crate::resource::{AccessRule, Credentials, Endpoint, FetchAs, Routes, Verb, VersionAt};

fn post(version: u32) -> String {
    format!(r#"{{"id":1,"v":{version}}}"#)
}

/// Everyone's posts, where the upstream decides who sees them.
async fn guarded(ttl: Duration) -> Rig {
    Rig::of_posts(|posts| guard(posts, ttl)).await
}

fn guard(posts: &mut Endpoint, ttl: Duration) {
    posts.access = AccessRule::Upstream;
    posts.access_ttl = ttl;
    posts.version = VersionAt::Body("/v".into());
}

/// Puts another endpoint in force, of which nobody has been told yet.
fn swap(rig: &Rig, change: impl FnOnce(&mut Endpoint)) {
    let mut other = posts(&rig.upstream.base);
    change(&mut other);
    let routes = Routes::new(vec![other]).unwrap();
    rig.shared.routes.store(Arc::new(routes));
}

fn elsewhere(rig: &Rig, posts: &mut Endpoint) {
    let base = format!("{}/v2", rig.upstream.base);
    posts.upstream.bases = vec![base.parse().unwrap()];
}

/// The next line that tells of no gap.
async fn line(rig: &Rig, client: &Client) -> String {
    loop {
        let line = rig.line(client).await;
        if !line.starts_with("pogo:gap") {
            return line;
        }
    }
}

#[tokio::test]
async fn a_check_goes_on_when_nobody_waits_for_it_any_more() {
    let rig = guarded(Duration::from_secs(60)).await;
    let ada = rig.client(&sub("ada"));
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    let gateway = Arc::clone(&rig.gateway);
    let waiting = tokio::spawn(async move { gateway.reaccess(&Whose::default()).await });
    let check = rig.upstream.expect("GET /posts/1").await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    check.ok(&post(1));
    rig.publish("/posts/1", "update", &post(2)).await;
    assert_eq!(rig.line(&ada).await, format!("update /posts/1 {}", post(2)));
}

#[tokio::test]
async fn each_is_asked_about_as_the_new_endpoint_sees_him() {
    let rig = Rig::of_posts(|posts| posts.auth = Credentials::None).await;
    let (ada, eve) = (rig.client(&sub("ada")), rig.anonymous());
    for client in [&ada, &eve] {
        rig.bind(client, Verb::Show, "/posts/1", "\"a\"").await;
    }
    swap(&rig, |posts| {
        posts.auth = Credentials::Bearer;
        posts.access = AccessRule::Upstream;
    });
    let gateway = Arc::clone(&rig.gateway);
    let checking = tokio::spawn(async move { gateway.renewed().await });
    for _ in 0..2 {
        let asked = rig.upstream.expect("GET /posts/1").await;
        match asked.header("authorization") {
            Some(_) => asked.ok("\"a\""),
            None => asked.answer(401, &[], "null"),
        }
    }
    let checked = Checked {
        rechecked: 2,
        removed: 1,
    };
    assert_eq!(checking.await.unwrap(), checked);
    let told = rig.line(&eve).await;
    assert_eq!(told, "unsubscribed /posts/1 unauthenticated");
}

#[tokio::test]
async fn who_comes_between_the_change_and_its_check_hides_nobody() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = (
        rig.client(&json!({"sub": "ada", "staff": true})),
        rig.anonymous(),
    );
    for client in [&ada, &bob] {
        rig.bind(client, Verb::Show, "/posts/1", "\"a\"").await;
    }
    swap(&rig, |posts| {
        posts.access = AccessRule::Claims("staff".into());
    });
    let cleo = rig.client(&json!({"sub": "cleo", "staff": true}));
    rig.bind(&cleo, Verb::Show, "/posts/1", "\"a\"").await;
    // What cleo may hear the others may not, as long as nobody has asked.
    rig.publish("/posts/1", "note", "\"for staff\"").await;
    assert_eq!(rig.line(&cleo).await, "note /posts/1 \"for staff\"");
    rig.silent(&bob).await;
    let checked = rig.gateway.renewed().await;
    let expected = Checked {
        rechecked: 2,
        removed: 1,
    };
    assert_eq!(checked, expected);
    let told = rig.line(&bob).await;
    assert_eq!(told, "unsubscribed /posts/1 unauthenticated");
    rig.publish("/posts/1", "note", "\"again\"").await;
    let mut told = line(&rig, &ada).await;
    if told.contains("for staff") {
        told = line(&rig, &ada).await;
    }
    assert_eq!(told, "note /posts/1 \"again\"");
    rig.silent(&bob).await;
}

#[tokio::test]
async fn a_call_from_before_the_change_is_made_again() {
    let rig = guarded(Duration::from_secs(60)).await;
    let (ada, bob) = (rig.client(&sub("ada")), rig.client(&sub("bob")));
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.call(&bob, Verb::Show, "/posts/1", How::bound());
    let slow = rig.upstream.expect("GET /posts/1").await;
    swap(&rig, |posts| elsewhere(&rig, posts));
    rig.gateway.renewed().await;
    slow.ok(&post(1));
    let again = rig.upstream.next().await;
    assert!(again.line().contains("/v2/"), "{}", again.line());
    again.ok(&post(2));
    assert_eq!(rig.line(&bob).await, format!("ok /posts/1 {}", post(2)));
    let bound = rig.gateway.replicas().bound(|_, _| true);
    assert_eq!(bound.len(), 2);
    let now = rig.shared.routes.load().find("/posts/1").unwrap().unwrap();
    for one in bound {
        assert_eq!(one.resource.endpoint, now.endpoint);
    }
}

#[tokio::test]
async fn what_the_old_upstream_allowed_the_new_one_is_asked() {
    let rig = guarded(Duration::from_secs(60)).await;
    let ada = rig.client(&sub("ada"));
    rig.bind(&ada, Verb::Show, "/posts/1", &post(1)).await;
    rig.gateway_left(&ada, "/posts/1");
    swap(&rig, |posts| {
        guard(posts, Duration::from_secs(60));
        posts.fetch_as = FetchAs::Service(Some("service".into()));
    });
    rig.gateway.renewed().await;
    rig.call(&ada, Verb::Show, "/posts/1", How::bound());
    let asked = rig.upstream.expect("GET /posts/1").await;
    let token = ada.caller.grant.as_ref().unwrap().token().unwrap();
    let shown = format!("Bearer {token}");
    assert_eq!(asked.header("authorization"), Some(&*shown));
    asked.answer(403, &[], "null");
    assert_eq!(rig.line(&ada).await, "error forbidden");
}

#[tokio::test]
async fn who_is_being_admitted_is_asked_about_again() {
    let rig = guarded(Duration::from_secs(60)).await;
    let eve = rig.client(&sub("eve"));
    rig.call(&eve, Verb::Show, "/posts/1", How::bound());
    let slow = rig.upstream.expect("GET /posts/1").await;
    let checked = rig.gateway.reaccess(&Whose::default()).await;
    assert_eq!(checked, Checked::default());
    slow.ok(&post(1));
    let again = rig.upstream.expect("GET /posts/1").await;
    again.answer(403, &[], "null");
    assert_eq!(rig.line(&eve).await, "error forbidden");
}
