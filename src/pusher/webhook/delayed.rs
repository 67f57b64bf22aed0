//! Departures that are held back: who is back in time has never left.
//!
//! Invariants: a departure stands once; it comes out when its time has come, the oldest first, or
//! never, if somebody came back before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::channel::ChannelName;

/// Who left: a channel's last subscriber, or a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Gone {
    pub(super) channel: ChannelName,
    /// `None`: all subscribers.
    pub(super) member: Option<Arc<str>>,
}

/// When a departure is due, and its number among those of the same moment.
type Turn = (Instant, u64);

#[derive(Debug, Default)]
pub(super) struct Delayed {
    turns: HashMap<Gone, Turn>,
    order: BTreeMap<Turn, Gone>,
    last: u64,
}

impl Delayed {
    /// Holds `gone` back until `due`; one that is held back already stays as it is.
    pub(super) fn hold(&mut self, gone: Gone, due: Instant) {
        if self.turns.contains_key(&gone) {
            return;
        }
        self.last += 1;
        let turn = (due, self.last);
        self.order.insert(turn, gone.clone());
        self.turns.insert(gone, turn);
    }

    /// Somebody is back: whether the departure had been held back. It is forgotten then.
    pub(super) fn returns(&mut self, gone: &Gone) -> bool {
        let Some(turn) = self.turns.remove(gone) else {
            return false;
        };
        self.order.remove(&turn);
        true
    }

    /// The next departure that is due by `now`; `None` as the time: whatever is held back.
    pub(super) fn next_due(&mut self, now: Option<Instant>) -> Option<Gone> {
        let due = self.due()?;
        if now.is_some_and(|now| now < due) {
            return None;
        }
        let (_, gone) = self.order.pop_first()?;
        self.turns.remove(&gone);
        Some(gone)
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.order.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }
}
