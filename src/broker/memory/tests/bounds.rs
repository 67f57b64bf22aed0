//! Every store is bounded; what is idle makes room, what lives does not.

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::*;
use crate::broker::Draft;

const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn publish(
    broker: &MemoryBroker,
    channel: &str,
    data: &[u8],
    key: Option<&str>,
) -> Result<Accepted, BrokerError> {
    let draft = Draft {
        channel: name(channel),
        event: "e".into(),
        data: data.to_vec().into(),
        ttl: None,
        accepted: (broker.clock)().instant,
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: key.map(Into::into),
        admission: None,
    };
    broker.publish(draft).now_or_never().unwrap()
}

fn retained(broker: &MemoryBroker, channel: &str) -> usize {
    let query = HistoryQuery {
        limit: 100,
        ..HistoryQuery::default()
    };
    let page = broker.history_now(&name(channel), &query).unwrap();
    page.publications.len()
}

fn setting<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> &'static str {
    match result {
        Err(BrokerError::Full { setting, .. }) => setting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn channels_are_bounded_and_the_oldest_idle_makes_room() {
    let config = MemoryConfig {
        max_channels: 3,
        ..MemoryConfig::default()
    };
    let (broker, clock, _) = open(config);
    let subscribe = |channel: &str| broker.subscribe(&name(channel)).now_or_never().unwrap();
    publish(&broker, "kept-1", b"1", None).unwrap();
    clock.advance(HOUR / 4);
    subscribe("a").unwrap();
    subscribe("b").unwrap();
    assert_eq!(broker.bounds.used().0, 3);
    // The history of the first is over, but nobody has looked: it counts as live until swept.
    assert_eq!(setting(subscribe("c")), "broker.max_channels");
    broker.sweep(clock.now());
    subscribe("c").unwrap();
    assert_eq!(setting(subscribe("d")), "broker.max_channels");
    assert_eq!(
        setting(publish(&broker, "kept-2", b"1", Some("k"))),
        "broker.max_channels"
    );
    assert_eq!(broker.bounds.used().2, 0, "the key was not used");
    assert!(
        publish(&broker, "plain", b"1", None).is_ok(),
        "needs no room"
    );
    broker
        .unsubscribe(&name("a"))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(broker.bounds.used().0, 2, "nothing of it is worth keeping");
    subscribe("d").unwrap();
}

#[test]
fn idle_channels_are_forgotten_after_their_time() {
    let (broker, clock, _) = open(MemoryConfig::default());
    let first = publish(&broker, "kept", b"1", None).unwrap().position;
    clock.advance(Duration::from_secs(1));
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used(), (1, 0, 0), "the epoch is kept");
    clock.advance(HOUR - Duration::from_secs(1));
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().0, 1);
    clock.advance(Duration::from_secs(1));
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().0, 0);
    let second = publish(&broker, "kept", b"2", None).unwrap().position;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.epoch, second.epoch);
    assert_eq!(second.offset, 1);
}

#[test]
fn a_channel_with_a_subscriber_or_member_is_never_idle() {
    let (broker, clock, _) = open(MemoryConfig::default());
    let member = Member {
        subject: "ann".into(),
        session: "1.1".parse().unwrap(),
        info: None,
    };
    let subscribed = broker.subscribe(&name("kept-1")).now_or_never();
    subscribed.unwrap().unwrap();
    broker
        .enter_now(&name("kept-2"), (member, usize::MAX), None)
        .unwrap();
    clock.advance(HOUR * 3);
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().0, 2);
    broker.exit_now(&name("kept-2"), "1.1".parse().unwrap(), None);
    clock.advance(HOUR);
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().0, 1);
}

#[test]
fn all_histories_share_a_bound_of_bytes() {
    let config = MemoryConfig {
        history_bytes: 40_000,
        ..MemoryConfig::default()
    };
    let (broker, clock, _) = open(config);
    let start = broker
        .history_now(&name("kept"), &HistoryQuery::default())
        .unwrap();
    for _ in 0..5 {
        publish(&broker, "kept", &[b'1'; 15_000], None).unwrap();
    }
    assert_eq!(retained(&broker, "kept"), 2, "it pays itself");
    let query = HistoryQuery {
        from: start.position,
        limit: 100,
        reverse: false,
    };
    let page = broker.history_now(&name("kept"), &query).unwrap();
    assert!(!page.complete, "what was dropped is told");
    publish(&broker, "kept-big", &[b'1'; 50_000], None).unwrap();
    assert_eq!(retained(&broker, "kept-big"), 0, "more than there is");
    clock.advance(suite::AGE * 2);
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().1, 0);
}

#[test]
fn the_channel_that_was_published_on_longest_ago_makes_room() {
    let config = MemoryConfig {
        history_bytes: 200_000,
        ..MemoryConfig::default()
    };
    let (broker, clock, _) = open(config);
    let names: Vec<_> = (0..600).map(|number| format!("kept-{number}")).collect();
    for name in &names {
        publish(&broker, name, &[b'1'; 500], None).unwrap();
        clock.advance(Duration::from_micros(1));
    }
    let kept = |some: &[String]| {
        some.iter()
            .map(|name| retained(&broker, name))
            .sum::<usize>()
    };
    let (old, new) = names.split_at(300);
    let (old, new) = (kept(old), kept(new));
    assert!(old + new >= 200, "the bound is used: {old} + {new}");
    assert!(new > old, "the old ones went first: {old} and {new}");
}

#[test]
fn idempotency_keys_are_bounded() {
    let config = MemoryConfig {
        max_idempotency_keys: 2,
        ..MemoryConfig::default()
    };
    let (broker, clock, _) = open(config);
    publish(&broker, "a", b"1", Some("1")).unwrap();
    publish(&broker, "b", b"1", Some("1")).unwrap();
    assert_eq!(
        setting(publish(&broker, "c", b"1", Some("1"))),
        "broker.max_idempotency_keys"
    );
    assert!(publish(&broker, "a", b"1", Some("1")).unwrap().deduplicated);
    assert!(publish(&broker, "c", b"1", None).is_ok());
    clock.advance(Duration::from_secs(301));
    broker.sweep(clock.now());
    assert_eq!(broker.bounds.used().2, 0);
    publish(&broker, "c", b"1", Some("1")).unwrap();
}

#[test]
fn a_ttl_counts_from_acceptance() {
    let (broker, _, delivered) = open(MemoryConfig::default());
    let old = Draft {
        channel: name("kept"),
        event: "e".into(),
        data: "1".into(),
        ttl: Some(Duration::from_millis(50)),
        accepted: Instant::now() - Duration::from_millis(60),
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: None,
        admission: None,
    };
    let accepted = broker.publish_now(old).unwrap();
    assert_eq!(accepted.position.unwrap().offset, 1);
    assert_eq!(retained(&broker, "kept"), 0);
    drop(delivered);
}

#[test]
fn history_owns_its_bytes() {
    let (broker, _, delivered) = open(MemoryConfig::default());
    let buffer = bytes::Bytes::from(vec![b'1'; 1 << 20]);
    let draft = Draft {
        channel: name("kept"),
        event: "e".into(),
        data: buffer.slice(..10),
        ttl: None,
        accepted: Instant::now(),
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: None,
        admission: None,
    };
    broker.publish_now(draft).unwrap();
    assert!(buffer.is_unique(), "nothing holds the caller's buffer");
    drop(delivered);
}

#[test]
fn rules_may_change_while_a_channel_lives() {
    let on = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let rules: HistoryRules = {
        let on = on.clone();
        Arc::new(move |name| {
            on.load(std::sync::atomic::Ordering::Relaxed)
                .then(|| suite::rule(name))
                .flatten()
        })
    };
    let hub = Arc::new(Recording::default());
    let broker = MemoryBroker::open(MemoryConfig::default(), rules, hub, &Metrics::new()).unwrap();
    let channel = name("kept");
    broker.subscribe(&channel).now_or_never().unwrap().unwrap();
    let first = publish(&broker, "kept", b"1", None)
        .unwrap()
        .position
        .unwrap();
    on.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(
        publish(&broker, "kept", b"2", None)
            .unwrap()
            .position
            .is_none()
    );
    on.store(true, std::sync::atomic::Ordering::Relaxed);
    let third = publish(&broker, "kept", b"3", None)
        .unwrap()
        .position
        .unwrap();
    assert_eq!((third.offset, &third.epoch), (3, &first.epoch));
    let query = HistoryQuery {
        from: Some(first),
        limit: 9,
        reverse: false,
    };
    let page = broker.history_now(&channel, &query).unwrap();
    assert!(!page.complete, "the second was not retained");
}
