//! What becomes of webhooks.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ResultLabel, WhatLabel};

/// How a request may end.
const REQUESTS: [&str; 5] = ["ok", "status", "timeout", "blocked", "error"];
/// What may become of an event.
const EVENTS: [&str; 6] = [
    "delivered",
    "rejoined",
    "expired",
    "overflow",
    "unnoticed",
    "abandoned",
];
/// Where something waits.
const QUEUES: [&str; 3] = ["notices", "delayed", "waiting"];

/// The webhooks' handles.
#[derive(Debug, Clone)]
pub struct Webhooks {
    requests: Family<ResultLabel, Counter>,
    events: Family<ResultLabel, Counter>,
    queue: Family<WhatLabel, Gauge>,
}

impl Default for Webhooks {
    fn default() -> Self {
        let new = Self {
            requests: Family::default(),
            events: Family::default(),
            queue: Family::default(),
        };
        for result in REQUESTS {
            let _ = new.requests.get_or_create(&ResultLabel { result });
        }
        for result in EVENTS {
            new.count_events(result, 0);
        }
        for what in QUEUES {
            new.set_queue(what, 0);
        }
        new
    }
}

impl Webhooks {
    /// Counts a request that ended so.
    pub fn count_request(&self, result: &'static str) {
        self.requests.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts events that this became of.
    pub fn count_events(&self, result: &'static str, events: usize) {
        self.events
            .get_or_create(&ResultLabel { result })
            .inc_by(events as u64);
    }

    /// States how much waits at `what`.
    pub fn set_queue(&self, what: &'static str, length: usize) {
        self.queue
            .get_or_create(&WhatLabel { what })
            .set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhooks",
            "Requests to webhooks by how they ended",
            self.requests.clone(),
        );
        registry.register(
            "webhook_events",
            "Events for webhooks by what became of them",
            self.events.clone(),
        );
        registry.register(
            "webhook_queue",
            "Events on their way to webhooks, by where they wait",
            self.queue.clone(),
        );
    }
}
