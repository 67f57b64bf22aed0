//! Health, readiness and metrics, on a listener of their own.

use std::net::SocketAddr;

/// The admin listener's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may open the console.
    pub keys: Vec<Key>,
}

/// A named key.
#[derive(Clone)]
pub struct Key {
    /// Names the operator.
    pub name: String,
    /// What the operator shows.
    pub secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
