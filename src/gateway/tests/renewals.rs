//! What happens while access is being checked: those who wait go away, endpoints change again, and
//! others are on their way in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::rig::{Client, How, Rig, posts, sub};
use crate::gateway::{Checked, Whose};
use crate::resource::{AccessRule, Credentials, Endpoint, Routes, Verb, VersionAt};

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
