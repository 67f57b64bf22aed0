//! The gateway's settings, checked.

use super::upstream;

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which addresses upstreams may have.
    pub upstream: upstream::Config,
    /// Most calls and checks of access that wait for upstreams at a time (`gateway.max_waiting`).
    pub max_waiting: usize,
    /// Most answers about access that are remembered (`gateway.max_access`).
    pub max_access: usize,
    /// Longest answer to a socket, but for index (`gateway.body_bytes`).
    pub body_bytes: usize,
    /// Longest answer of an index to a socket (`gateway.index_bytes`).
    pub index_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upstream: upstream::Config::default(),
            max_waiting: 16_384,
            max_access: 100_000,
            body_bytes: 1 << 20,
            index_bytes: 4 << 20,
        }
    }
}
