//! What bounds the memory broker, and how much of each bound is used.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Settings of the memory broker, checked.
#[derive(Debug, Clone)]
pub struct MemoryConfig {
    /// Most channels that are remembered (`broker.max_channels`). Beyond it the oldest without
    /// subscriber, member and history is forgotten.
    pub max_channels: usize,
    /// How long a channel without any of these keeps its epoch (`broker.idle_after`).
    pub idle_after: Duration,
    /// Most bytes that all histories retain (`broker.history_bytes`). Beyond it channels that
    /// were published on long ago lose theirs.
    pub history_bytes: usize,
    /// How long an idempotency key counts (`broker.idempotency_window`).
    pub idempotency_window: Duration,
    /// Most idempotency keys in that time (`broker.max_idempotency_keys`).
    pub max_idempotency_keys: usize,
    /// Most revocations in force (`broker.max_revocations`).
    pub max_revocations: usize,
    /// Most denied ranges (`broker.max_denied`).
    pub max_denied: usize,
    /// Most endpoints that were put live (`gateway.max_endpoints`).
    pub max_endpoints: usize,
    /// Where these, revocations and denied ranges are kept (`state.path`): a directory, or a file that
    /// exists or ends in `.json`. `None`: only in memory.
    pub state: Option<PathBuf>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_channels: 1_000_000,
            idle_after: Duration::from_secs(3_600),
            history_bytes: 256 << 20,
            idempotency_window: Duration::from_secs(300),
            max_idempotency_keys: 500_000,
            max_revocations: 100_000,
            max_denied: 100_000,
            max_endpoints: 1_000,
            state: None,
        }
    }
}

/// What all stripes share.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) config: MemoryConfig,
    channels: AtomicUsize,
    history_bytes: AtomicUsize,
    keys: AtomicUsize,
    expired: Counter,
}

impl Bounds {
    pub(super) fn new(config: MemoryConfig, expired: Counter) -> Self {
        Self {
            config,
            channels: AtomicUsize::new(0),
            history_bytes: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            expired,
        }
    }

    pub(super) fn take_channel(&self) -> bool {
        take(&self.channels, 1, self.config.max_channels)
    }

    pub(super) fn give_channel(&self) {
        self.channels.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn take_key(&self) -> bool {
        take(&self.keys, 1, self.config.max_idempotency_keys)
    }

    pub(super) fn give_keys(&self, keys: usize) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
    }

    pub(super) fn take_history(&self, bytes: usize) -> bool {
        take(&self.history_bytes, bytes, self.config.history_bytes)
    }

    pub(super) fn give_history(&self, bytes: usize) {
        self.history_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_expired(&self, publications: usize) {
        self.expired.inc_by(publications as u64);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> (usize, usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (
            read(&self.channels),
            read(&self.history_bytes),
            read(&self.keys),
        )
    }
}

fn take(count: &AtomicUsize, more: usize, limit: usize) -> bool {
    let fits = |used: usize| used.checked_add(more).filter(|sum| *sum <= limit);
    let order = Ordering::Relaxed;
    count.fetch_update(order, order, fits).is_ok()
}
