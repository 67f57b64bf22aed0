//! Which channels this node is subscribed to at the broker: one state machine a channel.
//!
//! | state | the channel's entry |
//! |---|---|
//! | idle | there is none |
//! | subscribing | its cell is being filled: the first who comes subscribes, the rest wait for it |
//! | live | its cell is full |
//! | leaving | its cell is full and it waits in the queue; whoever comes meanwhile finds it live |
//! | unsubscribing | its cell is new and held by the sweep; whoever comes waits and subscribes anew |
//!
//! Invariants: who joins stands in the hub before it looks here, and the sweep asks the hub under
//! the lock of the entry, so no channel with a session is unsubscribed. A wait that is dropped, or
//! fails, hands its turn to the next.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::task::unconstrained;

use super::streams::Streams;
use crate::broker::{Broker, BrokerError};
use crate::channel::ChannelName;
use crate::hub::Hub;

const SHARDS: usize = 64;
/// Channels of one shard that are unsubscribed at a time.
const STRIDE: usize = 256;

/// The node's channels.
pub(super) struct Interests {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    leave_delay: Duration,
    /// Who is on a query counts for its stream as well.
    pub(super) streams: Streams,
}

#[derive(Default)]
struct Shard {
    channels: HashMap<ChannelName, Interest>,
    /// When to look whether anyone came back. Holds each entry once, so it is as bounded as they.
    leaving: VecDeque<(Instant, ChannelName)>,
}

#[derive(Default)]
struct Interest {
    subscribed: Arc<OnceCell<()>>,
    /// When the last session last left, while it waits in the queue.
    left: Option<Instant>,
}

/// A channel that the sweep unsubscribes.
struct Leaving {
    channel: ChannelName,
    cell: Arc<OnceCell<()>>,
}

impl Interests {
    pub(super) fn new(leave_delay: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            leave_delay,
            streams: Streams::default(),
        }
    }

    /// Sees that the node is subscribed to `channel`, which has a session in the hub.
    pub(super) async fn subscribe(
        &self,
        channel: &ChannelName,
        broker: &dyn Broker,
    ) -> Result<(), BrokerError> {
        let cell = {
            let mut shard = self.shard(channel);
            Arc::clone(
                &shard
                    .channels
                    .entry(channel.clone())
                    .or_default()
                    .subscribed,
            )
        };
        if cell.initialized() {
            return Ok(());
        }
        // Unconstrained: it must not yield where the broker answers at once.
        let subscribed = cell.get_or_try_init(|| broker.subscribe(channel));
        unconstrained(subscribed).await?;
        Ok(())
    }

    /// The channel's last session has left.
    pub(super) fn left(&self, channel: &ChannelName, now: Instant) {
        let mut shard = self.shard(channel);
        let Some(interest) = shard.channels.get_mut(channel) else {
            return;
        };
        if interest.left.replace(now).is_none() {
            let due = now + self.leave_delay;
            shard.leaving.push_back((due, channel.clone()));
        }
    }

    /// Unsubscribes from the channels that nobody came back to.
    pub(super) async fn sweep(&self, hub: &Hub, broker: &dyn Broker, now: Instant) {
        for shard in &self.shards {
            loop {
                let leaving = lock(shard).take_leaving(
                    |channel| self.is_wanted(hub, channel),
                    self.leave_delay,
                    now,
                );
                if leaving.is_empty() {
                    break;
                }
                join_all(leaving.iter().map(|leaving| unsubscribe(leaving, broker))).await;
                let mut shard = lock(shard);
                for Leaving { channel, cell } in &leaving {
                    // Someone who came meanwhile stands in the hub and keeps the entry.
                    if !self.is_wanted(hub, channel) && !cell.initialized() {
                        shard.channels.remove(channel);
                    }
                }
            }
        }
    }

    /// Whether a session is on `channel`, or on a query of it.
    fn is_wanted(&self, hub: &Hub, channel: &ChannelName) -> bool {
        hub.subscribers(channel.as_str()) > 0 || self.streams.has(channel)
    }

    /// How many channels are not idle.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| lock(shard).channels.len()).sum()
    }

    /// Whether the node is subscribed to the channel.
    #[cfg(test)]
    pub(super) fn is_live(&self, channel: &ChannelName) -> bool {
        let shard = self.shard(channel);
        let interest = shard.channels.get(channel);
        interest.is_some_and(|interest| interest.subscribed.initialized())
    }

    fn shard(&self, channel: &ChannelName) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(channel.as_str()) >> 58;
        lock(&self.shards[index as usize % SHARDS])
    }
}

impl Shard {
    /// Some channels that are due and that nobody came back to, each with a new cell.
    fn take_leaving(
        &mut self,
        is_wanted: impl Fn(&ChannelName) -> bool,
        delay: Duration,
        now: Instant,
    ) -> Vec<Leaving> {
        let mut taken = vec![];
        while taken.len() < STRIDE
            && let Some((_, channel)) = self.leaving.pop_front_if(|(due, _)| *due <= now)
        {
            let Some(interest) = self.channels.get_mut(&channel) else {
                continue;
            };
            let Some(left) = interest.left.take() else {
                continue;
            };
            if is_wanted(&channel) {
                continue;
            }
            if left + delay > now {
                // Someone came back and left again: the time runs from then.
                interest.left = Some(left);
                self.leaving.push_back((left + delay, channel));
                continue;
            }
            interest.subscribed = Arc::default();
            taken.push(Leaving {
                cell: Arc::clone(&interest.subscribed),
                channel,
            });
        }
        taken
    }
}

/// Unsubscribes while holding the cell, and leaves it empty.
async fn unsubscribe(leaving: &Leaving, broker: &dyn Broker) {
    let attempt = leaving.cell.get_or_try_init(|| async {
        let result = broker.unsubscribe(&leaving.channel).await;
        if let Err(error) = result {
            // The broker forgets the node's subscriptions with the connection that failed.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "unsubscribing failed"
            );
        }
        Err(())
    });
    // Full: someone came back first.
    let _: Result<&(), ()> = attempt.await;
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
