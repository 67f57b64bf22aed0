//! What the cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cache, How};
use crate::metrics::{Metrics, ResultLabel};

#[derive(Debug, Default)]
pub(super) struct Counts {
    by_result: [AtomicU64; How::ALL.len()],
}

impl Counts {
    pub(super) fn add(&self, how: How) {
        self.by_result[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, how: How) -> u64 {
        self.by_result[how as usize].load(Ordering::Relaxed)
    }
}

impl Cache {
    /// Shows its counts, and how full it is, at each scrape of `metrics`.
    pub fn watch(&self, metrics: &Metrics) {
        let config = self.inner.config;
        let bytes = usize::try_from(config.bytes).unwrap_or(usize::MAX);
        metrics.set_bound("gateway.cache_bytes", bytes);
        metrics.set_bound("gateway.cache_entry_bytes", config.entry_bytes);
        metrics.set_bound("gateway.max_waiting", config.max_waiting);
        let inner = self.inner.clone();
        metrics.on_scrape(move |metrics| {
            for how in How::ALL {
                let result = how.name();
                let counter = metrics.gateway.cache.get_or_create(&ResultLabel { result });
                counter
                    .inner()
                    .store(inner.counts.of(how), Ordering::Relaxed);
            }
            let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
            let (bytes, entries) = inner.store.size();
            metrics.gateway.cache_bytes.set(number(bytes));
            metrics.gateway.cache_entries.set(number(entries));
            let (flights, waiters) = inner.flights.size();
            metrics.gateway.flights.set(number(flights as u64));
            metrics.gateway.waiters.set(number(waiters as u64));
        });
    }

    /// How many calls ended so.
    pub fn counted(&self, how: How) -> u64 {
        self.inner.counts.of(how)
    }
}
