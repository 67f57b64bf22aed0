//! A worker's deadlines: one heap for all its connections. A connection has one live entry, its
//! earliest known deadline; a deadline that moved back is found out when the entry fires.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, u32)>>);

impl Timers {
    /// Wakes `connection` at `at`. The caller remembers `at` as the connection's live entry.
    pub(super) fn arm(&mut self, at: Instant, connection: u32) {
        self.0.push(Reverse((at, connection)));
    }

    /// When the first entry fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the first entry that fires at or before `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, u32)> {
        (self.next()? <= now)
            .then(|| self.0.pop().map(|Reverse(entry)| entry))
            .flatten()
    }
}
