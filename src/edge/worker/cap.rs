//! The cap over all mailboxes of the node: the largest is cut first, on whichever worker it is.

use std::sync::atomic::Ordering;

use super::client::Phase;
use super::{Worker, table};
use crate::code::CloseCode;

impl Worker {
    /// Shows the node how this worker stands, and asks for relief where the node's mailboxes
    /// together hold too much. All that could be flushed has been.
    pub(super) fn report(&mut self) {
        let before = self
            .gauges
            .mailbox_bytes
            .swap(self.mailbox_bytes, Ordering::Relaxed);
        // Told always: who asks for relief must not take a quiet worker for an empty one. It may
        // be too much by now, never too little; being asked corrects it.
        self.gauges.largest.store(self.largest, Ordering::Relaxed);
        if self.mailbox_bytes > before && self.peers.mailbox_bytes() > self.mailbox_total_bytes {
            self.peers.cut_largest();
        }
    }

    /// Remembers how large a mailbox has grown; [`Self::cut_largest`] finds out what is left.
    pub(super) fn grown(&mut self, key: u32, before: usize) {
        let now = self
            .clients
            .get(key as usize)
            .map_or(before, |client| client.waiting_bytes());
        self.mailbox_bytes = self.mailbox_bytes + now - before;
        self.largest = self.largest.max(now);
    }

    /// The node's mailboxes hold too much, and the largest seems to be here: it goes. If it has
    /// shrunk meanwhile, whoever has the largest now is asked.
    ///
    /// It ends: each worker that is asked corrects what is known of it, so the next one asked has
    /// the largest indeed and cuts it, until there is little enough or nothing to cut.
    pub(super) fn cut_largest(&mut self) {
        let sizes = self
            .clients
            .iter()
            .filter(|(_, client)| client.phase == Phase::Open);
        let largest = sizes
            .map(|(key, client)| (client.waiting_bytes(), key))
            .max();
        self.largest = largest.map_or(0, |(bytes, _)| bytes);
        self.gauges.largest.store(self.largest, Ordering::Relaxed);
        if self.peers.mailbox_bytes() <= self.mailbox_total_bytes {
            return;
        }
        match largest {
            Some((bytes, key)) if bytes > 0 && bytes >= self.peers.largest() => {
                self.close(table::key(key), CloseCode::SlowConsumer);
                self.gauges
                    .mailbox_bytes
                    .store(self.mailbox_bytes, Ordering::Relaxed);
            }
            _ if self.peers.largest() == 0 => return,
            _ => {}
        }
        self.peers.cut_largest();
    }
}
