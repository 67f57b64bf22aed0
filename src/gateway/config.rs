//! The gateway's settings, checked.

use std::time::Duration;

use super::replica::Bounds;
use super::{cache, upstream};

/// The gateway's settings (`[gateway]`).
#[derive(Debug, Clone)]
pub struct Config {
    /// Which addresses upstreams may have (`gateway.allow`).
    pub upstream: upstream::Config,
    /// Most calls and checks of access that wait for upstreams at a time (`gateway.max_waiting`).
    pub max_waiting: usize,
    /// Most answers about access that are remembered (`gateway.max_access`).
    pub max_access: usize,
    /// Longest answer to a socket, but for index (`gateway.body_bytes`).
    pub body_bytes: usize,
    /// Longest answer of an index to a socket (`gateway.index_bytes`).
    pub index_bytes: usize,
    /// Most bytes of all cached answers (`gateway.cache_bytes`).
    pub cache_bytes: usize,
    /// Longest body that is cached (`gateway.cache_entry_bytes`).
    pub cache_entry_bytes: usize,
    /// Most replicas: uris that somebody is bound to, each variant counted
    /// (`gateway.max_replicas`).
    pub max_replicas: usize,
    /// Events that a covered uri, and each replica, keeps for recovery (`gateway.history_size`).
    pub history_size: usize,
    /// How long they are kept, and a replica that nobody is bound to (`gateway.history_ttl`).
    pub history_ttl: Duration,
    /// Most bytes of events that a replica keeps (`gateway.history_bytes`).
    pub history_bytes: usize,
    /// From an event that says too little to the fetch that follows
    /// (`gateway.refetch_debounce`).
    pub refetch_debounce: Duration,
    /// Least time between two fetches of a bound query (`gateway.refetch_spacing`).
    pub refetch_spacing: Duration,
    /// Most endpoints, those of the settings file and those put live (`gateway.max_endpoints`).
    pub max_endpoints: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upstream: upstream::Config::default(),
            max_waiting: 16_384,
            max_access: 100_000,
            body_bytes: 1 << 20,
            index_bytes: 4 << 20,
            cache_bytes: 64 << 20,
            cache_entry_bytes: 1 << 20,
            max_replicas: 100_000,
            history_size: 128,
            history_ttl: Duration::from_secs(60),
            history_bytes: 1 << 20,
            refetch_debounce: Duration::from_millis(50),
            refetch_spacing: Duration::from_millis(100),
            max_endpoints: 1_000,
        }
    }
}

impl Config {
    /// The cache's part.
    pub(super) fn cache(&self) -> cache::Config {
        cache::Config {
            bytes: self.cache_bytes as u64,
            entry_bytes: self.cache_entry_bytes,
            max_waiting: self.max_waiting,
        }
    }

    /// The replicas' part.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            debounce: self.refetch_debounce,
            spacing: self.refetch_spacing,
            ring: self.history_size,
            ring_bytes: self.history_bytes,
            ring_ttl: self.history_ttl,
            body: self.index_bytes,
            ..Bounds::default()
        }
    }
}
