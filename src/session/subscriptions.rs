//! A session's subscriptions: a vector sorted by name. Most sessions have a handful, where it is
//! the smallest and quickest form; at the limit of 1,000 an insertion moves a few kilobytes.

use super::{Effect, Slot};
use crate::channel::ChannelName;
use crate::protocol::Spelling;

/// One subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    /// Where it lies in the worker's table.
    pub(super) slot: Slot,
    /// How the session's latest subscribing named the channel.
    pub(super) spelling: Spelling,
    /// Whether the session has an entry in the channel's presence.
    pub(super) present: bool,
    /// Whether the server decided it, so that no token takes it away.
    pub(super) by_server: bool,
    /// Whether the gateway has bound it.
    pub(super) covered: bool,
}

impl Subscription {
    /// What leaving `channel`, of which this was the subscription, means outside.
    pub(super) fn leave(self, channel: ChannelName) -> Effect {
        Effect::Leave {
            channel,
            slot: self.slot,
            present: self.present,
            covered: self.covered,
        }
    }
}

/// All of a session's subscriptions, at most one a channel.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<(ChannelName, Subscription)>);

impl Subscriptions {
    fn find(&self, channel: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(name, _)| name.as_str().cmp(channel))
    }

    /// How many more there may be, of `most`.
    pub(super) fn room(&self, most: usize) -> usize {
        most.saturating_sub(self.0.len())
    }

    /// The name as it is kept.
    pub(super) fn name(&self, channel: &str) -> Option<&ChannelName> {
        self.find(channel).ok().map(|at| &self.0[at].0)
    }

    pub(super) fn get(&self, channel: &str) -> Option<&Subscription> {
        self.find(channel).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.find(channel).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn contains(&self, channel: &str) -> bool {
        self.find(channel).is_ok()
    }

    /// Adds or replaces.
    pub(super) fn insert(&mut self, channel: ChannelName, subscription: Subscription) {
        match self.find(channel.as_str()) {
            Ok(at) => self.0[at].1 = subscription,
            Err(at) => {
                // One channel is the commonest number, so the first entry takes no spare room.
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (channel, subscription));
            }
        }
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<(ChannelName, Subscription)> {
        self.find(channel).ok().map(|at| self.0.remove(at))
    }

    /// In order of name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &Subscription)> {
        self.0
            .iter()
            .map(|(name, subscription)| (name, subscription))
    }

    /// The channels that the gateway has not bound, in order of name.
    pub(super) fn ordinary(&self) -> impl Iterator<Item = &ChannelName> {
        let ordinary = self
            .iter()
            .filter(|(_, subscription)| !subscription.covered);
        ordinary.map(|(channel, _)| channel)
    }

    /// Leaves all of them.
    pub(super) fn leave_all(&mut self, out: &mut Vec<Effect>) {
        let all = std::mem::take(&mut self.0);
        out.extend(all.into_iter().map(|(channel, one)| one.leave(channel)));
    }
}
