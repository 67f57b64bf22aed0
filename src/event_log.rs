//! What happens to sessions and channels on this node, kept for those who watch.

use std::time::Duration;

use crate::channel::ChannelName;
use crate::session_id::SessionId;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the contract's kinds")]
pub enum EventKind {
    Connected,
    Disconnected,
    Subscribed,
    Unsubscribed,
    Occupied,
    Vacated,
    Revoked,
    Denied,
}

/// One event.
#[derive(Debug, Clone)]
pub struct LoggedEvent {
    /// Its number on this node, from 1.
    pub sequence: u64,
    /// Since the Unix epoch.
    pub time: Duration,
    /// What happened.
    pub kind: EventKind,
    /// The session it happened to.
    pub session: Option<SessionId>,
    /// The channel it happened on.
    pub channel: Option<ChannelName>,
    /// The close code of a disconnect.
    pub code: Option<u16>,
    /// The close reason, or an operator's words.
    pub reason: Option<Box<str>>,
}
