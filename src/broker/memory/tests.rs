//! The contract suite, and what is the memory broker's own: bounds, sweeping, the state file.

mod bounds;
mod state;

use std::time::Duration;

use super::*;
use crate::broker::suite::{self, Recording, Subject};

/// A clock that is moved by hand, beside the real one.
#[derive(Clone, Default)]
pub(super) struct HandClock(Arc<Mutex<Duration>>);

impl HandClock {
    pub(super) fn now(&self) -> Now {
        let ahead = *self.0.lock().unwrap();
        let now = Now::read();
        Now {
            instant: now.instant + ahead,
            unix: now.unix + ahead,
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

pub(super) fn open(config: MemoryConfig) -> (MemoryBroker, HandClock, Arc<Recording>) {
    let delivered = Arc::new(Recording::default());
    let clock = HandClock::default();
    let rules: HistoryRules = Arc::new(suite::rule);
    let broker = MemoryBroker::open(config, rules, delivered.clone(), &Metrics::new());
    let own = clock.clone();
    let broker = broker.unwrap().with_clock(Arc::new(move || own.now()));
    (broker, clock, delivered)
}

fn subject() -> Subject {
    let config = MemoryConfig {
        idempotency_window: suite::WINDOW,
        ..MemoryConfig::default()
    };
    let (broker, clock, delivered) = open(config);
    Subject {
        broker: Arc::new(broker),
        delivered,
        pass: Box::new(move |by| {
            clock.advance(by);
            Box::pin(ready(()))
        }),
    }
}

suite::suite!(subject());
