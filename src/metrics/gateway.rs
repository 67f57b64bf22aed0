//! What the REST gateway does: requests to upstreams, the cache, and those who are bound.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{ResultLabel, WhatLabel};

/// `{endpoint,status}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// The endpoint's name, from the configuration.
    pub endpoint: String,
    /// The upstream's HTTP status, or the error code where there was none.
    pub status: String,
}

/// `{endpoint}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabel {
    /// The endpoint's name.
    pub endpoint: String,
}

/// How a look-up in the cache may end.
const LOOKUPS: [&str; 7] = [
    "hit",
    "negative",
    "miss",
    "stale",
    "revalidated",
    "joined",
    "pass",
];
/// What may become of a recovery.
const RECOVERIES: [&str; 2] = ["recovered", "snapshot"];
/// What a check of access may say.
const CHECKS: [&str; 3] = ["allowed", "denied", "failed"];

/// The gateway's handles. A family by endpoint loses an endpoint's series when that goes.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the help texts are in `register`")]
pub struct Gateway {
    pub requests: Family<EndpointLabels, Counter>,
    pub seconds: Family<EndpointLabel, Histogram, fn() -> Histogram>,
    pub retries: Family<EndpointLabel, Counter>,
    pub breaker: Family<EndpointLabel, Gauge>,
    pub ejected: Family<EndpointLabel, Gauge>,
    pub queue: Family<EndpointLabel, Gauge>,
    pub cache: Family<ResultLabel, Counter>,
    pub cache_bytes: Gauge,
    pub cache_entries: Gauge,
    pub flights: Gauge,
    pub waiters: Gauge,
    pub refetches: Counter,
    pub recoveries: Family<ResultLabel, Counter>,
    pub access_checks: Family<ResultLabel, Counter>,
    pub gaps: Family<WhatLabel, Counter>,
    pub replicas: Gauge,
    pub bound: Gauge,
    pub held: Gauge,
    pub coalesced: Counter,
    pub calls: Gauge,
}

impl Default for Gateway {
    fn default() -> Self {
        let new = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            retries: Family::default(),
            breaker: Family::default(),
            ejected: Family::default(),
            queue: Family::default(),
            cache: Family::default(),
            cache_bytes: Gauge::default(),
            cache_entries: Gauge::default(),
            flights: Gauge::default(),
            waiters: Gauge::default(),
            refetches: Counter::default(),
            recoveries: Family::default(),
            access_checks: Family::default(),
            gaps: Family::default(),
            replicas: Gauge::default(),
            bound: Gauge::default(),
            held: Gauge::default(),
            coalesced: Counter::default(),
            calls: Gauge::default(),
        };
        for (family, results) in [
            (&new.cache, &LOOKUPS[..]),
            (&new.recoveries, &RECOVERIES),
            (&new.access_checks, &CHECKS),
        ] {
            for result in results {
                let _ = family.get_or_create(&ResultLabel { result });
            }
        }
        new
    }
}

/// From a millisecond to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Gateway {
    /// Counts a look-up in the cache that ended so.
    pub fn count_cache(&self, result: &'static str) {
        self.cache.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a recovery that ended so.
    pub fn count_recovery(&self, result: &'static str) {
        self.recoveries.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a check of access that ended so.
    pub fn count_access(&self, result: &'static str) {
        self.access_checks
            .get_or_create(&ResultLabel { result })
            .inc();
    }

    /// Takes away what stands of an endpoint that is gone.
    pub fn forget(&self, endpoint: &str) {
        let endpoint = EndpointLabel {
            endpoint: endpoint.to_owned(),
        };
        self.seconds.remove(&endpoint);
        self.retries.remove(&endpoint);
        for family in [&self.breaker, &self.ejected, &self.queue] {
            family.remove(&endpoint);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_upstreams(registry);
        self.register_bound(registry);
        registry.register("gateway_cache", "Look-ups in the cache", self.cache.clone());
        registry.register_with_unit(
            "gateway_cache",
            "What the cache holds",
            Unit::Bytes,
            self.cache_bytes.clone(),
        );
        registry.register(
            "gateway_cache_entries",
            "Questions that the cache knows the answer to",
            self.cache_entries.clone(),
        );
        registry.register(
            "gateway_flights",
            "Requests under way that others may join",
            self.flights.clone(),
        );
        registry.register(
            "gateway_waiters",
            "Those who joined another's request",
            self.waiters.clone(),
        );
        registry.register(
            "gateway_calls",
            "Calls of sessions under way",
            self.calls.clone(),
        );
    }

    fn register_bound(&self, registry: &mut Registry) {
        registry.register(
            "gateway_refetches",
            "Resources fetched again because something happened to them",
            self.refetches.clone(),
        );
        registry.register(
            "gateway_recoveries",
            "Recoveries of bound uris: from the events, or with a new snapshot",
            self.recoveries.clone(),
        );
        registry.register(
            "gateway_access_checks",
            "Checks whether a session may be bound",
            self.access_checks.clone(),
        );
        registry.register(
            "gateway_gaps",
            "Bound uris whose continuity was lost, by why",
            self.gaps.clone(),
        );
        registry.register(
            "gateway_replicas",
            "Resources that are kept for those who are bound",
            self.replicas.clone(),
        );
        registry.register(
            "gateway_bound",
            "Sessions that are bound to resources, each resource counted",
            self.bound.clone(),
        );
        registry.register(
            "gateway_held",
            "Of these, those that are given nothing until their access is known",
            self.held.clone(),
        );
        registry.register(
            "gateway_coalesced_events",
            "Events on resources that one fetch answered for along with others",
            self.coalesced.clone(),
        );
    }

    fn register_upstreams(&self, registry: &mut Registry) {
        registry.register(
            "gateway_requests",
            "Requests to upstream services",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "gateway_upstream",
            "From a request to an upstream to the head of its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "gateway_retries",
            "Requests to upstreams that were made again",
            self.retries.clone(),
        );
        registry.register(
            "gateway_breaker",
            "Whether an upstream is asked: 0 yes, 1 one request tries, 2 no",
            self.breaker.clone(),
        );
        registry.register(
            "gateway_ejected",
            "Bases of an upstream that are left out because they fail",
            self.ejected.clone(),
        );
        registry.register(
            "gateway_queue",
            "Requests that wait for one of an upstream's places",
            self.queue.clone(),
        );
    }
}
