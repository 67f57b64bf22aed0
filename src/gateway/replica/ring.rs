//! The pushes of a replica that are kept, so that who was away for a while can have them.
//!
//! Invariant: what [`Ring::since`] returns is everything that was pushed after a client's last
//! shown offset (or more, from before it), but for what is over or not to be kept, or nothing at all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::words::{Bounds, Terms};
use crate::channel::ChannelName;
use crate::session_id::SessionId;

/// What an entry occupies beside its texts.
const ENTRY_BYTES: usize = 128;

/// A push of the past.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) event: Arc<str>,
    pub(super) data: Bytes,
    pub(super) item: Option<ChannelName>,
    /// The offset that it stands for.
    pub(super) offset: u64,
    /// Whether clients were shown it.
    pub(super) shown: bool,
    pub(super) time: u64,
    pub(super) terms: Terms,
    /// Writers who did not want their own copy.
    pub(super) without: Vec<SessionId>,
}

impl Entry {
    /// Whether who was not there may still have it.
    fn lasts(&self, now: Instant) -> bool {
        !self.terms.unkept && !self.terms.is_over(now)
    }
}

/// The last pushes.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<(Instant, Entry)>,
    bytes: usize,
    /// The number of the first entry, counted from the replica's beginning.
    first: u64,
    /// Clients at this offset or beyond miss nothing that is not in here.
    floor: u64,
}

impl Ring {
    pub(super) fn new(floor: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            // The number 0 is before the first push.
            first: 1,
            floor,
        }
    }

    /// The number of the next push.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn push(&mut self, entry: Entry, bounds: &Bounds, now: Instant) {
        self.bytes += entry.data.len() + ENTRY_BYTES;
        self.entries.push_back((now, entry));
        self.trim(bounds, now);
    }

    /// Lets go of what is too old or too much.
    pub(super) fn trim(&mut self, bounds: &Bounds, now: Instant) {
        while let Some((at, entry)) = self.entries.front() {
            let over = self.entries.len() > bounds.ring || self.bytes > bounds.ring_bytes;
            if !over && now.saturating_duration_since(*at) < bounds.ring_ttl {
                break;
            }
            // Who was shown this offset has had all up to here; who was not may lack it.
            let floor = entry.offset + u64::from(!entry.shown);
            self.floor = self.floor.max(floor);
            self.bytes -= entry.data.len() + ENTRY_BYTES;
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Continuity is lost: only clients at `floor` or beyond know all there is.
    pub(super) fn cut(&mut self, floor: u64) {
        // One number is skipped, so that whoever waits at the end is told too.
        self.first = self.next() + 1;
        self.entries.clear();
        self.bytes = 0;
        self.floor = floor;
    }

    /// What a client has missed whose last offset is `offset`; none: that is not known.
    pub(super) fn since(&self, offset: u64, now: Instant) -> Option<impl Iterator<Item = &Entry>> {
        let known = |(_, entry): &(Instant, Entry)| entry.shown && entry.offset <= offset;
        let from = match self.entries.iter().rposition(known) {
            Some(last) => last + 1,
            None if offset >= self.floor => 0,
            None => return None,
        };
        let missed = self.entries.iter().skip(from).map(|(_, entry)| entry);
        Some(missed.filter(move |entry| entry.lasts(now)))
    }

    /// Everything from push number `number` on, for who was there; none: some of it is gone.
    pub(super) fn from(&self, number: u64, now: Instant) -> Option<impl Iterator<Item = &Entry>> {
        let skip = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let missed = self.entries.iter().skip(skip).map(|(_, entry)| entry);
        Some(missed.filter(move |entry| !entry.terms.is_over(now)))
    }

    /// The last `count`, oldest first.
    pub(super) fn last(&self, count: usize, now: Instant) -> Vec<&Entry> {
        let newest = self.entries.iter().rev().map(|(_, entry)| entry);
        let lasting = newest.filter(|entry| entry.lasts(now));
        let mut last: Vec<&Entry> = lasting.take(count).collect();
        last.reverse();
        last
    }
}
