//! A session's mailbox: the frames that wait for its socket, bounded by bytes and count. Frames
//! are shared with the other subscribers; the ring holds handles. An idle mailbox owns no memory.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// What an entry costs beside its bytes.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();
/// A ring that has grown beyond this is freed rather than reused.
const SPARE_ENTRIES: usize = 64;

/// A frame that waits.
#[derive(Debug)]
pub(super) struct Entry {
    /// The whole frame.
    pub(super) frame: Bytes,
    /// What it is.
    pub(super) kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A reply, a control frame or a push of the server's own: never dropped.
    Reply,
    /// A `pogo:gap`.
    Gap {
        /// The subscription's id.
        subscription: u64,
    },
    /// A publication.
    Publication {
        /// The subscription's id.
        subscription: u64,
        /// Its sequence in the channel.
        sequence: u64,
        /// When it may reach nobody any more.
        expires: Option<Instant>,
        /// When the node learnt of it.
        accepted: Instant,
    },
}

/// What a mailbox may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes, entries' own cost included.
    pub(super) bytes: usize,
    /// Entries.
    pub(super) entries: usize,
}

/// Rings of drained mailboxes, for the next ones to fill.
pub(super) type SpareRings = Vec<VecDeque<Entry>>;

impl Bounds {
    /// Half of it.
    pub(super) fn half(self) -> Self {
        Self {
            bytes: self.bytes / 2,
            entries: self.entries / 2,
        }
    }
}

/// The frames that wait for a socket.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    ring: VecDeque<Entry>,
    bytes: usize,
    /// How much of the first frame is written.
    written: usize,
    /// How many entries have a ttl.
    expiring: usize,
}

impl Kind {
    /// A publication's subscription and sequence.
    pub(super) fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Publication {
                subscription,
                sequence,
                ..
            } => Some((*subscription, *sequence)),
            Self::Gap { .. } | Self::Reply => None,
        }
    }

    fn expires(&self) -> Option<Instant> {
        match self {
            Self::Publication { expires, .. } => *expires,
            Self::Gap { .. } | Self::Reply => None,
        }
    }
}

impl Entry {
    /// What it takes of a mailbox.
    pub(super) fn cost(&self) -> usize {
        self.frame.len() + ENTRY_BYTES
    }

    /// Whether it may reach nobody any more.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.kind.expires().is_some_and(|expires| expires <= now)
    }
}

impl Mailbox {
    /// Bytes that wait, entries' own cost included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether one more frame of `length` bytes stays within `bounds`.
    pub(super) fn has_room(&self, length: usize, bounds: Bounds) -> bool {
        self.bytes + length + ENTRY_BYTES <= bounds.bytes && self.ring.len() < bounds.entries
    }

    /// Appends a frame; the first one takes its ring from `spare`.
    pub(super) fn push(&mut self, entry: Entry, spare: &mut SpareRings) {
        if self.ring.capacity() == 0
            && let Some(ring) = spare.pop()
        {
            self.ring = ring;
        }
        self.count(&entry);
        self.ring.push_back(entry);
    }

    /// Drops everything that waits but a frame that is partly written.
    pub(super) fn clear(&mut self) {
        let keep = usize::from(self.written > 0);
        while self.ring.len() > keep {
            self.remove(keep);
        }
    }

    fn count(&mut self, entry: &Entry) {
        self.bytes += entry.cost();
        self.expiring += usize::from(entry.kind.expires().is_some());
    }

    fn discount(&mut self, entry: &Entry) {
        self.bytes -= entry.cost();
        self.expiring -= usize::from(entry.kind.expires().is_some());
    }

    /// Whether anything that waits has a ttl.
    pub(super) fn may_expire(&self) -> bool {
        self.expiring > 0
    }

    /// Where the oldest publication of `subscription` lies that is not being written, and its
    /// sequence.
    pub(super) fn oldest_publication(&self, subscription: u64) -> Option<(usize, u64)> {
        let first = usize::from(self.written > 0);
        let entries = self.ring.iter().enumerate().skip(first);
        let mut places = entries.filter_map(|(index, entry)| Some((index, entry.kind.place()?)));
        places.find_map(|(index, (of, sequence))| (of == subscription).then_some((index, sequence)))
    }

    /// Whether what came last of `subscription` before `index` is a gap that can still be read.
    pub(super) fn follows_gap(&self, index: usize, subscription: u64) -> bool {
        let last = self
            .ring
            .iter()
            .take(index)
            .rev()
            .find_map(|entry| match entry.kind {
                Kind::Publication {
                    subscription: of, ..
                } if of == subscription => Some(false),
                Kind::Gap {
                    subscription: of, ..
                } if of == subscription => Some(true),
                Kind::Publication { .. } | Kind::Gap { .. } | Kind::Reply => None,
            });
        last == Some(true)
    }

    /// Whether a gap is the last of `subscription` that waits.
    pub(super) fn ends_in_gap(&self, subscription: u64) -> bool {
        self.follows_gap(self.ring.len(), subscription)
    }

    /// Takes the entry at `index` out.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(entry) = self.ring.remove(index) {
            self.discount(&entry);
        }
    }

    /// Puts `entry` in at `index`.
    pub(super) fn insert(&mut self, index: usize, entry: Entry) {
        self.count(&entry);
        self.ring.insert(index.min(self.ring.len()), entry);
    }

    /// Drops publications whose ttl has passed, but for one that is partly written, and returns
    /// how many that were.
    pub(super) fn drop_expired(&mut self, now: Instant) -> u64 {
        if self.expiring == 0 {
            return 0;
        }
        let mut index = 0;
        let before = self.ring.len();
        let (begun, mut freed) = (self.written > 0, 0);
        self.ring.retain(|entry| {
            let keep = begun && index == 0 || !entry.is_expired(now);
            index += 1;
            if !keep {
                freed += entry.cost();
            }
            keep
        });
        self.bytes -= freed;
        let dropped = before - self.ring.len();
        self.expiring -= dropped;
        dropped as u64
    }

    /// For how many entries memory is held.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.ring.capacity()
    }

    /// The frames that wait, the first without what is written of it.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.ring.iter().enumerate().map(|(index, entry)| {
            let from = if index == 0 { self.written } else { 0 };
            &entry.frame[from..]
        })
    }

    /// `count` bytes have been written: takes finished frames off, telling `done` of each.
    pub(super) fn advance(&mut self, mut count: usize, mut done: impl FnMut(Kind)) {
        while let Some(first) = self.ring.front() {
            let left = first.frame.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            done(first.kind);
            self.remove(0);
        }
    }

    /// Gives the ring of an empty mailbox to `spare`, which keeps at most `keep`.
    pub(super) fn release(&mut self, spare: &mut SpareRings, keep: usize) {
        if self.ring.is_empty() && self.ring.capacity() > 0 {
            let ring = std::mem::take(&mut self.ring);
            if spare.len() < keep && ring.capacity() <= SPARE_ENTRIES {
                spare.push(ring);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn publication(text: &'static str, subscription: u64, expires: Option<Instant>) -> Entry {
        let kind = Kind::Publication {
            subscription,
            sequence: 1,
            expires,
            accepted: Instant::now(),
        };
        Entry {
            frame: Bytes::from_static(text.as_bytes()),
            kind,
        }
    }

    fn text(mailbox: &Mailbox) -> String {
        mailbox
            .chunks()
            .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
            .collect()
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        let mut mailbox = Mailbox::default();
        let mut spare = Vec::new();
        mailbox.push(publication("abc", 0, None), &mut spare);
        mailbox.push(publication("defg", 0, None), &mut spare);
        let mut done = 0;
        mailbox.advance(2, |_| done += 1);
        assert_eq!((text(&mailbox).as_str(), done), ("cdefg", 0));
        mailbox.advance(2, |_| done += 1);
        assert_eq!((text(&mailbox).as_str(), done), ("efg", 1));
        mailbox.advance(3, |_| done += 1);
        assert_eq!((mailbox.bytes(), mailbox.is_empty(), done), (0, true, 2));
        mailbox.release(&mut spare, 1);
        assert_eq!(spare.len(), 1);
    }

    #[test]
    fn expired_publications_are_dropped_unless_begun() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut mailbox = Mailbox::default();
        for frame in ["ab", "cd", "ef"] {
            let expires = (frame != "ef").then_some(later);
            mailbox.push(publication(frame, 0, expires), &mut Vec::new());
        }
        mailbox.advance(1, |_| {});
        assert_eq!(mailbox.drop_expired(later), 1);
        assert_eq!(text(&mailbox), "bef", "what has begun is finished");
        assert_eq!(mailbox.bytes(), 4 + 2 * ENTRY_BYTES);
    }

    #[test]
    fn clearing_keeps_a_frame_that_is_partly_written() {
        let mut mailbox = Mailbox::default();
        mailbox.push(publication("abc", 7, None), &mut Vec::new());
        mailbox.push(publication("def", 7, None), &mut Vec::new());
        mailbox.advance(1, |_| {});
        assert_eq!(mailbox.oldest_publication(7), Some((1, 1)));
        mailbox.clear();
        assert_eq!(text(&mailbox), "bc");
        assert_eq!(mailbox.bytes(), 3 + ENTRY_BYTES);
    }
}
