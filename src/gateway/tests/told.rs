//! What everyone is told of writes and publications: no change is lost, and their terms are kept.

use std::time::Duration;

use bytes::Bytes;

use super::rig::{Client, How, Rig, Told, name, sub};
use crate::node::NewPublication;
use crate::publication::Form;
use crate::resource::{
    AccessRule, Audience, FetchAs, Past, Since, Success, Verb, VersionAt, WriteReturns,
};
use crate::session_id::SessionId;

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

fn note(ttl: Option<Duration>, exclude: Option<SessionId>, skip_history: bool) -> NewPublication {
    NewPublication {
        channel: name("/posts/1"),
        event: "note".into(),
        data: "1".to_owned().into(),
        ttl,
        exclude,
        form: Form::Json,
        user: None,
        skip_history,
        idempotency: None,
        change: None,
    }
}

/// What a newcomer gets of the past.
async fn past(rig: &Rig) -> Vec<Past> {
    let mut how = How::bound();
    how.options.rewind = 10;
    let call = rig.call(&rig.anonymous(), Verb::Bind, "/posts/1", how);
    rig.answer(call).await.unwrap().publications
}

#[tokio::test]
async fn who_is_excluded_is_not_told_nor_later() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = two(&rig, Verb::Show, "/posts/1", "\"a\"").await;
    let before = rig.position("/posts/1").await;
    let publication = note(None, Some(ada.origin.session), false);
    rig.node.publish(publication).await.unwrap();
    assert_eq!(rig.line(&bob).await, "note /posts/1 1");
    rig.silent(&ada).await;
    let mut how = How::bound();
    how.options.recover = Some(Since {
        position: before,
        session: Some(ada.origin.session),
    });
    let call = rig.call(&rig.anonymous(), Verb::Bind, "/posts/1", how);
    let Success {
        recovered,
        publications,
        ..
    } = rig.answer(call).await.unwrap();
    assert_eq!((recovered, publications.len()), (Some(true), 0));
}

#[tokio::test]
async fn what_is_over_or_not_to_be_kept_comes_back_to_nobody() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, _) = two(&rig, Verb::Show, "/posts/1", "\"a\"").await;
    let ttl = Some(Duration::from_secs(1));
    for publication in [note(None, None, true), note(ttl, None, false)] {
        rig.node.publish(publication).await.unwrap();
        assert_eq!(rig.line(&ada).await, "note /posts/1 1");
    }
    assert_eq!(past(&rig).await.len(), 1, "the one with a ttl");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(past(&rig).await.len(), 0);
}

#[tokio::test]
async fn a_write_that_failed_may_have_been_done() {
    let rig = Rig::of_posts(|_| {}).await;
    let (ada, bob) = two(&rig, Verb::Show, "/posts/1", "\"a\"").await;
    let how = How::bound().with("{}");
    rig.call(&ada, Verb::Update, "/posts/1", how);
    let asked = rig.upstream.expect("PATCH /posts/1").await;
    asked.answer(502, &[], "");
    assert_eq!(rig.line(&ada).await, "error upstream_error");
    rig.upstream.expect("GET /posts/1").await.ok("\"b\"");
    for client in [&ada, &bob] {
        assert_eq!(rig.line(client).await, "update /posts/1 \"b\"");
    }
}

#[tokio::test]
async fn a_version_may_be_a_string_in_a_collection_too() {
    let rig = versioned().await;
    let post = |version: u32| format!(r#"{{"id":1,"v":"{version}"}}"#);
    let (ada, _) = two(&rig, Verb::Index, "/posts", &format!("[{}]", post(1))).await;
    rig.publish("/posts/1", "update", &post(1)).await;
    rig.publish("/posts/1", "update", &post(2)).await;
    let told = format!("update /posts /posts/1 {}", post(2));
    assert_eq!(rig.line(&ada).await, told);
    rig.silent(&ada).await;
    assert_eq!(rig.upstream.seen().len(), 2, "nothing was fetched again");
}

/// What a client's call failed with says beside its code.
async fn details(rig: &Rig, client: &Client) -> Option<Bytes> {
    let session = client.origin.session;
    rig.heard(|of, told| match told {
        Told::Answer(answer) if *of == session => Some(answer.result.clone().unwrap_err().details),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn what_one_is_refused_is_shown_to_him_alone() {
    let rig = Rig::of_posts(|_| {}).await;
    let clients = ["ada", "bob", "cleo"].map(|name| rig.client(&sub(name)));
    rig.call(&clients[0], Verb::Show, "/posts/1", How::bound());
    let first = rig.upstream.next().await;
    // Both wait for the next fetch, which one of them makes.
    for client in &clients[1..] {
        rig.call(client, Verb::Show, "/posts/1", How::bound());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.answer(422, JSON, r#"{"for":"ada"}"#);
    assert_eq!(
        details(&rig, &clients[0]).await.unwrap(),
        r#"{"for":"ada"}"#
    );
    rig.upstream
        .next()
        .await
        .answer(422, JSON, r#"{"for":"one"}"#);
    let told = [
        details(&rig, &clients[1]).await,
        details(&rig, &clients[2]).await,
    ];
    let own = told.iter().flatten().collect::<Vec<_>>();
    assert_eq!(own, [r#"{"for":"one"}"#], "one of them");
}

#[tokio::test]
async fn who_may_only_write_is_not_bound() {
    for (status, bound) in [(403, "-"), (200, "/posts/1")] {
        let rig = Rig::of_posts(|posts| {
            posts.access = AccessRule::Upstream;
            posts.audience = Audience::Shared;
            posts.fetch_as = FetchAs::Service(Some("svc".into()));
        })
        .await;
        let eve = rig.client(&sub("eve"));
        let how = How::bound().with("{}");
        rig.call(&eve, Verb::Update, "/posts/1", how);
        let asked = rig.upstream.expect("PATCH /posts/1").await;
        asked.answer(204, &[], "");
        let asked = rig.upstream.expect("GET /posts/1").await;
        let grant = eve.caller.grant.as_ref().unwrap();
        let own = format!("Bearer {}", grant.token().unwrap());
        assert_eq!(asked.header("authorization"), Some(&*own));
        asked.answer(status, &[], "\"secret\"");
        assert_eq!(rig.line(&eve).await, format!("ok {bound} "));
        if status == 403 {
            rig.publish("/posts/1", "note", "1").await;
            rig.silent(&eve).await;
        }
    }
}
