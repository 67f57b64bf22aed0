//! A worker's part of the subscription table: its channels, their local subscribers and the
//! publications that wait to be walked over them. Only the worker's thread touches it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;

use super::subscribers::{Subscriber, Subscribers};
use crate::channel::{ChannelName, SlowPolicy};
use crate::hub::Delivery;
use crate::protocol::Spelling;
use crate::session::Slot;

/// Most publications that one walk takes along: each subscriber of a slice gets them all.
const MOST_WALKED: usize = 64;
/// A queue that has grown beyond this is freed rather than reused.
const SPARE_DELIVERIES: usize = 64;
/// Queues kept for reuse: for so many channels at a time publications wait without allocating.
const SPARE_QUEUES: usize = 1024;

/// A channel with local subscribers.
#[derive(Debug)]
pub(super) struct LocalChannel {
    /// Its name.
    pub(super) name: ChannelName,
    /// What happens to its slow subscribers.
    pub(super) slow: SlowPolicy,
    /// [`Slot::index`] is their place. A newcomer comes last, so a walk meets it; what it has had
    /// with its join already is recognised by [`Subscriber::after`].
    pub(super) subscribers: Subscribers,
    queues: Queues,
    /// How many subscribers have what is walked.
    cursor: usize,
    queued: bool,
}

/// A channel's publications. An idle channel owns no memory for them.
#[derive(Debug, Default)]
struct Queues {
    /// Those that came while the channel was being walked: they share the next walk.
    waiting: VecDeque<Arc<Delivery>>,
    /// Those being walked.
    walking: Vec<Arc<Delivery>>,
}

/// Channels by key and by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    channels: Slab<LocalChannel>,
    by_name: HashMap<ChannelName, u32>,
    /// Queues of channels that have become idle, for the next ones to fill.
    spare: Vec<Queues>,
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
                queues: Queues::default(),
                cursor: 0,
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
        channel.cursor = channel.subscribers.remove(slot.index, channel.cursor);
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

    /// Lets `delivery` wait for the next walk over its channel. The channel's key and how many
    /// subscribers it has, if it must be put among the walks.
    pub(super) fn enqueue(&mut self, delivery: Arc<Delivery>) -> Option<(u32, usize)> {
        let key = *self.by_name.get(&delivery.publication.channel)?;
        let channel = self.channels.get_mut(key as usize)?;
        let subscribers = channel.subscribers.len();
        let idle = !std::mem::replace(&mut channel.queued, true);
        if idle && let Some(queues) = self.spare.pop() {
            channel.queues = queues;
        }
        channel.queues.waiting.push_back(delivery);
        idle.then_some((key, subscribers))
    }

    /// After a slice: how many subscribers the channel has, if it must be queued again. If not,
    /// it is idle, and gone if nobody is left on it.
    pub(super) fn walked(&mut self, key: u32) -> Option<usize> {
        let channel = self.channels.get_mut(key as usize)?;
        if !channel.queues.is_empty() {
            return Some(channel.subscribers.len());
        }
        channel.queued = false;
        let queues = std::mem::take(&mut channel.queues);
        if self.spare.len() < SPARE_QUEUES && queues.capacity() <= SPARE_DELIVERIES {
            self.spare.push(queues);
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

impl Queues {
    fn is_empty(&self) -> bool {
        self.walking.is_empty() && self.waiting.is_empty()
    }

    fn capacity(&self) -> usize {
        self.walking.capacity().max(self.waiting.capacity())
    }
}

impl LocalChannel {
    /// The publications of the current walk and where it stands, taking up those that wait if a
    /// new walk begins. Give them back with [`Self::end_slice`].
    pub(super) fn begin_slice(&mut self) -> (Vec<Arc<Delivery>>, usize) {
        let Queues { waiting, walking } = &mut self.queues;
        if walking.is_empty() {
            let taken = waiting.len().min(MOST_WALKED);
            walking.extend(waiting.drain(..taken));
        }
        (std::mem::take(walking), self.cursor)
    }

    /// Ends a slice at `cursor`; the walk is over when it has passed the last subscriber.
    pub(super) fn end_slice(&mut self, mut deliveries: Vec<Arc<Delivery>>, cursor: usize) {
        self.cursor = cursor;
        if cursor >= self.subscribers.len() {
            deliveries.clear();
            self.cursor = 0;
        }
        self.queues.walking = deliveries;
    }
}

/// A slab key as it is stored. Slabs here hold connections and subscriptions, of which a process
/// cannot have 2³².
pub(super) fn key(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
