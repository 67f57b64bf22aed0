//! What happens to a publication that finds its place full: in a mailbox, or behind an operation.
//! Where the channel drops the oldest, a `pogo:gap` stands in the place of what was dropped, and
//! such publications fill half a mailbox at most, so that replies still find room.

use std::time::Instant;

use super::Worker;
use super::client::{Client, Held, InFlight, Lost};
use super::mailbox::{Bounds, Entry, Kind, SpareRings};
use crate::channel::{ChannelName, SlowPolicy};
use crate::publication::{Epoch, Position};
use crate::session::{Effect, Session};

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// It waits in the mailbox, which is to be flushed.
    Queued,
    /// It waits behind an operation, or is none of this client's business.
    Kept,
    /// There is no room for it.
    Full,
}

/// Where a publication comes from.
pub(super) struct Source<'a> {
    pub(super) channel: &'a ChannelName,
    pub(super) epoch: Option<&'a Epoch>,
    pub(super) slow: SlowPolicy,
}

/// What there is room for, and what was lost for want of it.
pub(super) struct Room<'a> {
    pub(super) bounds: Bounds,
    pub(super) spare: &'a mut SpareRings,
    pub(super) now: Instant,
    pub(super) expired: u64,
    pub(super) dropped: u64,
}

/// Puts a publication into the mailbox, or does what the channel's policy says.
pub(super) fn put(
    client: &mut Client,
    entry: Entry,
    source: &Source<'_>,
    room: &mut Room<'_>,
) -> Offer {
    let length = entry.frame.len();
    let bounds = match source.slow {
        SlowPolicy::DropOldest if !client.mailbox.is_empty() => room.bounds.half(),
        SlowPolicy::DropOldest | SlowPolicy::Disconnect => room.bounds,
    };
    if !client.mailbox.has_room(length, bounds) {
        room.expired += client.mailbox.drop_expired(room.now);
    }
    if client.mailbox.has_room(length, bounds) {
        client.mailbox.push(entry, room.spare);
        return Offer::Queued;
    }
    match source.slow {
        SlowPolicy::Disconnect => Offer::Full,
        SlowPolicy::DropOldest => drop_oldest(client, entry, source, (bounds, room)),
    }
}

/// Makes room for `entry` by dropping its subscription's oldest publications, of which a gap in
/// their place tells. Where there are none, the new one is dropped.
fn drop_oldest(
    client: &mut Client,
    entry: Entry,
    source: &Source<'_>,
    (bounds, room): (Bounds, &mut Room<'_>),
) -> Offer {
    let Some((subscription, sequence)) = entry.kind.place() else {
        return Offer::Kept;
    };
    let gap = |client: &mut Client, sequence: u64| {
        let session = client.session.as_mut()?;
        gap_entry(session, (subscription, sequence), source)
    };
    while !client.mailbox.has_room(entry.frame.len(), bounds) {
        room.dropped += 1;
        let Some((index, dropped)) = client.mailbox.oldest_publication(subscription) else {
            if !client.mailbox.ends_in_gap(subscription)
                && let Some(gap) = gap(client, sequence)
            {
                client.mailbox.push(gap, room.spare);
            }
            return Offer::Queued;
        };
        client.mailbox.remove(index);
        if !client.mailbox.follows_gap(index, subscription)
            && let Some(gap) = gap(client, dropped)
        {
            client.mailbox.insert(index, gap);
        }
    }
    client.mailbox.push(entry, room.spare);
    Offer::Queued
}

/// `pogo:gap` with the position before the lost publication `sequence`.
fn gap_entry(
    session: &mut Session,
    (subscription, sequence): (u64, u64),
    source: &Source<'_>,
) -> Option<Entry> {
    let before = source.epoch.cloned().map(|epoch| Position {
        epoch,
        offset: sequence.saturating_sub(1),
    });
    let mut effects = Vec::with_capacity(1);
    session.gap(source.channel.as_str(), before, &mut effects);
    let Some(Effect::Send(frame)) = effects.pop() else {
        return None;
    };
    let kind = Kind::Gap { subscription };
    Some(Entry { frame, kind })
}

/// Lets a publication wait behind an operation, or does what the channel's policy says.
pub(super) fn hold(
    operation: &mut InFlight,
    held: Held,
    slow: SlowPolicy,
    room: &mut Room<'_>,
) -> Offer {
    let cost = held.entry.cost();
    if !operation.has_room(cost, room.bounds) {
        room.expired += operation.drop_expired(room.now);
    }
    while !operation.has_room(cost, room.bounds) {
        if slow == SlowPolicy::Disconnect {
            return Offer::Full;
        }
        room.dropped += 1;
        let same = |other: &Held| other.entry.kind.place().map(|place| place.0);
        let wanted = same(&held);
        let oldest = operation
            .held
            .iter()
            .position(|other| same(other) == wanted);
        let Some(oldest) = oldest.and_then(|index| operation.held.remove(index)) else {
            operation.lose(&held);
            return Offer::Kept;
        };
        operation.held_bytes -= oldest.entry.cost();
        operation.lose(&oldest);
    }
    operation.held_bytes += cost;
    operation.held.push_back(held);
    Offer::Kept
}

impl Worker {
    /// Passes on what waited behind an operation, now that its end is known and told.
    pub(super) fn pass_on(&mut self, key: u32, waited: &mut InFlight) {
        self.mailbox_bytes -= std::mem::take(&mut waited.held_bytes);
        for lost in std::mem::take(&mut waited.lost) {
            if let Some(gap) = self.loss(key, &lost) {
                self.tell_loss(key, gap);
            }
        }
        for held in std::mem::take(&mut waited.held) {
            if let Some((channel, slow)) = self.take_in(&held) {
                self.put(key, held.entry, ((&channel, slow), held.epoch.as_ref()));
            }
        }
        for ended in std::mem::take(&mut waited.ended) {
            self.give_ended(key, ended);
        }
    }

    /// Publications were dropped while they waited: the gap that tells of those that the operation
    /// has not brought.
    pub(super) fn loss(&mut self, key: u32, lost: &Lost) -> Option<Entry> {
        let (channel, subscriber) = self.table.subscription(lost.slot, lost.subscription)?;
        if lost.first != 0 && lost.last <= subscriber.after {
            return None;
        }
        let first = lost.first.max(subscriber.after + 1);
        subscriber.after = subscriber.after.max(lost.last);
        let source = Source {
            channel: &channel.0,
            epoch: lost.epoch.as_ref(),
            slow: channel.1,
        };
        let session = self.clients.get_mut(key as usize)?.session.as_mut()?;
        gap_entry(session, (lost.subscription, first), &source)
    }

    pub(super) fn tell_loss(&mut self, key: u32, gap: Entry) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let before = client.waiting_bytes();
        client.mailbox.push(gap, &mut self.spare_rings);
        self.grown(key, before);
        self.mark_dirty(key);
    }

    /// Counts a push that has waited as given, unless it is known: where it comes from.
    pub(super) fn take_in(&mut self, held: &Held) -> Option<(ChannelName, SlowPolicy)> {
        let (subscription, sequence) = held.entry.kind.place()?;
        if self
            .table
            .has_listed(held.slot, subscription, held.revision)
        {
            return None;
        }
        let (channel, subscriber) = self.table.subscription(held.slot, subscription)?;
        if sequence != 0 {
            if sequence <= subscriber.after {
                return None;
            }
            subscriber.after = sequence;
        }
        Some(channel)
    }
}
