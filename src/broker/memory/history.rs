//! What one channel retains.
//!
//! Invariant: everything beyond `floor` is accounted for: it is retained, or nobody may have it
//! any more (its own ttl has passed, or its publisher asked not to retain it). So a publication
//! that expires needs no tombstone of its own; one that is dropped otherwise lifts the floor.

use std::collections::VecDeque;
use std::time::Instant;

use crate::broker::{HistoryPage, HistoryQuery, Retained};
use crate::channel::HistoryRule;
use crate::publication::Position;

/// What an entry occupies beside its texts.
const ENTRY_BYTES: usize = size_of::<Entry>() + 64;

#[derive(Debug)]
struct Entry {
    retained: Retained,
    /// When the broker accepted it: its age by the channel's rule runs from here.
    accepted: Instant,
}

impl Entry {
    fn is_expired(&self, now: Instant) -> bool {
        self.retained.expires.is_some_and(|expires| expires <= now)
    }
}

/// One channel's retained publications, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    floor: u64,
    bytes: usize,
    /// When the first of the entries with a ttl of their own expires.
    next_expiry: Option<Instant>,
}

impl History {
    /// What `retained` will occupy.
    pub(super) fn cost(retained: &Retained) -> usize {
        ENTRY_BYTES + retained.event.len() + retained.data.len()
    }

    pub(super) fn push(&mut self, retained: Retained, accepted: Instant) {
        self.bytes += Self::cost(&retained);
        self.next_expiry = earliest(self.next_expiry, retained.expires);
        self.entries.push_back(Entry { retained, accepted });
    }

    /// Everything up to `sequence` that is not retained is lost.
    pub(super) fn lose(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the entries occupy.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what may not be kept by `rule` at `now`; how many of them had expired by their own
    /// ttl.
    pub(super) fn trim(&mut self, rule: Option<HistoryRule>, now: Instant) -> usize {
        let rule = rule.unwrap_or(HistoryRule {
            size: 0,
            ttl: std::time::Duration::ZERO,
        });
        let mut expired = 0;
        while let Some(oldest) = self.entries.front() {
            if oldest.is_expired(now) {
                expired += 1;
                self.pop();
            } else if now.saturating_duration_since(oldest.accepted) >= rule.ttl {
                self.drop_oldest();
            } else {
                break;
            }
        }
        if self.next_expiry.is_some_and(|next| next <= now) {
            expired += self.drop_expired(now);
        }
        while self.entries.len() > rule.size {
            self.drop_oldest();
        }
        expired
    }

    fn drop_expired(&mut self, now: Instant) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.is_expired(now));
        let entries = self.entries.iter();
        self.bytes = entries
            .clone()
            .map(|entry| Self::cost(&entry.retained))
            .sum();
        self.next_expiry = entries.filter_map(|entry| entry.retained.expires).min();
        before - self.entries.len()
    }

    /// Drops the oldest entry: whoever recovers from before it is told.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(entry) = self.pop() {
            self.lose(entry.retained.offset);
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= Self::cost(&entry.retained);
        if self.entries.is_empty() {
            // Gives the ring back, too: a channel may have been busy once.
            *self = Self {
                floor: self.floor,
                ..Self::default()
            };
        }
        Some(entry)
    }

    /// Drops everything; how many that were.
    pub(super) fn clear(&mut self) -> usize {
        let removed = self.entries.len();
        while !self.entries.is_empty() {
            self.drop_oldest();
        }
        removed
    }

    /// The part that `query` asks for, of a channel that stands at `position`. Call
    /// [`Self::trim`] first.
    pub(super) fn page(&self, query: &HistoryQuery, position: Position) -> HistoryPage {
        let from = query.from.as_ref();
        let known = from.filter(|from| from.epoch == position.epoch);
        let complete =
            known.is_some_and(|from| (self.floor..=position.offset).contains(&from.offset));
        let publications = if query.reverse {
            let end = known.map_or(self.entries.len(), |from| {
                self.entries
                    .partition_point(|entry| entry.retained.offset < from.offset)
            });
            let newest_first = self.entries.range(..end).rev();
            take(newest_first, query.limit)
        } else {
            let start = known.map_or(0, |from| {
                self.entries
                    .partition_point(|entry| entry.retained.offset <= from.offset)
            });
            take(self.entries.range(start..), query.limit)
        };
        HistoryPage {
            sequence: position.offset,
            position: Some(position),
            publications,
            complete,
        }
    }
}

fn take<'a>(entries: impl Iterator<Item = &'a Entry>, limit: usize) -> Vec<Retained> {
    let entries = entries.take(limit);
    entries.map(|entry| entry.retained.clone()).collect()
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
