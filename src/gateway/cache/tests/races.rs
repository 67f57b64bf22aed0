//! The races that a cache between writers and readers has to survive, one by one.

use std::time::Duration;

use super::support::{FRESH, Stage, settle, shown};
use crate::channel::Pattern;
use crate::code::ErrorCode;
use crate::gateway::cache::{Config, How, Purge};

fn of(body: &str, how: How) -> (String, How) {
    (body.to_owned(), how)
}

#[tokio::test]
async fn many_cold_gets_are_one_fetch() {
    let mut stage = Stage::new();
    let all: Vec<_> = (0..50).map(|_| stage.begin("/posts/1")).collect();
    settle().await;
    stage.next().await.answer(200, FRESH, "one");
    let mut misses = 0;
    for got in all {
        let (body, how) = shown(&got.await.unwrap());
        assert_eq!(body, "one");
        assert!(matches!(how, How::Miss | How::Joined));
        misses += u32::from(how == How::Miss);
    }
    assert_eq!(misses, 1);
    assert!(stage.next_if_any().await.is_none());
    assert_eq!(stage.held("/posts/1").await, of("one", How::Hit));
    assert_eq!(stage.cache.counted(How::Joined), 49);
}

#[tokio::test]
async fn an_answer_that_was_overtaken_by_a_change_is_not_kept() {
    let mut stage = Stage::new();
    let getting = stage.begin("/posts/1");
    let fetch = stage.next().await;
    stage.cache.bump("/posts/1");
    fetch.answer(200, FRESH, "old");
    // It was asked for before the change, and may be told what was before.
    assert_eq!(shown(&getting.await.unwrap()), of("old", How::Miss));
    assert!(!stage.is_fresh("/posts/1"));
}

#[tokio::test]
async fn who_asks_after_a_write_never_joins_an_older_fetch() {
    let mut stage = Stage::new();
    let before = stage.begin("/posts/1?full");
    let old = stage.next().await;
    stage.cache.bump("/posts/1");
    let after = stage.begin("/posts/1?full");
    let new = stage.next().await;
    // And who comes now joins the newer one.
    let later = stage.begin("/posts/1?full");
    settle().await;
    new.answer(200, FRESH, "new");
    assert_eq!(shown(&after.await.unwrap()), of("new", How::Miss));
    assert_eq!(shown(&later.await.unwrap()), of("new", How::Joined));
    old.answer(200, FRESH, "old");
    assert_eq!(shown(&before.await.unwrap()), of("old", How::Miss));
    assert_eq!(stage.held("/posts/1?full").await, of("new", How::Hit));
}

#[tokio::test]
async fn a_leader_that_goes_away_cancels_nothing() {
    let mut stage = Stage::new();
    let leader = stage.begin("/posts/1");
    let fetch = stage.next().await;
    let waiter = stage.begin("/posts/1");
    settle().await;
    leader.abort();
    settle().await;
    fetch.answer(200, FRESH, "one");
    assert_eq!(shown(&waiter.await.unwrap()), of("one", How::Joined));
    assert!(stage.next_if_any().await.is_none());
}

#[tokio::test]
async fn of_two_fetches_the_later_one_is_kept() {
    let mut stage = Stage::new();
    // Both are known to be uncacheable, so they run side by side; then that changes.
    stage
        .fill("/posts/1", &[("cache-control", "no-store")], "never")
        .await;
    let first = stage.begin("/posts/1");
    let early = stage.next().await;
    stage.pass_time(Duration::from_millis(1));
    let second = stage.begin("/posts/1");
    let late = stage.next().await;
    late.answer(200, FRESH, "late");
    second.await.unwrap().unwrap();
    early.answer(200, FRESH, "early");
    first.await.unwrap().unwrap();
    assert_eq!(stage.held("/posts/1").await.0, "late");
}

#[tokio::test]
async fn what_is_uncacheable_is_fetched_side_by_side() {
    let mut stage = Stage::new();
    let secret = &[("cache-control", "private, max-age=60")];
    let all: Vec<_> = (0..3).map(|_| stage.begin("/posts/1")).collect();
    settle().await;
    stage.next().await.answer(200, secret, "mine");
    // Nothing to share: those who waited fetch for themselves, all at a time.
    let (second, third) = (stage.next().await, stage.next().await);
    third.answer(200, secret, "third");
    second.answer(200, secret, "second");
    let mut bodies = vec![];
    for got in all {
        let (body, how) = shown(&got.await.unwrap());
        assert_eq!(how, How::Pass);
        bodies.push(body);
    }
    bodies.sort();
    assert_eq!(bodies, ["mine", "second", "third"]);
    // That is remembered for two minutes.
    let pair = [stage.begin("/posts/1"), stage.begin("/posts/1")];
    let fetches = [stage.next().await, stage.next().await];
    for fetch in fetches {
        fetch.answer(200, secret, "x");
    }
    for got in pair {
        got.await.unwrap().unwrap();
    }
    stage.pass_time(Duration::from_secs(121));
    let _pair = [stage.begin("/posts/1"), stage.begin("/posts/1")];
    let _one = stage.next().await;
    assert!(stage.next_if_any().await.is_none());
}

#[tokio::test]
async fn variants_share_neither_answers_nor_fetches() {
    let mut stage = Stage::new();
    let anna = stage.begin_as(stage.lookup_as("/me", "anna", &[]), "anna");
    let bert = stage.begin_as(stage.lookup_as("/me", "bert", &[]), "bert");
    for _ in 0..2 {
        let fetch = stage.next().await;
        let who = fetch.who.clone();
        fetch.answer(200, FRESH, &who);
    }
    assert_eq!(shown(&anna.await.unwrap()).0, "anna");
    assert_eq!(shown(&bert.await.unwrap()).0, "bert");
    let again = stage.begin_as(stage.lookup_as("/me", "bert", &[]), "bert");
    assert_eq!(shown(&again.await.unwrap()), of("bert", How::Hit));
}

#[tokio::test]
async fn a_refusal_is_only_for_who_asked() {
    let mut stage = Stage::new();
    let expired = stage.begin_as(stage.lookup("/posts/1"), "expired");
    let fetch = stage.next().await;
    let valid = stage.begin_as(stage.lookup("/posts/1"), "valid");
    settle().await;
    fetch.answer(401, &[], "no");
    assert_eq!(shown(&expired.await.unwrap()), of("no", How::Pass));
    let own = stage.next().await;
    assert_eq!(own.who, "valid");
    own.answer(200, FRESH, "yes");
    assert_eq!(shown(&valid.await.unwrap()).0, "yes");
    // One token that expired does not make the uri uncacheable.
    assert_eq!(stage.held("/posts/1").await, of("yes", How::Hit));
}

#[tokio::test]
async fn a_hit_for_somebody_unknown_is_validated_on_his_behalf() {
    let mut stage = Stage::new();
    let tagged = &[("cache-control", "max-age=60"), ("etag", "\"1\"")];
    stage.fill("/posts/1", tagged, "one").await;
    let unknown = |stage: &Stage, who: &str| {
        stage.begin_as(stage.lookup("/posts/1").on_behalf_of(who.into()), who)
    };
    let allowed = unknown(&stage, "allowed");
    let fetch = stage.next().await;
    assert_eq!(
        fetch.conditions(),
        [("if-none-match".into(), "\"1\"".into())]
    );
    // Another identity does not join it, the same does.
    let twin = unknown(&stage, "allowed");
    let denied = unknown(&stage, "denied");
    let other = stage.next().await;
    assert_eq!(other.who, "denied");
    other.answer(403, &[], "");
    assert_eq!(denied.await.unwrap().unwrap().how, How::Pass);
    fetch.answer(304, &[], "");
    assert_eq!(shown(&allowed.await.unwrap()), of("one", How::Revalidated));
    assert_eq!(shown(&twin.await.unwrap()), of("one", How::Revalidated));
    assert_eq!(stage.held("/posts/1").await, of("one", How::Hit));
}

#[tokio::test]
async fn a_failure_is_shared_but_not_kept() {
    let mut stage = Stage::new();
    let pair = [stage.begin("/posts/1"), stage.begin("/posts/1")];
    settle().await;
    stage.next().await.fail();
    for got in pair {
        assert_eq!(got.await.unwrap().unwrap_err().code, ErrorCode::Timeout);
    }
    assert_eq!(stage.fill("/posts/1", FRESH, "one").await, How::Miss);
}

#[tokio::test]
async fn no_more_than_so_many_fetch_and_wait() {
    let mut stage = Stage::with(Config {
        bytes: 1 << 20,
        entry_bytes: 1 << 10,
        max_waiting: 3,
    });
    let mut within: Vec<_> = (0..2).map(|_| stage.begin("/posts/1")).collect();
    settle().await;
    let fetch = stage.next().await;
    within.push(stage.begin("/posts/1"));
    settle().await;
    let over = stage.begin("/posts/2").await.unwrap().unwrap_err();
    assert_eq!(over.code, ErrorCode::Unavailable);
    fetch.answer(200, FRESH, "one");
    for got in within {
        assert_eq!(shown(&got.await.unwrap()).0, "one");
    }
    assert_eq!(stage.fill("/posts/2", FRESH, "two").await, How::Miss);
}

#[tokio::test]
async fn a_purge_reaches_what_is_being_fetched() {
    let mut stage = Stage::new();
    stage.fill("/posts/2", FRESH, "two").await;
    let before = stage.begin("/posts/1");
    let old = stage.next().await;
    let pattern = Pattern::parse("/posts/**").unwrap();
    assert_eq!(stage.cache.purge(Purge::Uris(&pattern)), 1);
    let after = stage.begin("/posts/1");
    let new = stage.next().await;
    old.answer(200, FRESH, "old");
    new.answer(200, FRESH, "new");
    assert_eq!(shown(&before.await.unwrap()).0, "old");
    assert_eq!(shown(&after.await.unwrap()).0, "new");
    assert_eq!(stage.held("/posts/1").await.0, "new");
    assert!(!stage.is_fresh("/posts/2"));
}

#[tokio::test]
async fn a_key_that_is_purged_meanwhile_is_no_answer_for_who_came_after() {
    let mut stage = Stage::new();
    let before = stage.begin("/posts");
    let old = stage.next().await;
    let rules = crate::gateway::cache::Rules {
        endpoint: "posts".into(),
        origin: "blog:80".into(),
        shared: true,
        selecting: vec![],
        settings: Default::default(),
    };
    let named = super::support::header_map(&[("surrogate-key", "front-page")]);
    stage.cache.invalidate(&rules, [], &named);
    // Nobody knows yet that this fetch will turn out to have that key.
    let after = stage.begin("/posts");
    assert!(stage.next_if_any().await.is_none());
    let keyed = &[
        ("cache-control", "max-age=60"),
        ("surrogate-key", "front-page x"),
    ];
    old.answer(200, keyed, "old");
    assert_eq!(shown(&before.await.unwrap()).0, "old");
    let own = stage.next().await;
    own.answer(200, keyed, "new");
    assert_eq!(shown(&after.await.unwrap()).0, "new");
    assert_eq!(stage.held("/posts").await.0, "new");
}

#[tokio::test]
async fn a_fetch_that_panics_leaves_nobody_waiting() {
    let mut stage = Stage::new();
    let cache = stage.cache.clone();
    let lookup = stage.lookup("/posts/1");
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = std::sync::Mutex::new(Some(gone));
    let leader = tokio::spawn(async move {
        let fetch = move |_| {
            let gone = gone.lock().unwrap().take().unwrap();
            async move {
                let _ = gone.await;
                panic!("a mistake in the fetch")
            }
        };
        cache.get(lookup, fetch).await
    });
    settle().await;
    let waiter = stage.begin("/posts/1");
    settle().await;
    go.send(()).unwrap();
    assert_eq!(leader.await.unwrap().unwrap_err().code, ErrorCode::Internal);
    stage.next().await.answer(200, FRESH, "one");
    assert_eq!(shown(&waiter.await.unwrap()).0, "one");
}

#[tokio::test]
async fn what_one_is_refused_is_nobody_elses() {
    for status in [400, 402, 408, 409, 422, 429] {
        let mut stage = Stage::new();
        let first = stage.begin("/posts/1");
        let asked = stage.next().await;
        let second = stage.begin("/posts/1");
        settle().await;
        asked.answer(status, &[], "yours");
        assert_eq!(shown(&first.await.unwrap()).0, "yours");
        stage.next().await.answer(status, &[], "mine");
        assert_eq!(shown(&second.await.unwrap()).0, "mine", "{status}");
    }
    for status in [404, 410, 500, 503] {
        let mut stage = Stage::new();
        let first = stage.begin("/posts/1");
        let asked = stage.next().await;
        let second = stage.begin("/posts/1");
        settle().await;
        asked.answer(status, &[], "all");
        for got in [first, second] {
            assert_eq!(shown(&got.await.unwrap()).0, "all", "{status}");
        }
        assert!(stage.next_if_any().await.is_none());
    }
}
