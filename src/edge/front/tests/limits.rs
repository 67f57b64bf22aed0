//! Limits and denials before the upgrade.

use std::num::NonZeroU32;

use super::*;
use crate::limits::{Config as LimitsConfig, RateConfig};

/// Limits that no other test meets.
pub(super) fn roomy() -> LimitsConfig {
    let plenty = RateConfig::new(100_000, 100_000);
    LimitsConfig {
        connects: plenty,
        requests: plenty,
        ..LimitsConfig::default()
    }
}

fn retry_after(answer: &str) -> u64 {
    header(answer, "retry-after").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_over_the_rate_are_429() {
    let limits = LimitsConfig {
        connects: RateConfig::new(1, 2),
        ..roomy()
    };
    let edge = Edge::limited(Config::default(), limits).await;
    assert_eq!(status(&edge.ask(upgrade("")).await), 101);
    assert_eq!(status(&edge.ask(upgrade("")).await), 101);
    let answer = edge.ask(upgrade("")).await;
    assert_eq!((status(&answer), retry_after(&answer)), (429, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_bound_are_429_until_one_ends() {
    let limits = LimitsConfig {
        connections: NonZeroU32::new(2).unwrap(),
        ..roomy()
    };
    let mut edge = Edge::limited(Config::default(), limits).await;
    let first = edge.open(&upgrade("")).await;
    let _second = edge.open(&upgrade("")).await;
    let answer = edge.ask(upgrade("")).await;
    assert_eq!(status(&answer), 429);
    assert!(retry_after(&answer) >= 1);
    drop(first);
    edge.open(&upgrade("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_keeps_no_slot() {
    let limits = LimitsConfig {
        connections: NonZeroU32::MIN,
        ..roomy()
    };
    let mut edge = Edge::limited(Config::default(), limits).await;
    for _ in 0..3 {
        let answer = edge.ask(upgrade("Authorization: Bearer bad\r\n")).await;
        assert_eq!(status(&answer), 401);
        assert_eq!(status(&edge.ask(upgrade("Origin: null\r\n")).await), 403);
    }
    edge.open(&upgrade("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_rate_are_429() {
    let limits = LimitsConfig {
        requests: RateConfig::new(1, 2),
        ..roomy()
    };
    let edge = Edge::limited(Config::default(), limits).await;
    let request = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(status(&edge.ask(request).await), 404);
    assert_eq!(status(&edge.ask(request).await), 404);
    let answer = edge.ask(request).await;
    assert_eq!((status(&answer), retry_after(&answer)), (429, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_address_is_403() {
    let mut edge = Edge::start(Config::default()).await;
    let denied = Arc::clone(edge.front.services.limits.denied());
    denied.set("127.0.0.0/8".parse().unwrap(), "test", None);
    assert_eq!(status(&edge.ask(upgrade("")).await), 403);
    assert_eq!(
        status(&edge.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await),
        403
    );
    denied.remove("127.0.0.0/8".parse().unwrap());
    edge.open(&upgrade("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_node_is_503() {
    let mut edge = Edge::start(Config::default()).await;
    for busy in [Busy::Draining, Busy::Overloaded] {
        *edge.shelf.busy.lock().unwrap() = Some(busy);
        let answer = edge.ask(upgrade("")).await;
        assert_eq!(status(&answer), 503);
        assert!(retry_after(&answer) >= 1);
    }
    *edge.shelf.busy.lock().unwrap() = None;
    edge.open(&upgrade("")).await;
}
