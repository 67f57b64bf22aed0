//! The channels that share a lock.
//!
//! Invariants: a channel that retains something stands in `names` and `ages`; one that nobody
//! would miss stands in `idle`, or is gone if it keeps no history anyway; the counts in
//! [`Bounds`] are exact.

mod read;
mod retain;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::bounds::Bounds;
use super::channel::Channel;
use super::keys::Keys;
use crate::broker::{Accepted, BrokerError, Draft, Member, Members, new_epoch};
use crate::channel::{ChannelName, HistoryRule};
use crate::clock::Now;
use crate::publication::Publication;
use crate::session_id::SessionId;

/// The channels of one lock.
#[derive(Debug, Default)]
pub(super) struct Stripe {
    channels: HashMap<ChannelName, Channel>,
    names: BTreeSet<ChannelName>,
    /// By when each last retained something, or earlier: brought up to date when looked at.
    ages: BTreeSet<(Instant, ChannelName)>,
    idle: BTreeSet<(Instant, ChannelName)>,
    keys: Keys,
    /// The number of the last change of presence in any of them.
    revision: u64,
}

impl Stripe {
    pub(super) fn knows(&self, name: &ChannelName) -> bool {
        self.channels.contains_key(name)
    }

    /// Begins a channel, for which room was taken.
    pub(super) fn make(&mut self, name: &ChannelName, now: Instant) -> Result<(), BrokerError> {
        let epoch = new_epoch().map_err(|error| BrokerError::Unavailable(Box::new(error)))?;
        self.channels.insert(name.clone(), Channel::new(epoch, now));
        Ok(())
    }

    pub(super) fn subscribe(&mut self, name: &ChannelName) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.subscribed = true;
            wake(&mut self.idle, name, channel);
        }
    }

    pub(super) fn unsubscribe(&mut self, name: &ChannelName) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.subscribed = false;
        }
    }

    /// Gives `draft` its number and retains it; what is to be delivered.
    pub(super) fn accept(
        &mut self,
        draft: Draft,
        rule: Option<HistoryRule>,
        bounds: &Bounds,
        now: Now,
    ) -> Publication {
        let mut publication = Publication {
            channel: draft.channel,
            event: draft.event,
            data: draft.data,
            sequence: 0,
            epoch: None,
            time: now.unix_ms(),
            accepted: draft.accepted,
            // An end that the clock cannot hold is none.
            expires: draft.ttl.and_then(|ttl| draft.accepted.checked_add(ttl)),
            exclude: draft.exclude,
            form: draft.form,
            user: draft.user,
            revision: 0,
            change: draft.change,
        };
        let name = publication.channel.clone();
        let Some(channel) = self.channels.get_mut(&name) else {
            return publication;
        };
        channel.sequence += 1;
        publication.sequence = channel.sequence;
        let Some(rule) = rule else {
            channel.history.lose(channel.sequence);
            return publication;
        };
        publication.epoch = Some(Arc::clone(&channel.epoch));
        self.trim(&name, Some(rule), bounds, now.instant);
        if !draft.skip_history && !publication.is_expired(now.instant) {
            // The hub's copy is this one, too: the caller's buffer may be much larger.
            publication.data = Bytes::copy_from_slice(&publication.data);
            self.retain(&publication, bounds, now.instant);
            self.trim(&name, Some(rule), bounds, now.instant);
        }
        self.settle(&name, Some(rule), bounds, now.instant);
        publication
    }

    /// Called when a channel may have become idle, or be idle no more.
    pub(super) fn settle(
        &mut self,
        name: &ChannelName,
        rule: Option<HistoryRule>,
        bounds: &Bounds,
        now: Instant,
    ) {
        self.index_idle(name, now);
        let idle = self.channels.get(name).is_some_and(Channel::is_idle);
        if idle && rule.is_none() {
            self.remove(name, bounds);
        }
    }

    fn index_idle(&mut self, name: &ChannelName, now: Instant) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        wake(&mut self.idle, name, channel);
        if channel.is_idle() {
            channel.idle = Some(now);
            self.idle.insert((now, name.clone()));
        }
    }

    /// Removes an idle channel.
    fn remove(&mut self, name: &ChannelName, bounds: &Bounds) {
        if let Some(mut channel) = self.channels.remove(name) {
            wake(&mut self.idle, name, &mut channel);
            bounds.give_channel();
        }
    }

    pub(super) fn forget_oldest_idle(&mut self, bounds: &Bounds) -> bool {
        let Some((_, name)) = self.idle.first().cloned() else {
            return false;
        };
        self.remove(&name, bounds);
        true
    }

    /// Forgets channels that have been idle for long, and keys whose window has passed.
    pub(super) fn forget(&mut self, bounds: &Bounds, now: Instant) {
        while let Some((since, _)) = self.idle.first()
            && now.saturating_duration_since(*since) >= bounds.config.idle_after
        {
            self.forget_oldest_idle(bounds);
        }
        self.expire_keys(bounds, now);
        // After a flood of names the map gives its memory back.
        if self.channels.capacity() > 1_024 && self.channels.len() < self.channels.capacity() / 8 {
            self.channels.shrink_to(self.channels.len() * 2);
        }
    }
}

/// Takes a channel out of the idle ones.
fn wake(idle: &mut BTreeSet<(Instant, ChannelName)>, name: &ChannelName, channel: &mut Channel) {
    if let Some(since) = channel.idle.take() {
        idle.remove(&(since, name.clone()));
    }
}

impl Stripe {
    /// `None`: `most` members are there, and it is none of them.
    pub(super) fn enter(
        &mut self,
        name: &ChannelName,
        member: Member,
        most: usize,
    ) -> Option<(bool, Option<Member>)> {
        let Some(channel) = self.channels.get_mut(name) else {
            return Some((false, None));
        };
        let there = channel.presence.as_ref();
        let has_room = there.map_or(most > 0, |there| there.has_room(&member.subject, most));
        if !has_room {
            return None;
        }
        wake(&mut self.idle, name, channel);
        Some(channel.presence.get_or_insert_default().enter(member))
    }

    /// Follow it by [`Self::settle`].
    pub(super) fn exit(&mut self, name: &ChannelName, session: SessionId) -> Option<Member> {
        let channel = self.channels.get_mut(name)?;
        let presence = channel.presence.as_mut()?;
        let gone = presence.exit(session);
        if presence.is_empty() {
            channel.presence = None;
        }
        gone
    }

    pub(super) fn members(
        &self,
        name: &ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> Members {
        let presence = self
            .channels
            .get(name)
            .and_then(|channel| channel.presence.as_ref());
        Members {
            revision: self.revision,
            ..presence
                .map(|there| there.page(after, limit))
                .unwrap_or_default()
        }
    }

    /// The number of a change of presence that is about to be told.
    pub(super) fn revise(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    pub(super) fn first_answer(&self, key: &str, now: Instant) -> Option<Accepted> {
        self.keys.get(key, now)
    }

    pub(super) fn reserve_key(&mut self, bounds: &Bounds, now: Instant) -> Result<(), BrokerError> {
        self.expire_keys(bounds, now);
        if bounds.take_key() {
            return Ok(());
        }
        Err(BrokerError::Full {
            what: "idempotency keys",
            limit: bounds.config.max_idempotency_keys,
            setting: "broker.max_idempotency_keys",
        })
    }

    pub(super) fn keep_answer(&mut self, key: Arc<str>, until: Instant, answer: &Accepted) {
        self.keys.put(key, until, answer);
    }

    fn expire_keys(&mut self, bounds: &Bounds, now: Instant) {
        bounds.give_keys(self.keys.expire(now));
    }
}
