//! What an upstream says about keeping its answers, read as it is meant.

use super::keeping::{TAGGED, seconds};
use super::support::{FRESH, Stage, shown};
use crate::gateway::cache::{Found, How};

#[tokio::test]
async fn a_304_changes_headers_but_not_what_describes_the_body() {
    let mut stage = Stage::new();
    let encoded = [
        TAGGED[0],
        TAGGED[1],
        ("content-encoding", "x"),
        ("content-type", "a/b"),
    ];
    stage.fill("/posts/1", &encoded, "one").await;
    stage.pass_time(seconds(61));
    let getting = stage.begin("/posts/1");
    let new = [
        ("etag", "\"2\""),
        ("content-encoding", "y"),
        ("content-type", "c/d"),
        FRESH[0],
    ];
    stage.next().await.answer(304, &new, "");
    assert_eq!(
        shown(&getting.await.unwrap()),
        ("one".into(), How::Revalidated)
    );
    let Found::Fresh(entry) = stage.cache.lookup(&stage.lookup("/posts/1"), stage.now()) else {
        panic!("it was validated");
    };
    assert_eq!(entry.etag(), Some("\"1\""));
    assert_eq!(entry.headers["content-encoding"], "x");
    assert_eq!(entry.headers["content-type"], "c/d");
}

#[tokio::test]
async fn what_is_said_to_this_cache_counts_more() {
    for (headers, ttl) in [
        (&[FRESH[0], ("cdn-cache-control", "max-age=5")][..], Some(5)),
        (&[FRESH[0], ("surrogate-control", "max-age=5")], Some(5)),
        (
            &[FRESH[0], ("surrogate-control", "max-age=5;other")],
            Some(60),
        ),
        (&[FRESH[0], ("surrogate-control", "no-store")], None),
        (
            &[
                ("cache-control", "no-store"),
                ("cdn-cache-control", "max-age=5"),
            ],
            Some(5),
        ),
    ] {
        for shared in [true, false] {
            let mut stage = Stage::new();
            stage.shared = shared;
            stage.fill("/posts/1", headers, "x").await;
            let found = stage.cache.lookup(&stage.lookup("/posts/1"), stage.now());
            let ttl = if shared {
                ttl
            } else {
                (headers[0] == FRESH[0]).then_some(60)
            };
            match found {
                Found::Fresh(entry) => assert_eq!(Some(entry.ttl(stage.now())), ttl.map(seconds)),
                _ => assert_eq!(ttl, None, "{headers:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_age_that_cannot_be_read_is_too_high() {
    for (age, fresh) in [
        (&["30"][..], true),
        (&["0, 90"], true),
        (&["90, 0"], false),
        (&["0", "90"], false),
        (&["90.5"], false),
        (&["-1"], false),
        (&["soon"], false),
        (&[""], false),
    ] {
        let mut stage = Stage::new();
        let ages = age.iter().map(|age| ("age", *age));
        let headers: Vec<_> = ages.chain([FRESH[0]]).collect();
        stage.fill("/posts/1", &headers, "x").await;
        assert_eq!(stage.is_fresh("/posts/1"), fresh, "{age:?}");
    }
}

#[tokio::test]
async fn answers_that_vary() {
    let mut stage = Stage::new();
    let by_language = [
        ("cache-control", "max-age=60"),
        ("vary", "Accept-Encoding"),
        ("vary", "accept-language"),
    ];
    for language in ["de", "fr"] {
        let lookup = stage.lookup_as("/posts/1", "", &[("accept-language", language)]);
        let getting = stage.begin_as(lookup, "");
        stage.next().await.answer(200, &by_language, language);
        getting.await.unwrap().unwrap();
    }
    for language in ["fr", "de"] {
        let lookup = stage.lookup_as("/posts/1", "", &[("accept-language", language)]);
        let got = stage.begin_as(lookup, "").await.unwrap();
        assert_eq!(shown(&got), (language.into(), How::Hit));
    }
    assert!(!stage.is_fresh("/posts/1"), "a third one");
    for (other, kept) in [
        ("*", false),
        ("accept, *", false),
        ("accept, X-Pogo-Sub", false),
        ("Authorization", false),
        // No upstream gets to see these.
        ("Origin, Accept-Encoding, Cookie", true),
    ] {
        let headers = [("cache-control", "max-age=60"), ("vary", other)];
        stage.cache.bump("/posts/2");
        stage.fill("/posts/2", &headers, "x").await;
        assert_eq!(stage.is_fresh("/posts/2"), kept, "{other}");
    }
}

#[tokio::test]
async fn accept_is_part_of_the_question() {
    let mut stage = Stage::new();
    let csv = stage.lookup_as("/posts/1", "", &[("accept", "text/csv")]);
    let getting = stage.begin_as(csv, "");
    stage.next().await.answer(200, FRESH, "csv");
    getting.await.unwrap().unwrap();
    assert!(!stage.is_fresh("/posts/1"));
}

#[tokio::test]
async fn personal_answers_are_not_kept_for_all() {
    for headers in [
        &[("cache-control", "private, max-age=60")][..],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[
            ("cache-control", "max-age=60"),
            ("content-type", "text/event-stream"),
        ],
    ] {
        let mut stage = Stage::new();
        assert_eq!(
            stage.fill("/posts/1", headers, "x").await,
            How::Pass,
            "{headers:?}"
        );
        assert!(!stage.is_fresh("/posts/1"));
    }
    let mut stage = Stage::new();
    stage.shared = false;
    for headers in [
        &[("cache-control", "private, max-age=60")][..],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
    ] {
        stage.cache.bump("/me");
        stage.fill("/me", headers, "x").await;
        let Found::Fresh(entry) = stage.cache.lookup(&stage.lookup("/me"), stage.now()) else {
            panic!("{headers:?}");
        };
        assert!(!entry.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn with_credentials_only_what_says_so_is_shared() {
    for (control, kept) in [
        ("max-age=60", false),
        ("public, max-age=60", true),
        ("s-maxage=60", true),
    ] {
        let mut stage = Stage::new();
        let lookup = stage.lookup_as("/posts/1", "", &[("authorization", "Basic x")]);
        let getting = stage.begin_as(lookup, "");
        stage
            .next()
            .await
            .answer(200, &[("cache-control", control)], "x");
        getting.await.unwrap().unwrap();
        assert_eq!(stage.is_fresh("/posts/1"), kept, "{control}");
    }
}

#[tokio::test]
async fn what_was_fetched_for_head_has_no_body_to_keep() {
    let mut stage = Stage::new();
    // Uncacheable, so that HEAD goes by itself; then that changes.
    let never = [("cache-control", "no-store")];
    stage.fill("/posts/1", &never, "x").await;
    let getting = stage.begin_as(stage.lookup("/posts/1").head(), "");
    stage.next().await.answer(200, FRESH, "");
    assert_eq!(getting.await.unwrap().unwrap().how, How::Pass);
    assert!(!stage.is_fresh("/posts/1"));
    // Else it is fetched as GET is.
    let getting = stage.begin_as(stage.lookup("/posts/2").head(), "");
    stage.next().await.answer(200, FRESH, "two");
    assert_eq!(shown(&getting.await.unwrap()), ("two".into(), How::Miss));
    assert!(stage.is_fresh("/posts/2"));
}
