//! What happens to sessions and channels on this node, kept for those who watch.
//!
//! Invariants: events are numbered from 1 without holes; the newest of them stay in a ring of fixed
//! length; a watcher gets every event after its start in order, or is told that some are gone.
//! Recording never blocks on a watcher and wakes nobody while nobody watches.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::channel::ChannelName;
use crate::clock::Now;
use crate::session_id::SessionId;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Connected,
        Self::Disconnected,
        Self::Subscribed,
        Self::Unsubscribed,
        Self::Occupied,
        Self::Vacated,
        Self::Revoked,
        Self::Denied,
    ];

    /// The kind's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Occupied => "occupied",
            Self::Vacated => "vacated",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
        }
    }
}

/// What an event is about; what does not apply stays `None`.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The session it happened to.
    pub session: Option<SessionId>,
    /// The channel it happened on.
    pub channel: Option<ChannelName>,
    /// The close code of a disconnect.
    pub code: Option<u16>,
    /// The close reason, or an operator's words.
    pub reason: Option<Box<str>>,
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

/// Why there is nothing to read after a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// What followed it has fallen out of the ring.
    #[error("events up to {lost_until} are no longer kept")]
    Forgotten {
        /// The last event that is gone.
        lost_until: u64,
    },
    /// No such event has happened yet.
    #[error("the last event is {last}")]
    Unknown {
        /// The last event.
        last: u64,
    },
}

/// The newest events of this node.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<Ring>,
    capacity: usize,
    watching: AtomicUsize,
    recorded: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<LoggedEvent>,
    last: u64,
}

impl Ring {
    /// The first event after `sequence`; `None`: it has not happened yet.
    fn after(&self, sequence: u64) -> Result<Option<&LoggedEvent>, EventLogError> {
        if sequence > self.last {
            return Err(EventLogError::Unknown { last: self.last });
        }
        let lost_until = self.last - self.events.len() as u64;
        let Some(index) = sequence.checked_sub(lost_until) else {
            return Err(EventLogError::Forgotten { lost_until });
        };
        Ok(usize::try_from(index)
            .ok()
            .and_then(|index| self.events.get(index)))
    }
}

impl EventLog {
    /// A log of the newest `capacity` events (setting `events.capacity`).
    pub fn new(capacity: usize) -> Self {
        Self {
            ring: Mutex::default(),
            capacity,
            watching: AtomicUsize::new(0),
            recorded: Notify::new(),
        }
    }

    /// Records that something happened now.
    pub fn record(&self, kind: EventKind, details: Details) {
        let time = Now::read().unix;
        {
            let mut ring = self.ring();
            ring.last += 1;
            let sequence = ring.last;
            while ring.events.len() >= self.capacity.max(1) {
                ring.events.pop_front();
            }
            let Details {
                session,
                channel,
                code,
                reason,
            } = details;
            ring.events.push_back(LoggedEvent {
                sequence,
                time,
                kind,
                session,
                channel,
                code,
                reason,
            });
        }
        // A watcher counts itself before it looks into the ring, so that one of the two locks of
        // the ring shows the event to it or it to us.
        if self.watching.load(Ordering::SeqCst) > 0 {
            self.recorded.notify_waiters();
        }
    }

    /// Watches from the event after `after` on, or from now on.
    ///
    /// # Errors
    /// [`EventLogError`] if what follows `after` is gone, or `after` has not happened.
    pub fn watch(self: &Arc<Self>, after: Option<u64>) -> Result<EventWatcher, EventLogError> {
        self.watching.fetch_add(1, Ordering::SeqCst);
        let mut watcher = EventWatcher {
            log: Arc::clone(self),
            seen: 0,
        };
        let ring = self.ring();
        watcher.seen = after.unwrap_or(ring.last);
        ring.after(watcher.seen)?;
        drop(ring);
        Ok(watcher)
    }

    /// The number of the last event; 0: none yet.
    pub fn last(&self) -> u64 {
        self.ring().last
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events one after another. It holds no event back: one that reads too slowly is told.
#[derive(Debug)]
pub struct EventWatcher {
    log: Arc<EventLog>,
    seen: u64,
}

impl EventWatcher {
    /// The number of the last event that was returned, or that it started after.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The next event, once it happens. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`EventLogError::Forgotten`] if the watcher was too slow. It then stays where it is.
    pub async fn next(&mut self) -> Result<LoggedEvent, EventLogError> {
        loop {
            let recorded = self.log.recorded.notified();
            // Made before the look, so that an event between the two wakes it.
            if let Some(event) = self.log.ring().after(self.seen)?.cloned() {
                self.seen = event.sequence;
                return Ok(event);
            }
            recorded.await;
        }
    }
}

impl Drop for EventWatcher {
    fn drop(&mut self) {
        self.log.watching.fetch_sub(1, Ordering::SeqCst);
    }
}
