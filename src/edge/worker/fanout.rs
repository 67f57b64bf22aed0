//! Fan-out: walking publications over the local subscribers of their channel, in slices.

use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::Worker;
use super::client::{Client, Held};
use super::direct::{Direct, Outcome};
use super::flush::Written;
use super::mailbox::{Bounds, Entry, Kind, SpareRings};
use super::overflow::{self, Offer, Room, Source};
use super::round::Passing;
use super::subscribers::{Listed, Subscriber};
use super::walks::{Lane, SLICE, SMALL_SLICES};
use crate::channel::SlowPolicy;
use crate::code::CloseCode;
use crate::hub::{Delivery, Target};
use crate::publication::{Form, Publication};
use crate::session::Slot;

impl Worker {
    /// Walks the small channels that wait, or as many as may go before a huge one. What a slice has
    /// brought, and any reply, leaves before the next.
    pub(super) fn walk_small(&mut self) {
        for _ in 0..SMALL_SLICES {
            self.walk(Lane::Small);
            self.flush();
            if self.walks.is_empty(Lane::Small) {
                return;
            }
        }
    }

    /// Walks one slice of `lane`: of one huge channel, or of several small ones.
    pub(super) fn walk(&mut self, lane: Lane) {
        let mut budget = SLICE;
        while budget > 0
            && let Some(key) = self.walks.pop(lane)
        {
            budget = self.walk_channel((key, lane), budget);
            if let Some(subscribers) = self.table.walked(key) {
                self.walks.push(key, subscribers);
            }
        }
        self.close_overflown();
    }

    fn close_overflown(&mut self) {
        while let Some(key) = self.overflown.pop() {
            self.close(key, CloseCode::SlowConsumer);
        }
    }

    /// Gives a session at once what is still to come on a channel, before it is taken off it: an
    /// end that was decided after a publication is told after it.
    pub(super) fn deliver_rest(&mut self, slot: Slot) {
        let Some(channel) = self.table.channel(slot.channel) else {
            return;
        };
        let Some(position) = channel.subscribers.position(slot.index) else {
            return;
        };
        let rest = channel.round.rest_of(position, channel.subscribers.len());
        if !rest.is_empty() {
            self.give((slot.channel, false), &rest, std::iter::once(position));
            self.close_overflown();
        }
    }

    /// Walks at most `budget` subscribers of a channel and returns what is left of it.
    fn walk_channel(&mut self, (key, lane): (u32, Lane), budget: usize) -> usize {
        let straight = self.walks.is_empty(lane);
        let Some(channel) = self.table.channel(key) else {
            return budget;
        };
        let subscribers = channel.subscribers.len();
        let (passing, cursor, most) = channel.round.begin_slice(subscribers);
        let slice = most.min(budget);
        let positions = (cursor..cursor + slice).map(|at| at % subscribers);
        self.give((key, straight), &passing, positions);
        if let Some(channel) = self.table.channel(key) {
            channel.round.end_slice(passing, slice, subscribers);
        }
        budget - slice
    }

    /// Gives some sessions what no other shall have, in its place among what their channel brings.
    pub(super) fn deliver_to(&mut self, delivery: Arc<Delivery>, targets: Box<[Target]>) {
        let idle = self.table.idle(&delivery.publication.channel);
        let Some(key) = idle.filter(|_| targets.len() <= SLICE) else {
            return self.enqueue(delivery, Some(targets));
        };
        let name = delivery.publication.channel.as_str();
        let slots = targets.iter().filter_map(|target| {
            let client = self.clients.get(target.connection as usize)?;
            let session = client.session.as_ref()?;
            session
                .slot(name)
                .filter(|_| session.id() == target.session)
        });
        let slots: Vec<_> = slots.filter(|slot| slot.channel == key).collect();
        let Some(channel) = self.table.channel(key) else {
            return;
        };
        let positions = slots.iter();
        let positions = positions.filter_map(|slot| channel.subscribers.position(slot.index));
        let positions: Vec<_> = positions.collect();
        let passing = [self.table.at_once(delivery, targets)];
        self.give((key, false), &passing, positions.into_iter());
    }

    /// Lets `delivery` wait for the next walk over its channel, for `targets` alone if given.
    pub(super) fn enqueue(&mut self, delivery: Arc<Delivery>, targets: Option<Box<[Target]>>) {
        if let Some((channel, subscribers)) = self.table.enqueue(delivery, targets) {
            self.walks.push(channel, subscribers);
        }
    }

    /// Gives what is `passing` to the subscribers at these positions, `straight` where it can be.
    fn give(
        &mut self,
        (key, straight): (u32, bool),
        passing: &[Passing],
        positions: impl Iterator<Item = usize>,
    ) {
        let Some(channel) = self.table.channel(key) else {
            return;
        };
        let for_all = |one: &Passing| {
            one.is_for_all() && is_for_all(&one.delivery.publication, &channel.listed)
        };
        let mut direct = (straight && passing.iter().all(for_all))
            .then(|| Direct::new(passing, self.bounds, &mut self.runs))
            .flatten();
        let mut receiver = Receiver {
            clients: &mut self.clients,
            spare: &mut self.spare_rings,
            total: &mut self.mailbox_bytes,
            largest: &mut self.largest,
            written: &mut self.written,
            bounds: self.bounds,
            now: self.now.instant,
            expired: 0,
            dropped: 0,
        };
        for at in positions {
            let Some((subscriber, place)) = channel.subscribers.at(at) else {
                break;
            };
            let slot = Slot {
                channel: key,
                index: place,
            };
            let offer = match &mut direct {
                Some(direct) => receiver.write(subscriber, direct),
                None => None,
            };
            let offer = offer.or_else(|| {
                receiver.offer_all(subscriber, slot, (passing, channel.slow, &channel.listed))
            });
            match offer {
                Some(Offer::Queued) => self.dirty.push(subscriber.connection),
                Some(Offer::Full) => self.overflown.push(subscriber.connection),
                Some(Offer::Kept) | None => {}
            }
        }
        let (expired, dropped) = (receiver.expired, receiver.dropped);
        if let Some(direct) = direct {
            direct.finish(&mut self.written);
        }
        self.count_lost(expired, dropped);
    }

    /// Counts publications that were kept from a session.
    pub(super) fn count_lost(&self, expired: u64, dropped: u64) {
        if expired > 0 {
            self.metrics.expired_publications.inc_by(expired);
        }
        if dropped > 0 {
            self.metrics.dropped_publications.inc_by(dropped);
        }
    }
}

/// Whether the subscriber has got `publication`, or a list that holds what it tells.
fn is_known(publication: &Publication, subscriber: &Subscriber, listed: &Listed) -> bool {
    let sequence = publication.sequence;
    sequence != 0 && sequence <= subscriber.after
        || listed.holds(subscriber.id, publication.revision)
}

/// Whether no subscriber needs a look of its own before it is given `publication`.
fn is_for_all(publication: &Publication, listed: &Listed) -> bool {
    publication.form != Form::Count && (publication.revision == 0 || listed.is_empty())
}

/// The fields of the worker that an offer touches.
struct Receiver<'a> {
    clients: &'a mut Slab<Box<Client>>,
    spare: &'a mut SpareRings,
    total: &'a mut usize,
    largest: &'a mut usize,
    written: &'a mut Written,
    bounds: Bounds,
    now: Instant,
    expired: u64,
    dropped: u64,
}

impl Receiver<'_> {
    /// Writes to one subscriber at once; `None`: offer to it.
    fn write(&mut self, subscriber: &mut Subscriber, direct: &mut Direct<'_>) -> Option<Offer> {
        let client = self.clients.get_mut(subscriber.connection as usize)?;
        match direct.write(client, subscriber, self.spare, self.written) {
            Outcome::NotFor => None,
            Outcome::Written => Some(Offer::Kept),
            Outcome::Left => {
                let waiting = client.mailbox.bytes();
                *self.total += waiting;
                *self.largest = waiting.max(*self.largest);
                client.dirty = true;
                Some(Offer::Queued)
            }
        }
    }

    /// Offers publications to one subscriber. `Queued`: its client is to be put into the list of
    /// those to flush, where it is not yet.
    fn offer_all(
        &mut self,
        subscriber: &mut Subscriber,
        slot: Slot,
        (passing, slow, listed): (&[Passing], SlowPolicy, &Listed),
    ) -> Option<Offer> {
        let client = self.clients.get_mut(subscriber.connection as usize)?;
        let id = client.session.as_ref()?.id();
        let before = client.waiting_bytes();
        let mut room = Room {
            bounds: self.bounds,
            spare: self.spare,
            now: self.now,
            expired: 0,
            dropped: 0,
        };
        let mut result = Offer::Kept;
        for one in passing {
            let publication = &one.delivery.publication;
            let known = is_known(publication, subscriber, listed);
            if known || !one.is_for(subscriber, id) || !client.may_have(publication) {
                continue;
            }
            if publication.is_expired(self.now) {
                room.expired += 1;
                continue;
            }
            let entry = entry(client, subscriber, &one.delivery);
            let source = Source {
                channel: &publication.channel,
                epoch: publication.epoch.as_ref(),
                slow,
            };
            let offer = match &mut client.operation {
                Some(operation) if operation.kind.holds() => {
                    let epoch = publication.epoch.clone();
                    let held = Held {
                        slot,
                        epoch,
                        revision: publication.revision,
                        entry,
                    };
                    overflow::hold(operation, held, slow, &mut room)
                }
                _ => {
                    // What is dropped is dropped for good: it is not offered again.
                    subscriber.after = subscriber.after.max(publication.sequence);
                    overflow::put(client, entry, &source, &mut room)
                }
            };
            match offer {
                Offer::Kept => {}
                Offer::Queued => result = Offer::Queued,
                Offer::Full => {
                    result = Offer::Full;
                    break;
                }
            }
        }
        self.expired += room.expired;
        self.dropped += room.dropped;
        let after = client.waiting_bytes();
        *self.total = *self.total + after - before;
        *self.largest = after.max(*self.largest);
        let listed = result == Offer::Queued
            && (client.blocked || std::mem::replace(&mut client.dirty, true));
        Some(if listed { Offer::Kept } else { result })
    }
}

/// What `subscriber` gets of `delivery`: a handle of the frame that all share.
pub(super) fn entry(client: &Client, subscriber: &Subscriber, delivery: &Delivery) -> Entry {
    let publication = &delivery.publication;
    Entry {
        frame: delivery.frame(client.wire(subscriber.spelling)).clone(),
        kind: Kind::Publication {
            subscription: subscriber.id,
            sequence: publication.sequence,
            expires: publication.expires,
            accepted: publication.accepted,
        },
    }
}
