//! The `caps` claim: which operations a token allows on which channels.

use crate::channel::Pattern;

/// An operation of a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Subscribe or bind, recover and rewind included.
    Subscribe,
    /// Publish from a session.
    Publish,
    /// See who is there without subscribing.
    Presence,
    /// Read history without subscribing.
    History,
}

impl Op {
    const fn bit(self) -> u8 {
        match self {
            Self::Subscribe => 1,
            Self::Publish => 2,
            Self::Presence => 4,
            Self::History => 8,
        }
    }
}

/// Patterns, each with the operations that it allows.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(Vec<(Pattern, u8)>);

impl Capabilities {
    /// Whether some pattern allows `op` on `channel`.
    pub fn allow(&self, op: Op, channel: &str) -> bool {
        self.0.iter().any(|(pattern, ops)| ops & op.bit() != 0 && pattern.matches(channel))
    }
}
