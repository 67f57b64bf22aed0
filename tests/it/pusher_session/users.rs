//! Signing in: whose events one gets, presence without channel data, and who watches whom.

use pogo::control::proto::{ListChannelsRequest, SubscribeRequest, WatchRequest};
use serde_json::{Value, json};

use super::{error, trigger};
use crate::support::http::{APP, call};
use crate::support::{Pusher, TestServer};

#[tokio::test]
async fn a_signed_in_user_gets_what_is_sent_to_it_and_nobody_else_does() {
    let server = TestServer::with(APP).await;
    let (mut ann, mut eve) = (Pusher::open(&server).await, Pusher::open(&server).await);
    let own = "#server-to-user-ann";
    ann.say("pusher:subscribe", json!({"channel": own, "auth": ""}))
        .await;
    error(&mut ann, Value::Null).await;
    ann.expect("pusher:subscription_error").await;

    let user = json!({"id": "ann", "user_info": {"name": "Ann"}});
    let done = ann.sign_in(&user).await;
    assert_eq!(done, json!({"user_data": user.to_string()}));
    eve.sign_in(&json!({"id": "eve"})).await;
    ann.subscribe(own).await;
    eve.say("pusher:subscribe", json!({"channel": own, "auth": ""}))
        .await;
    error(&mut eve, Value::Null).await;
    eve.expect("pusher:subscription_error").await;
    trigger(&server, own, "hello", "{}").await;
    assert_eq!(ann.expect("hello").await, json!({}));
    eve.quiet().await;

    ann.sign_in(&user).await;
    let other = json!({"id": "eve"}).to_string();
    ann.say("pusher:signin", json!({"auth": "x:y", "user_data": other}))
        .await;
    error(&mut ann, Value::Null).await;
    ann.quiet().await;
}

#[tokio::test]
async fn a_signed_in_user_needs_no_channel_data() {
    let server = TestServer::with(APP).await;
    let mut ann = Pusher::open(&server).await;
    let auth = ann.auth("presence-a", None);
    let subscribe = json!({"channel": "presence-a", "auth": auth});
    ann.say("pusher:subscribe", subscribe.clone()).await;
    error(&mut ann, Value::Null).await;
    ann.expect("pusher:subscription_error").await;
    ann.sign_in(&json!({"id": 7, "user_info": {"name": "Ann"}}))
        .await;
    ann.say("pusher:subscribe", subscribe).await;
    let there = ann.expect("pusher_internal:subscription_succeeded").await;
    assert_eq!(
        there["presence"],
        json!({"count": 1, "ids": ["7"], "hash": {"7": {"name": "Ann"}}})
    );
}

#[tokio::test]
async fn watchers_hear_who_comes_and_goes() {
    let server = TestServer::with(APP).await;
    let mut bob = Pusher::open(&server).await;
    bob.sign_in(&json!({"id": "bob"})).await;
    let mut ann = Pusher::open(&server).await;
    ann.sign_in(&json!({"id": "ann", "watchlist": ["bob", "eve", "bob"]}))
        .await;
    let told = ann.expect("pusher_internal:watchlist_events").await;
    assert_eq!(
        told["events"],
        json!([
            {"name": "online", "user_ids": ["bob"]},
            {"name": "offline", "user_ids": ["eve"]},
        ])
    );
    let change = |name: &str, user: &str| json!({"events": [{"name": name, "user_ids": [user]}]});
    let (mut eve, mut eve_too) = (Pusher::open(&server).await, Pusher::open(&server).await);
    eve.sign_in(&json!({"id": "eve"})).await;
    assert_eq!(
        ann.expect("pusher_internal:watchlist_events").await,
        change("online", "eve")
    );
    eve_too.sign_in(&json!({"id": "eve"})).await;
    eve.close().await;
    ann.quiet().await;
    eve_too.close().await;
    assert_eq!(
        ann.expect("pusher_internal:watchlist_events").await,
        change("offline", "eve")
    );
    bob.quiet().await;
}

#[tokio::test]
async fn a_long_watchlist_is_cut_and_the_user_signed_in_all_the_same() {
    let server = TestServer::with(APP).await;
    let mut ann = Pusher::open(&server).await;
    let list: Vec<_> = (0..101).collect();
    ann.sign_in(&json!({"id": "ann", "watchlist": list})).await;
    error(&mut ann, json!(4302)).await;
    let told = ann.expect("pusher_internal:watchlist_events").await;
    assert_eq!(told["events"][0]["user_ids"].as_array().unwrap().len(), 100);
    ann.quiet().await;
}

#[tokio::test]
async fn a_users_connections_can_be_ended() {
    let server = TestServer::with(APP).await;
    let (mut ann, mut other) = (Pusher::open(&server).await, Pusher::open(&server).await);
    ann.sign_in(&json!({"id": "ann"})).await;
    other.join("presence-a", json!("ann")).await;
    let mut watcher = Pusher::open(&server).await;
    watcher
        .sign_in(&json!({"id": "bob", "watchlist": ["ann"]}))
        .await;
    watcher.expect("pusher_internal:watchlist_events").await;
    let path = "/apps/1/users/ann/terminate_connections";
    let answer = call(&server, "POST", path, "", "{}").await;
    assert_eq!((answer.status, &*answer.body), (200, "{}"));
    assert_eq!(ann.closed().await.0, 4009);
    other.quiet().await;
    let told = watcher.expect("pusher_internal:watchlist_events").await;
    assert_eq!(told["events"][0]["name"], "offline");
    watcher.quiet().await;
}

#[tokio::test]
async fn what_the_server_keeps_of_users_is_nobody_elses_business() {
    let server = TestServer::with(APP).await;
    let mut control = server.control().await;
    let watch = SubscribeRequest {
        channels: vec!["**".into()],
        ..Default::default()
    };
    let mut watched = control
        .channels
        .subscribe(watch)
        .await
        .unwrap()
        .into_inner();
    let mut events = control
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut ann = Pusher::open(&server).await;
    ann.sign_in(&json!({"id": "ann", "watchlist": ["bob"]}))
        .await;
    ann.expect("pusher_internal:watchlist_events").await;
    ann.subscribe("#server-to-user-ann").await;
    ann.subscribe("seen").await;
    let listed = control
        .channels
        .list_channels(ListChannelsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let names: Vec<_> = listed.channels.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["#server-to-user-ann", "seen"]);
    trigger(&server, "seen", "hello", "{}").await;
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(
        first.channel, "seen",
        "the first that a watcher of all hears of"
    );
    loop {
        let event = events.message().await.unwrap().unwrap();
        let channel = event.channel.unwrap_or_default();
        assert!(!channel.starts_with("#user-"), "{channel}");
        if channel == "seen" {
            break;
        }
    }
}
