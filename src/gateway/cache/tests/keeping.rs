//! What is kept, for how long, and what is given when it is too old.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::support::{FRESH, Stage, fetched, settle, shown};
use crate::gateway::cache::{Body, Content, Found, How, Purge};
use crate::resource::CacheSettings;

pub(super) const TAGGED: &[(&str, &str)] = &[("cache-control", "max-age=60"), ("etag", "\"1\"")];

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test]
async fn an_old_answer_is_validated_and_stands_again() {
    let mut stage = Stage::new();
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let headers = [
        TAGGED[0],
        TAGGED[1],
        modified,
        ("x-a", "1"),
        ("surrogate-key", "k"),
    ];
    stage.fill("/posts/1", &headers, "one").await;
    stage.pass_time(seconds(60));
    let getting = stage.begin("/posts/1");
    let fetch = stage.next().await;
    let conditions = fetch.conditions();
    assert!(conditions.contains(&("if-none-match".into(), "\"1\"".into())));
    assert!(conditions.contains(&("if-modified-since".into(), modified.1.into())));
    fetch.answer(304, &[("x-a", "2"), ("cache-control", "max-age=10")], "");
    let got = getting.await.unwrap();
    assert_eq!(shown(&got), ("one".into(), How::Revalidated));
    let Found::Fresh(entry) = stage.cache.lookup(&stage.lookup("/posts/1"), stage.now()) else {
        panic!("it was validated");
    };
    assert_eq!(entry.headers["x-a"], "2");
    assert_eq!(entry.ttl(stage.now()), seconds(10));
    assert_eq!(entry.etag(), Some("\"1\""));
    // It keeps its keys.
    assert_eq!(stage.cache.purge(Purge::Key("k")), 1);
}

#[tokio::test]
async fn after_a_change_a_time_proves_nothing() {
    let mut stage = Stage::new();
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    stage.fill("/posts/1", &[TAGGED[0], modified], "one").await;
    stage.cache.bump("/posts/1");
    assert_eq!(stage.fill("/posts/1", TAGGED, "two").await, How::Miss);
    stage.cache.bump("/posts/1");
    let _getting = stage.begin("/posts/1");
    let conditions = stage.next().await.conditions();
    assert_eq!(conditions, [("if-none-match".into(), "\"1\"".into())]);
}

#[tokio::test]
async fn an_endpoint_bounds_how_long() {
    let mut stage = Stage::new();
    stage.settings.max_ttl = Some(seconds(5));
    stage.fill("/posts/1", FRESH, "one").await;
    stage.pass_time(seconds(4));
    assert!(stage.is_fresh("/posts/1"));
    stage.pass_time(seconds(1));
    assert!(!stage.is_fresh("/posts/1"));
}

#[tokio::test]
async fn stale_while_one_fetches_again() {
    let mut stage = Stage::new();
    stage.settings = CacheSettings {
        stale_while_revalidate: seconds(10),
        ..CacheSettings::default()
    };
    stage.fill("/posts/1", TAGGED, "one").await;
    stage.pass_time(seconds(69));
    for _ in 0..3 {
        let got = stage.begin("/posts/1").await.unwrap();
        assert_eq!(shown(&got), ("one".into(), How::Stale));
    }
    let fetch = stage.next().await;
    assert!(stage.next_if_any().await.is_none(), "one is enough");
    fetch.answer(200, TAGGED, "two");
    settle().await;
    assert_eq!(stage.held("/posts/1").await, ("two".into(), How::Hit));
    // Beyond the window, and after a change, everybody waits.
    stage.pass_time(seconds(70));
    let waits = stage.begin("/posts/1");
    stage.next().await.answer(200, TAGGED, "three");
    assert_eq!(shown(&waits.await.unwrap()).0, "three");
    stage.pass_time(seconds(65));
    stage.cache.bump("/posts/1");
    let waits = stage.begin("/posts/1");
    stage.next().await.answer(200, TAGGED, "four");
    assert_eq!(shown(&waits.await.unwrap()), ("four".into(), How::Miss));
}

#[tokio::test]
async fn who_must_be_asked_is_asked() {
    for strict in [
        "max-age=60, must-revalidate",
        "no-cache",
        "s-maxage=60",
        "max-age=60, proxy-revalidate",
    ] {
        let mut stage = Stage::new();
        stage.settings.stale_while_revalidate = seconds(100);
        stage.settings.stale_if_error = seconds(100);
        let headers = [("cache-control", strict), ("etag", "\"1\"")];
        stage.fill("/posts/1", &headers, "one").await;
        stage.pass_time(seconds(61));
        let waits = stage.begin("/posts/1");
        stage.next().await.fail();
        assert!(waits.await.unwrap().is_err(), "{strict}");
    }
}

#[tokio::test]
async fn stale_if_the_upstream_fails() {
    let mut stage = Stage::new();
    let kind = [("cache-control", "max-age=60, stale-if-error=30")];
    stage.fill("/posts/1", &kind, "one").await;
    stage.pass_time(seconds(70));
    let getting = stage.begin("/posts/1");
    stage.next().await.fail();
    assert_eq!(shown(&getting.await.unwrap()), ("one".into(), How::Stale));
    let getting = stage.begin("/posts/1");
    stage.next().await.answer(503, &[], "down");
    assert_eq!(shown(&getting.await.unwrap()), ("one".into(), How::Stale));
    // Not what a 4xx says, not after a change, not for ever.
    let getting = stage.begin("/posts/1");
    stage.next().await.answer(400, &[], "what?");
    assert_eq!(shown(&getting.await.unwrap()).0, "what?");
    stage.pass_time(seconds(20));
    let getting = stage.begin("/posts/1");
    stage.next().await.fail();
    assert!(getting.await.unwrap().is_err());
    stage.fill("/posts/1", &kind, "two").await;
    stage.pass_time(seconds(70));
    let getting = stage.begin("/posts/1");
    let fetch = stage.next().await;
    stage.cache.bump("/posts/1");
    fetch.fail();
    assert!(getting.await.unwrap().is_err());
}

#[tokio::test]
async fn nothing_there_is_believed_for_a_second_and_a_failure_not_at_all() {
    let mut stage = Stage::new();
    for headers in [&[][..], &[("cache-control", "max-age=60")]] {
        let getting = stage.begin("/posts/1");
        stage.next().await.answer(404, headers, "none");
        getting.await.unwrap().unwrap();
        assert_eq!(stage.held("/posts/1").await, ("none".into(), How::Negative));
        stage.pass_time(seconds(1));
        assert!(!stage.is_fresh("/posts/1"));
    }
    let getting = stage.begin("/posts/2");
    stage.next().await.answer(503, FRESH, "down");
    getting.await.unwrap().unwrap();
    assert!(!stage.is_fresh("/posts/2"));
}

#[tokio::test]
async fn what_is_between_two_peers_stays_there() {
    let mut stage = Stage::new();
    let headers = [
        ("cache-control", "max-age=60"),
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("surrogate-key", "a b"),
        ("age", "20"),
        ("x-end", "1"),
    ];
    stage.fill("/posts/1", &headers, "x").await;
    let Found::Fresh(entry) = stage.cache.lookup(&stage.lookup("/posts/1"), stage.now()) else {
        panic!("it is fresh");
    };
    let mut names: Vec<_> = entry.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "x-end"]);
    stage.pass_time(seconds(10));
    assert_eq!(entry.age(stage.now()), seconds(30));
    assert_eq!(entry.ttl(stage.now()), seconds(30));
}

#[tokio::test]
async fn what_the_client_wishes() {
    let mut stage = Stage::new();
    stage.fill("/posts/1", TAGGED, "one").await;
    stage.pass_time(seconds(10));
    let asked = |control: &'static str| {
        let lookup = stage.lookup_as("/posts/1", "", &[("cache-control", control)]);
        matches!(stage.cache.lookup(&lookup, stage.now()), Found::Fresh(_))
    };
    for content in [
        "max-age=20",
        "min-fresh=50",
        "max-stale",
        "foo",
        "Max-Age=\"20\"",
    ] {
        assert!(asked(content), "{content}");
    }
    for refused in [
        "no-cache",
        "max-age=9",
        "min-fresh=51",
        "max-age=0",
        "NO-CACHE",
    ] {
        assert!(!asked(refused), "{refused}");
    }
    let lookup = stage.lookup_as("/posts/2", "", &[("cache-control", "only-if-cached")]);
    let failure = stage.begin_as(lookup, "").await.unwrap().unwrap_err();
    assert_eq!(failure.http, Some(504));
}

#[tokio::test]
async fn long_bodies_stream_past() {
    let mut stage = Stage::new();
    let part = "x".repeat(600);
    for length in [None, Some("1800")] {
        let getting = stage.begin("/posts/1");
        let mut answer = fetched(200, FRESH, "");
        if let Some(length) = length {
            answer
                .headers
                .insert("content-length", length.parse().unwrap());
        }
        let frames: Vec<_> = (0..3)
            .map(|_| Ok(Frame::data(Bytes::from(part.clone()))))
            .collect();
        answer.body = Body::Stream(StreamBody::new(stream::iter(frames)).boxed_unsync());
        stage.next().await.give(answer);
        let got = getting.await.unwrap().unwrap();
        let Content::Passed(answer) = got.content else {
            panic!("it is too long to be kept");
        };
        assert_eq!(answer.status, StatusCode::OK);
        let Body::Stream(body) = answer.body else {
            panic!("nobody reads it whole");
        };
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1_800);
    }
    // One that came whole stays whole.
    assert_eq!(
        stage.fill("/posts/3", FRESH, &"x".repeat(2_000)).await,
        How::Pass
    );
    let again = stage.begin("/posts/3");
    stage.next().await.answer(200, FRESH, &"x".repeat(2_000));
    assert_eq!(shown(&again.await.unwrap()).0.len(), 2_000);
    // A short one is kept on the way.
    let getting = stage.begin("/posts/2");
    let mut answer = fetched(200, FRESH, "");
    let frames = [Ok(Frame::data(Bytes::from(part)))];
    answer.body = Body::Stream(StreamBody::new(stream::iter(frames)).boxed_unsync());
    stage.next().await.give(answer);
    getting.await.unwrap().unwrap();
    assert!(stage.is_fresh("/posts/2"));
}

#[tokio::test]
async fn groups_are_invalidated_within_their_origin() {
    let mut stage = Stage::new();
    let grouped = [
        ("cache-control", "max-age=60"),
        ("cache-groups", "\"a, b\", \"c\";x"),
    ];
    let rules = |origin: &str| crate::gateway::cache::Rules {
        endpoint: "other".into(),
        origin: origin.into(),
        shared: true,
        selecting: vec![],
        settings: CacheSettings::default(),
    };
    let told = super::support::header_map(&[("cache-group-invalidation", "\"c\"")]);
    stage.fill("/posts/1", &grouped, "x").await;
    stage.cache.invalidate(&rules("elsewhere"), [], &told);
    assert!(stage.is_fresh("/posts/1"));
    stage.cache.invalidate(&rules("blog:80"), [], &told);
    assert!(!stage.is_fresh("/posts/1"));
}

#[tokio::test]
async fn what_is_made_of_an_entry_is_made_once() {
    let mut stage = Stage::new();
    stage.fill("/posts/1", FRESH, "12").await;
    let Found::Fresh(entry) = stage.cache.lookup(&stage.lookup("/posts/1"), stage.now()) else {
        panic!("it is fresh");
    };
    assert_eq!(entry.memo(|entry| entry.body.len()), 2);
    assert_eq!(entry.memo(|_| 7_usize), 2);
    assert_eq!(entry.memo(|_| "other"), "other");
}
