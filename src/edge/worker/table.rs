//! A worker's part of the subscription table: its channels, their local subscribers and the
//! publications that wait to be walked over them. Only the worker's thread touches it.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use super::round::{Passing, Round};
use super::subscribers::{Listed, Subscriber, Subscribers};
use crate::channel::{ChannelName, SlowPolicy};
use crate::hub::{Delivery, Target};
use crate::protocol::Spelling;
use crate::session::Slot;

/// A round that has grown beyond this is freed rather than reused.
const SPARE_DELIVERIES: usize = 64;
/// Rounds kept for reuse: for so many channels at a time publications wait without allocating.
const SPARE_ROUNDS: usize = 1024;

/// A channel with local subscribers.
#[derive(Debug)]
pub(super) struct LocalChannel {
    /// Its name.
    pub(super) name: ChannelName,
    /// What happens to its slow subscribers.
    pub(super) slow: SlowPolicy,
    /// [`Slot::index`] is their place. A newcomer comes last, and a walk may meet it; what it has had
    /// with its join already is recognised by [`Subscriber::after`].
    pub(super) subscribers: Subscribers,
    /// What is under way to them.
    pub(super) round: Round,
    /// What lists of members have told them.
    pub(super) listed: Listed,
    queued: bool,
}

/// Channels by key and by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    channels: Slab<LocalChannel>,
    by_name: HashMap<ChannelName, u32>,
    /// Of channels that have become idle, for the next ones to fill.
    spare: Vec<Round>,
    last_id: u64,
}

impl Table {
    /// Adds a subscriber, and the channel where it is the first.
    pub(super) fn insert(
        &mut self,
        name: &ChannelName,
        slow: SlowPolicy,
        (connection, spelling): (u32, Spelling),
    ) -> Slot {
        let channel = if let Some(key) = self.by_name.get(name) {
            *key
        } else {
            let key = key(self.channels.insert(LocalChannel {
                name: name.clone(),
                slow,
                subscribers: Subscribers::default(),
                round: Round::default(),
                listed: Listed::default(),
                queued: false,
            }));
            self.by_name.insert(name.clone(), key);
            key
        };
        self.last_id += 1;
        let subscriber = Subscriber {
            connection,
            spelling,
            after: 0,
            id: self.last_id,
        };
        let entry = &mut self.channels[channel as usize];
        entry.slow = slow;
        entry.round.joined(entry.subscribers.len());
        Slot {
            channel,
            index: entry.subscribers.insert(subscriber),
        }
    }

    /// Removes a subscriber, and the channel with its last one.
    pub(super) fn remove(&mut self, slot: Slot) {
        let Some(channel) = self.channels.get_mut(slot.channel as usize) else {
            return;
        };
        let LocalChannel {
            subscribers,
            round,
            listed,
            ..
        } = channel;
        if let Some(subscriber) = subscribers.get_mut(slot.index) {
            listed.forget(subscriber.id);
        }
        let before = subscribers.len();
        if let Some(position) = subscribers.remove(slot.index, round.borders(before)) {
            round.left(position, before);
        }
        self.drop_if_idle(slot.channel);
    }

    /// A channel with subscribers (or whose walk is not over).
    pub(super) fn channel(&mut self, key: u32) -> Option<&mut LocalChannel> {
        self.channels.get_mut(key as usize)
    }

    /// A subscription.
    pub(super) fn subscriber(&mut self, slot: Slot) -> Option<&mut Subscriber> {
        self.channels
            .get_mut(slot.channel as usize)?
            .subscribers
            .get_mut(slot.index)
    }

    /// The subscription `id`, if it is still there, with its channel's name and policy.
    pub(super) fn subscription(
        &mut self,
        slot: Slot,
        id: u64,
    ) -> Option<((ChannelName, SlowPolicy), &mut Subscriber)> {
        let channel = self.channels.get_mut(slot.channel as usize)?;
        let of = (channel.name.clone(), channel.slow);
        let subscriber = channel.subscribers.get_mut(slot.index)?;
        (subscriber.id == id).then_some((of, subscriber))
    }

    /// A subscriber was given a list of members that holds all changes up to `revision`.
    pub(super) fn set_listed(&mut self, slot: Slot, revision: u64) {
        let Some(channel) = self.channels.get_mut(slot.channel as usize) else {
            return;
        };
        if let Some(subscriber) = channel.subscribers.get_mut(slot.index) {
            channel.listed.set(subscriber.id, revision);
        }
    }

    /// Whether the list that the subscription `id` was given holds the change `revision`.
    pub(super) fn has_listed(&self, slot: Slot, id: u64, revision: u64) -> bool {
        let channel = self.channels.get(slot.channel as usize);
        channel.is_some_and(|channel| channel.listed.holds(id, revision))
    }

    /// The channel of this name, if nothing waits to be walked over it.
    pub(super) fn idle(&self, name: &ChannelName) -> Option<u32> {
        let key = *self.by_name.get(name)?;
        let channel = self.channels.get(key as usize)?;
        (!channel.queued).then_some(key)
    }

    /// What is given to `targets` at once.
    pub(super) fn at_once(&self, delivery: Arc<Delivery>, targets: Box<[Target]>) -> Passing {
        Passing::new(delivery, Some(targets), self.last_id)
    }

    /// Lets `delivery` wait for the next walk over its channel, for `targets` alone if given. The channel's key and how many
    /// subscribers it has, if it must be put among the walks.
    pub(super) fn enqueue(
        &mut self,
        delivery: Arc<Delivery>,
        targets: Option<Box<[Target]>>,
    ) -> Option<(u32, usize)> {
        let key = *self.by_name.get(&delivery.publication.channel)?;
        let channel = self.channels.get_mut(key as usize)?;
        let subscribers = channel.subscribers.len();
        let idle = !std::mem::replace(&mut channel.queued, true);
        if idle && let Some(round) = self.spare.pop() {
            channel.round = round;
        }
        channel
            .round
            .push(Passing::new(delivery, targets, self.last_id));
        idle.then_some((key, subscribers))
    }

    /// After a slice: how many subscribers the channel has, if it must be queued again. If not,
    /// it is idle, and gone if nobody is left on it.
    pub(super) fn walked(&mut self, key: u32) -> Option<usize> {
        let channel = self.channels.get_mut(key as usize)?;
        if !channel.round.is_empty() {
            return Some(channel.subscribers.len());
        }
        channel.queued = false;
        let mut round = std::mem::take(&mut channel.round);
        if self.spare.len() < SPARE_ROUNDS && round.capacity() <= SPARE_DELIVERIES {
            round.rest();
            self.spare.push(round);
        }
        self.drop_if_idle(key);
        None
    }

    /// How many channels there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    fn drop_if_idle(&mut self, key: u32) {
        let Some(channel) = self.channels.get(key as usize) else {
            return;
        };
        if channel.subscribers.is_empty() && !channel.queued {
            self.by_name.remove(&channel.name);
            self.channels.remove(key as usize);
        }
    }
}

/// A slab key as it is stored. Slabs here hold connections and subscriptions, of which a process
/// cannot have 2³².
pub(super) fn key(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
