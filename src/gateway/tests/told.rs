//! What everyone is told of writes and publications: no change is lost, and their terms are kept.

use super::rig::{Client, How, Rig};
use crate::resource::{Verb, VersionAt, WriteReturns};

const JSON: &[&str] = &["content-type: application/json"];

/// Everyone's posts, with versions.
async fn versioned() -> Rig {
    Rig::of_posts(|posts| {
        posts.version = VersionAt::Body("/v".into());
        posts.write_returns = WriteReturns::Representation;
    })
    .await
}

fn post(version: u64) -> String {
    format!(r#"{{"id":1,"v":{version}}}"#)
}

/// Two who are bound to one uri.
async fn two(rig: &Rig, verb: Verb, uri: &str, body: &str) -> (Client, Client) {
    let (ada, bob) = (rig.anonymous(), rig.anonymous());
    for client in [&ada, &bob] {
        rig.bind(client, verb, uri, body).await;
    }
    (ada, bob)
}

#[tokio::test]
async fn a_delete_that_shows_what_was_there_is_told() {
    let rig = versioned().await;
    let (ada, bob) = two(&rig, Verb::Show, "/posts/1", &post(1)).await;
    rig.call(&ada, Verb::Delete, "/posts/1", How::bound());
    let asked = rig.upstream.expect("DELETE /posts/1").await;
    asked.answer(200, JSON, &post(1));
    assert_eq!(rig.line(&ada).await, "ok - ");
    let again = rig.upstream.expect("GET /posts/1").await;
    again.answer(404, &[], "null");
    for client in [&ada, &bob] {
        let re = if client.origin == ada.origin {
            " re"
        } else {
            ""
        };
        assert_eq!(rig.line(client).await, format!("delete /posts/1 null{re}"));
        assert_eq!(rig.line(client).await, "unsubscribed /posts/1 gone");
    }
}

#[tokio::test]
async fn a_services_delete_with_the_old_row_is_told_to_the_collection() {
    let rig = versioned().await;
    let (ada, _) = two(&rig, Verb::Index, "/posts", &format!("[{}]", post(1))).await;
    rig.publish("/posts/1", "delete", &post(1)).await;
    rig.upstream.expect("GET /posts").await.ok("[]");
    assert_eq!(rig.line(&ada).await, "delete /posts /posts/1 null");
}

#[tokio::test]
async fn what_a_client_sends_as_a_version_is_none() {
    for sent in ["1", "18446744073709551615"] {
        let rig = versioned().await;
        let (ada, bob) = two(&rig, Verb::Show, "/posts/1", &post(1)).await;
        let body = format!(r#"{{"title":"x","v":{sent}}}"#);
        rig.call(&ada, Verb::Update, "/posts/1", How::bound().with(&body));
        let asked = rig.upstream.expect("PATCH /posts/1").await;
        asked.answer(204, &[], "");
        assert_eq!(rig.line(&ada).await, "ok /posts/1 ");
        rig.upstream.expect("GET /posts/1").await.ok(&post(2));
        let told = format!("update /posts/1 {}", post(2));
        assert_eq!(rig.line(&ada).await, format!("{told} re"));
        assert_eq!(rig.line(&bob).await, told);
    }
}
