//! Fan-out: walking publications over the local subscribers of their channel, in slices.

use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::Worker;
use super::client::{Client, Held, Phase};
use super::mailbox::{Bounds, ENTRY_BYTES, Entry, Kind, SpareRings};
use super::table::Subscriber;
use crate::channel::SlowPolicy;
use crate::code::CloseCode;
use crate::hub::Delivery;
use crate::protocol::Wire;
use crate::publication::Position;
use crate::session::{Effect, Slot};

/// Subscribers walked in one slice: some 0.5 ms of sends.
const SLICE: usize = 64;

/// What became of an offer.
enum Offer {
    /// It waits in the mailbox, which is to be flushed.
    Queued,
    /// It waits behind an operation, or is none of this client's business.
    Kept,
    /// Its ttl has passed.
    Expired,
    /// There is no room for it.
    Full,
}

impl Worker {
    /// Walks one slice, of one huge channel or of several small ones.
    pub(super) fn walk(&mut self) {
        let mut budget = SLICE;
        while budget > 0
            && let Some(key) = self.walks.pop_front()
        {
            budget = self.walk_channel(key, budget);
            if self.table.walked(key) {
                self.walks.push_back(key);
            }
        }
        while let Some(key) = self.overflown.pop() {
            self.close(key, CloseCode::SlowConsumer);
        }
    }

    /// Walks at most `budget` subscribers of a channel and returns what is left of it.
    fn walk_channel(&mut self, key: u32, mut budget: usize) -> usize {
        let Some(channel) = self.table.channel(key) else {
            return budget;
        };
        let (deliveries, mut cursor) = channel.begin_slice();
        let now = self.now.instant;
        let end = channel.subscribers.capacity();
        let mut expired = 0;
        while cursor < end && budget > 0 {
            if let Some(subscriber) = channel.subscribers.get_mut(cursor) {
                budget -= 1;
                let slot = Slot {
                    channel: key,
                    index: super::table::key(cursor),
                };
                let mut receiver = Receiver {
                    clients: &mut self.clients,
                    spare: &mut self.spare_rings,
                    total: &mut self.mailbox_bytes,
                    largest: &mut self.largest,
                    bounds: self.bounds,
                    slow: channel.slow,
                };
                let mut queued = false;
                for delivery in &deliveries {
                    match receiver.offer(subscriber, slot, delivery, now) {
                        Offer::Queued => queued = true,
                        Offer::Kept => {}
                        Offer::Expired => expired += 1,
                        Offer::Full => {
                            self.overflown.push(subscriber.connection);
                            break;
                        }
                    }
                }
                if queued {
                    let client = &mut self.clients[subscriber.connection as usize];
                    if !client.blocked && !std::mem::replace(&mut client.dirty, true) {
                        self.dirty.push(subscriber.connection);
                    }
                }
            }
            cursor += 1;
        }
        channel.end_slice(deliveries, cursor);
        if expired > 0 {
            self.metrics.expired_publications.inc_by(expired);
        }
        budget
    }

    /// A push that waited behind an operation, now that the operation's end is known.
    pub(super) fn release_push(&mut self, key: u32, held: Held) {
        let Some(subscriber) = self.table.subscriber(held.slot) else {
            return;
        };
        if subscriber.connection != key {
            return;
        }
        if held.sequence != 0 {
            if held.sequence <= subscriber.after {
                return;
            }
            subscriber.after = held.sequence;
        }
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if client.phase != Phase::Open {
            return;
        }
        if !client.mailbox.has_room(held.entry.frame.len(), self.bounds) {
            return self.close(key, CloseCode::SlowConsumer);
        }
        let before = client.waiting_bytes();
        client.mailbox.push(held.entry, &mut self.spare_rings);
        self.grown(key, before);
        self.mark_dirty(key);
    }
}

/// The fields of the worker that an offer touches.
struct Receiver<'a> {
    clients: &'a mut Slab<Box<Client>>,
    spare: &'a mut SpareRings,
    total: &'a mut usize,
    largest: &'a mut usize,
    bounds: Bounds,
    slow: SlowPolicy,
}

impl Receiver<'_> {
    fn offer(
        &mut self,
        subscriber: &mut Subscriber,
        slot: Slot,
        delivery: &Arc<Delivery>,
        now: Instant,
    ) -> Offer {
        let publication = &delivery.publication;
        let sequence = publication.sequence;
        let Some(client) = self.clients.get_mut(subscriber.connection as usize) else {
            return Offer::Kept;
        };
        let Some(session) = &client.session else {
            return Offer::Kept;
        };
        let known = sequence != 0 && sequence <= subscriber.after;
        if known || publication.exclude == Some(session.id()) {
            return Offer::Kept;
        }
        if publication.is_expired(now) {
            return Offer::Expired;
        }
        let entry = entry(client, subscriber, slot, delivery);
        let cost = entry.frame.len() + ENTRY_BYTES;
        if let Some(operation) = &mut client.operation {
            if operation.held_bytes + cost > self.bounds.bytes {
                return Offer::Full;
            }
            operation.held_bytes += cost;
            *self.total += cost;
            *self.largest = operation.held_bytes.max(*self.largest);
            operation.held.push_back(Held {
                slot,
                sequence,
                entry,
            });
            return Offer::Kept;
        }
        // What is dropped below is dropped for good: it is not offered again.
        subscriber.after = subscriber.after.max(sequence);
        let before = client.mailbox.bytes();
        let offer = if client.mailbox.has_room(entry.frame.len(), self.bounds) {
            client.mailbox.push(entry, self.spare);
            Offer::Queued
        } else if self.slow == SlowPolicy::DropOldest {
            drop_oldest(client, entry, delivery, self.bounds, self.spare)
        } else {
            Offer::Full
        };
        *self.total = *self.total + client.mailbox.bytes() - before;
        *self.largest = client.mailbox.bytes().max(*self.largest);
        offer
    }
}

/// What `subscriber` gets of `delivery`: a handle of the frame that all share.
fn entry(client: &Client, subscriber: &Subscriber, slot: Slot, delivery: &Delivery) -> Entry {
    let wire = Wire {
        encoding: client.encoding,
        spelling: subscriber.spelling,
    };
    let publication = &delivery.publication;
    Entry {
        frame: delivery.frame(wire).clone(),
        kind: Kind::Publication {
            channel: slot.channel,
            sequence: publication.sequence,
            expires: publication.expires,
            accepted: publication.accepted,
        },
    }
}

/// Makes room for `entry` by dropping the channel's oldest publications, of which a `pogo:gap`
/// in their place tells. Where there are none, the new one is dropped.
fn drop_oldest(
    client: &mut Client,
    entry: Entry,
    delivery: &Delivery,
    bounds: Bounds,
    spare: &mut SpareRings,
) -> Offer {
    let (Kind::Publication {
        channel, sequence, ..
    }
    | Kind::Gap { channel, sequence }) = entry.kind
    else {
        return Offer::Kept;
    };
    while !client.mailbox.has_room(entry.frame.len(), bounds) {
        let Some((index, dropped)) = client.mailbox.oldest_publication(channel) else {
            let told = client.mailbox.ends_in_gap(channel);
            if !told && let Some(frame) = gap_frame(client, delivery, sequence) {
                client.mailbox.push(
                    Entry {
                        frame,
                        kind: Kind::Gap { channel, sequence },
                    },
                    spare,
                );
            }
            return Offer::Queued;
        };
        client.mailbox.remove(index);
        if client.mailbox.follows_gap(index, channel) {
            continue;
        }
        let Some(frame) = gap_frame(client, delivery, dropped) else {
            return Offer::Full;
        };
        let kind = Kind::Gap {
            channel,
            sequence: dropped,
        };
        client.mailbox.insert(index, Entry { frame, kind });
    }
    client.mailbox.push(entry, spare);
    Offer::Queued
}

/// `pogo:gap` with the position before the lost publication `sequence`.
fn gap_frame(client: &mut Client, delivery: &Delivery, sequence: u64) -> Option<bytes::Bytes> {
    let before = delivery.publication.epoch.clone().map(|epoch| Position {
        epoch,
        offset: sequence.saturating_sub(1),
    });
    let mut effects = Vec::with_capacity(1);
    let session = client.session.as_mut()?;
    session.gap(delivery.publication.channel.as_str(), before, &mut effects);
    effects.into_iter().find_map(|effect| match effect {
        Effect::Send(frame) => Some(frame),
        _ => None,
    })
}
