//! Flushing: what waits in a mailbox leaves in as few writes as it takes. One frame is written
//! as it is; several small ones are copied together, which costs less than a vectored write
//! (16 pieces cost the kernel more than copying 2 KiB); large ones leave vectored.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Worker;
use super::client::{Client, Phase};
use super::mailbox::{Kind, Mailbox};
use super::transport::Transport;

/// Up to so many bytes are copied together into one write; also a TLS record's worth.
pub(super) const CORK_BYTES: usize = 16 * 1024;
/// Most pieces of one vectored write.
const PIECES: usize = 64;
/// Rings kept for reuse.
const SPARE_RINGS: usize = 64;

impl Worker {
    /// Flushes every mailbox that has something new.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.flush_one(key);
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        self.count_written();
    }

    fn flush_one(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        client.dirty = false;
        if client.blocked || matches!(client.phase, Phase::Lingering(_) | Phase::Gone) {
            return;
        }
        let before = client.mailbox.bytes();
        let mut expired = 0;
        if client.mailbox.may_expire() {
            // The turn may have begun a while ago.
            expired = client.mailbox.drop_expired(Instant::now());
        }
        let result = write_out(client, &mut self.cork, &mut self.written);
        client.mailbox.release(&mut self.spare_rings, SPARE_RINGS);
        self.mailbox_bytes = self.mailbox_bytes + client.mailbox.bytes() - before;
        let closed = client.phase != Phase::Open && client.mailbox.is_empty();
        self.count_lost(expired, 0);
        match result {
            Ok(()) if closed => self.linger(key),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.clients[key as usize].blocked = true;
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was lost");
                self.remove(key);
            }
        }
    }

    /// Counts what the pass has written, with one reading of the clock for all of it.
    fn count_written(&mut self) {
        if self.written.counts.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut deliveries = 0;
        for (accepted, count) in self.written.counts.drain(..) {
            let latency = now.saturating_duration_since(accepted);
            self.latency.observe(latency, count);
            deliveries += count;
        }
        let total = &self.gauges.deliveries;
        total.fetch_add(deliveries, Ordering::Relaxed);
    }

    /// Our close frame is written: the peer may answer it, then the socket goes.
    fn linger(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if let Phase::Closing(until) = client.phase {
            client.phase = Phase::Lingering(until);
            client.transport.shut_down();
            if client.ended {
                self.remove(key);
            }
        }
    }
}

/// Publications written in a pass: when they were accepted, and how many were then. Each socket
/// gets the same ones in the same order, so that there are few entries and the one that is
/// wanted comes next.
#[derive(Default)]
pub(super) struct Written {
    counts: Vec<(Instant, u64)>,
    /// The entry that was counted last.
    at: usize,
}

impl Written {
    /// Counts one entry of a mailbox, if it is a publication.
    pub(super) fn add(&mut self, kind: &Kind) {
        if let Kind::Publication { accepted, .. } = kind {
            self.add_many(*accepted, 1);
        }
    }

    /// Counts a publication that `count` sockets were given.
    pub(super) fn add_many(&mut self, accepted: Instant, count: u64) {
        if count == 0 {
            return;
        }
        let next = if self.at + 1 < self.counts.len() {
            self.at + 1
        } else {
            0
        };
        for at in [self.at, next] {
            if let Some((known, counted)) = self.counts.get_mut(at)
                && *known == accepted
            {
                *counted += count;
                self.at = at;
                return;
            }
        }
        self.at = self.counts.len();
        self.counts.push((accepted, count));
    }
}

/// Writes until the mailbox is empty or the socket takes no more.
fn write_out(client: &mut Client, cork: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
    while !client.mailbox.is_empty() {
        let length = write_once(&client.mailbox, &mut client.transport, cork)?;
        if length == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        client.mailbox.advance(length, |kind| written.add(&kind));
    }
    client.transport.settle()
}

/// One write of as much as it pays to write at once.
fn write_once(
    mailbox: &Mailbox,
    transport: &mut Transport,
    cork: &mut Vec<u8>,
) -> io::Result<usize> {
    let mut chunks = mailbox.chunks();
    let first = chunks.next().unwrap_or_default();
    let Some(second) = chunks.next() else {
        return transport.write(first);
    };
    if first.len() + second.len() > CORK_BYTES {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (piece, chunk) in pieces
            .iter_mut()
            .zip([first, second].into_iter().chain(chunks))
        {
            *piece = IoSlice::new(chunk);
            count += 1;
        }
        return transport.write_vectored(&pieces[..count]);
    }
    cork.clear();
    cork.extend_from_slice(first);
    cork.extend_from_slice(second);
    for chunk in chunks {
        if cork.len() + chunk.len() > CORK_BYTES {
            break;
        }
        cork.extend_from_slice(chunk);
    }
    transport.write(cork)
}
