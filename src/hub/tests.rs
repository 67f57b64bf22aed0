//! Interest, fan-out, watchers and the budget.

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::testing::Recorder;
use super::*;
use crate::publication::Position;

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn publication(channel: &str, sequence: u64) -> Publication {
    Publication {
        channel: name(channel),
        event: "e".into(),
        data: "1".into(),
        sequence,
        epoch: Some("abc".into()),
        time: 0,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        revision: 0,
        change: None,
    }
}

fn hub(config: Config) -> Arc<Hub> {
    Arc::new(Hub::new(config, Metrics::new()))
}

#[test]
fn each_interested_worker_gets_a_publication_once() {
    let hub = hub(Config::default());
    let workers = [Recorder::new(), Recorder::new(), Recorder::new()];
    let ids = workers.clone().map(|worker| hub.attach(worker).unwrap());
    assert_eq!(ids, [0, 1, 2]);
    assert!(hub.join(&name("a"), 0));
    assert!(!hub.join(&name("a"), 0));
    assert!(!hub.join(&name("a"), 2));
    assert_eq!(hub.deliver(publication("a", 1), None), 3);
    assert_eq!(hub.deliver(publication("b", 1), None), 0);
    let counts = workers.each_ref().map(|worker| worker.publications().len());
    assert_eq!(counts, [1, 0, 1]);

    assert!(!hub.leave(&name("a"), 0));
    assert!(!hub.leave(&name("a"), 1), "was never there");
    assert!(!hub.leave(&name("a"), 0));
    assert_eq!((hub.subscribers("a"), hub.len()), (1, 1));
    assert!(hub.leave(&name("a"), 2));
    assert!(!hub.leave(&name("a"), 2));
    assert_eq!((hub.subscribers("a"), hub.len()), (0, 0));
}

#[test]
fn there_are_64_workers_at_most() {
    let hub = hub(Config::default());
    for id in 0..64 {
        assert_eq!(hub.attach(Recorder::new()), Ok(id));
    }
    assert_eq!(hub.attach(Recorder::new()), Err(HubError::TooManyWorkers));
    let last = 63;
    hub.join(&name("a"), last);
    assert_eq!(hub.deliver(publication("a", 1), None), 1);
}

#[test]
fn channels_are_listed_in_order_page_by_page() {
    let hub = hub(Config::default());
    for number in 0..2_000 {
        hub.join(&name(&format!("room-{number:04}")), 0);
    }
    hub.join(&name("other"), 0);
    hub.join(&name("room-0005"), 0);
    let all = Pattern::parse("room-**").unwrap();
    let (mut listed, mut after) = (vec![], String::new());
    loop {
        let page = hub.channels(Some(&all), &after, 300);
        let Some((last, _)) = page.last() else { break };
        after = last.to_string();
        listed.extend(page);
    }
    assert_eq!(listed.len(), 2_000);
    assert!(listed.is_sorted_by(|(a, _), (b, _)| a < b));
    assert_eq!(listed[5], (name("room-0005"), 2));
    let ends = Pattern::parse("**99").unwrap();
    assert_eq!(hub.channels(Some(&ends), "room-0100", 3).len(), 3);
    assert_eq!(hub.channels(None, "", 1)[0].0, name("other"));
    assert!(hub.channels(None, "", 0).is_empty());
}

#[tokio::test]
async fn occupied_and_vacated_are_logged() {
    let hub = hub(Config::default());
    let mut events = hub.events().watch(None).unwrap();
    hub.join(&name("a"), 0);
    hub.join(&name("a"), 0);
    hub.leave(&name("a"), 0);
    hub.leave(&name("a"), 0);
    for kind in [EventKind::Occupied, EventKind::Vacated] {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind, event.channel), (kind, Some(name("a"))));
    }
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn the_budget_holds_bytes_and_count() {
    let config = Config {
        budget_bytes: 10_000,
        budget_publications: 4,
        ..Config::default()
    };
    let hub = hub(config);
    let worker = Recorder::new();
    hub.attach(worker.clone()).unwrap();
    hub.join(&name("a"), 0);
    let mut small = vec![];
    for _ in 0..4 {
        small.push(hub.admit(1).now_or_never().flatten().unwrap());
    }
    assert!(hub.admit(1).now_or_never().is_none(), "four by count");
    small.clear();
    let admission = hub.admit(1 << 20).now_or_never().flatten();
    assert!(admission.is_some(), "more than everything is everything");
    hub.deliver(publication("a", 1), admission);
    assert!(hub.admit(1).now_or_never().is_none(), "the worker holds it");
    worker.take();
    assert!(hub.admit(1).now_or_never().is_some());
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_where() {
    let config = Config {
        watcher_publications: 2,
        watcher_gaps: 1,
        ..Config::default()
    };
    let hub = hub(config);
    let patterns = ["a", "b*"].map(|text| Pattern::parse(text).unwrap());
    let mut watcher = hub.watch(patterns.to_vec()).unwrap();
    for (channel, sequence) in [("a", 1), ("c", 1), ("a", 2), ("a", 3), ("a", 4), ("b1", 7)] {
        hub.deliver(publication(channel, sequence), None);
    }
    for expected in [1, 2] {
        let Watched::Publication(publication) = watcher.next().await else {
            panic!("a publication")
        };
        assert_eq!(publication.sequence, expected);
    }
    // There is room again, but `a` has a gap to tell first.
    hub.deliver(publication("a", 5), None);
    let Watched::Gap { channel, before } = watcher.next().await else {
        panic!("a gap")
    };
    assert_eq!(channel, Some(name("a")));
    let position = Position {
        epoch: "abc".into(),
        offset: 2,
    };
    assert_eq!(before, Some(position));
    let Watched::Gap { channel: None, .. } = watcher.next().await else {
        panic!("more channels than `watcher_gaps` lost something")
    };
    assert!(watcher.next().now_or_never().is_none());
    hub.deliver(publication("b2", 1), None);
    assert!(watcher.next().now_or_never().is_some());
}

#[tokio::test]
async fn watchers_are_bounded_and_leave_when_dropped() {
    let config = Config {
        max_watchers: 1,
        watcher_patterns: 1,
        ..Config::default()
    };
    let hub = hub(config);
    let all = || vec![Pattern::parse("**").unwrap()];
    let first = hub.watch(all()).unwrap();
    assert_eq!(
        hub.watch(all()).unwrap_err(),
        HubError::TooManyWatchers { limit: 1 }
    );
    drop(first);
    assert!(hub.watch(all()).is_ok());
    let two = [all(), all()].concat();
    assert_eq!(
        hub.watch(two).unwrap_err(),
        HubError::TooManyPatterns { limit: 1 }
    );
}

#[tokio::test]
async fn what_has_expired_is_given_to_nobody() {
    let hub = hub(Config::default());
    let worker = Recorder::new();
    hub.attach(worker.clone()).unwrap();
    hub.join(&name("a"), 0);
    let mut watcher = hub.watch(vec![Pattern::parse("a").unwrap()]).unwrap();
    let mut expired = publication("a", 1);
    expired.expires = Some(Instant::now());
    assert_eq!(hub.deliver(expired, None), 0);
    assert!(worker.take().is_empty());
    let mut soon = publication("a", 2);
    soon.expires = Some(Instant::now() + Duration::from_millis(30));
    hub.deliver(soon, None);
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert!(watcher.next().now_or_never().is_none());
    assert_eq!(hub.metrics().expired_publications.get(), 1);
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_counted() {
    let config = Config {
        answer_timeout: Duration::from_millis(5),
        ..Config::default()
    };
    let hub = hub(config);
    let silent = Recorder::new();
    hub.attach(silent.clone()).unwrap();
    let asked = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move {
            hub.act(SessionFilter::default(), SessionAction::Count)
                .await
        }
    });
    assert_eq!(
        asked.await.unwrap(),
        Tally {
            sessions: 0,
            unanswered: 1
        }
    );
    assert!(matches!(silent.take()[..], [WorkerMessage::Act { .. }]));
}

#[test]
fn webhooks_are_told_who_comes_and_goes_in_order() {
    let hub = hub(Config::default());
    hub.attach(Recorder::new()).unwrap();
    let mut reader = hub.notices().reader().unwrap();
    hub.join(&name("a"), 0);
    assert!(reader.is_empty(), "nobody wants to know");
    hub.leave(&name("a"), 0);
    hub.notices().want(NoticeKind::ALL);
    let push = |event: &str| Publication {
        event: event.into(),
        data: r#"{"subject":"ann"}"#.into(),
        ..publication("a", 0)
    };
    hub.join(&name("a"), 0);
    hub.join(&name("a"), 0);
    hub.deliver(push("pogo:join"), None);
    hub.deliver(push("e"), None);
    hub.deliver(push("pogo:leave"), None);
    hub.leave(&name("a"), 0);
    hub.leave(&name("a"), 0);
    let mut notices = vec![];
    reader.read(&mut notices, 100).now_or_never().unwrap();
    let kinds: Vec<_> = notices.iter().map(|notice| notice.news.kind()).collect();
    assert_eq!(
        kinds,
        [
            NoticeKind::ChannelOccupied,
            NoticeKind::MemberAdded,
            NoticeKind::MemberRemoved,
            NoticeKind::ChannelVacated
        ]
    );
    assert!(notices.iter().all(|notice| notice.channel == name("a")));
}
