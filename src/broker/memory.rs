//! The memory broker: one node, nothing else needed.
//!
//! Invariants: a publication gets its number and is handed to the hub under its channel's lock,
//! so every worker sees one order (handing over never blocks, and the hub never calls back); a
//! number is never skipped nor used twice in an epoch; every store is bounded and says so when it
//! is full; every answer is ready at the first poll.

mod bounds;
mod channel;
mod history;
mod keys;
mod presence;
mod records;
mod state_file;
mod stripe;
#[cfg(test)]
mod tests;

pub use bounds::MemoryConfig;
pub use state_file::StateError;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::ready;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::{
    Accepted, Broker, BrokerError, BrokerFuture, ChannelState, Denied, Draft, HistoryPage,
    HistoryQuery, Member, Members,
};
use crate::auth::Revocation;
use crate::channel::{ChannelName, HistoryRule, Page};
use crate::clock::Now;
use crate::metrics::Metrics;
use crate::publication::{Admission, Deliver};
use crate::resource::Endpoint;
use crate::session_id::SessionId;
use bounds::Bounds;
use records::Store;
use stripe::Stripe;

const STRIPES: usize = 64;

/// What a channel retains by the rules in force.
pub type HistoryRules = Arc<dyn Fn(&str) -> Option<HistoryRule> + Send + Sync>;
/// Where the broker reads the time.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The memory broker.
pub struct MemoryBroker {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    bounds: Bounds,
    records: Store,
    rules: HistoryRules,
    deliver: Arc<dyn Deliver>,
    clock: Clock,
}

impl MemoryBroker {
    /// A broker that hands publications to `deliver`, with what the state file holds.
    ///
    /// # Errors
    /// [`StateError`] if there is a state that cannot be read.
    pub fn open(
        config: MemoryConfig,
        rules: HistoryRules,
        deliver: Arc<dyn Deliver>,
        metrics: &Metrics,
    ) -> Result<Self, StateError> {
        let clock: Clock = Arc::new(Now::read);
        metrics.set_bound("broker.history_bytes", config.history_bytes);
        metrics.set_bound("broker.max_channels", config.max_channels);
        Ok(Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            records: Store::open(&config, clock().unix)?,
            bounds: Bounds::new(config, metrics.expired_publications.clone()),
            rules,
            deliver,
            clock,
        })
    }

    /// The same broker on another clock.
    #[cfg(test)]
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn stripe(&self, channel: &ChannelName) -> MutexGuard<'_, Stripe> {
        let index = self.hasher.hash_one(channel.as_str()) >> 58;
        lock(&self.stripes[index as usize % STRIPES])
    }

    /// Room for one more channel: if there is none, another stripe gives up an idle one. Called
    /// with `stripe`'s lock held; the others are only tried, so that no two wait for each other.
    fn make_room(&self, stripe: &mut Stripe) -> Result<(), BrokerError> {
        while !self.bounds.take_channel() {
            let freed = stripe.forget_oldest_idle(&self.bounds)
                || self.stripes.iter().any(|other| {
                    other
                        .try_lock()
                        .is_ok_and(|mut other| other.forget_oldest_idle(&self.bounds))
                });
            if !freed {
                return Err(BrokerError::Full {
                    what: "channels",
                    limit: self.bounds.config.max_channels,
                    setting: "broker.max_channels",
                });
            }
        }
        Ok(())
    }

    /// Makes the channel's state if there is none.
    fn ensure(
        &self,
        stripe: &mut Stripe,
        channel: &ChannelName,
        now: Now,
    ) -> Result<(), BrokerError> {
        if stripe.knows(channel) {
            return Ok(());
        }
        self.make_room(stripe)?;
        let made = stripe.make(channel, now.instant);
        if made.is_err() {
            self.bounds.give_channel();
        }
        made
    }

    fn publish_now(&self, mut draft: Draft) -> Result<Accepted, BrokerError> {
        let now = (self.clock)();
        let rule = (self.rules)(draft.channel.as_str());
        let channel = draft.channel.clone();
        let mut stripe = self.stripe(&channel);
        let key = match draft.idempotency.take() {
            None => None,
            Some(key) => {
                let key = keys::key(&channel, &key);
                if let Some(first) = stripe.first_answer(&key, now.instant) {
                    return Ok(first);
                }
                stripe.reserve_key(&self.bounds, now.instant)?;
                Some(key)
            }
        };
        // Without history and subscriber nobody can tell one number from another: nothing is
        // kept of such a channel, and the publication carries none.
        if rule.is_some()
            && let Err(full) = self.ensure(&mut stripe, &channel, now)
        {
            if key.is_some() {
                self.bounds.give_keys(1);
            }
            return Err(full);
        }
        let admission = draft.admission.take();
        let publication = stripe.accept(draft, rule, &self.bounds, now);
        let position = publication.position();
        let accepted = Accepted {
            position,
            receivers: self.deliver.deliver(publication, admission),
            deduplicated: false,
        };
        if let Some(key) = key {
            let until = now.instant + self.bounds.config.idempotency_window;
            stripe.keep_answer(key, until, &accepted);
        }
        Ok(accepted)
    }

    fn history_now(
        &self,
        channel: &ChannelName,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, BrokerError> {
        let now = (self.clock)();
        let rule = (self.rules)(channel.as_str());
        let mut stripe = self.stripe(channel);
        if rule.is_some() {
            // So that the position that is told stays true.
            self.ensure(&mut stripe, channel, now)?;
        }
        stripe.trim(channel, rule, &self.bounds, now.instant);
        let page = stripe.read(channel, query, rule.is_some());
        stripe.settle(channel, rule, &self.bounds, now.instant);
        Ok(page)
    }

    fn channels_now(&self, prefix: &str, after: &str, limit: usize) -> Vec<ChannelState> {
        let now = (self.clock)().instant;
        let mut page = Page::new(limit);
        for stripe in &self.stripes {
            let mut from = Some(after.to_owned());
            while let Some(after) = from {
                let rules = &self.rules;
                from = lock(stripe).list(prefix, &after, &mut page, |stripe, name| {
                    let rule = rules(name.as_str());
                    stripe.show(name, rule, &self.bounds, now)
                });
            }
        }
        page.into_rows().map(|(_, state)| state).collect()
    }
}

impl Broker for MemoryBroker {
    fn publish(&self, draft: Draft) -> BrokerFuture<'_, Accepted> {
        answer(self.publish_now(draft))
    }

    fn subscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        let now = (self.clock)();
        let mut stripe = self.stripe(channel);
        let made = self.ensure(&mut stripe, channel, now);
        answer(made.map(|()| stripe.subscribe(channel)))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        let now = (self.clock)();
        let rule = (self.rules)(channel.as_str());
        let mut stripe = self.stripe(channel);
        stripe.unsubscribe(channel);
        stripe.settle(channel, rule, &self.bounds, now.instant);
        answer(Ok(()))
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BrokerFuture<'a, HistoryPage> {
        answer(self.history_now(channel, &query))
    }

    fn purge<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, usize> {
        let now = (self.clock)();
        let rule = (self.rules)(channel.as_str());
        let mut stripe = self.stripe(channel);
        answer(Ok(stripe.purge(channel, rule, &self.bounds, now.instant)))
    }

    fn channel<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, Option<ChannelState>> {
        let now = (self.clock)();
        let rule = (self.rules)(channel.as_str());
        let mut stripe = self.stripe(channel);
        answer(Ok(stripe.show(channel, rule, &self.bounds, now.instant)))
    }

    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BrokerFuture<'a, Vec<ChannelState>> {
        answer(Ok(self.channels_now(prefix, after, limit)))
    }

    fn enter<'a>(
        &'a self,
        channel: &'a ChannelName,
        member: Member,
        most: usize,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, bool> {
        answer(self.enter_now(channel, (member, most), admission))
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        session: SessionId,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, Option<Member>> {
        answer(Ok(self.exit_now(channel, session, admission)))
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> BrokerFuture<'a, Members> {
        answer(Ok(self.stripe(channel).members(channel, after, limit)))
    }

    fn revoke(&self, revocation: Revocation) -> BrokerFuture<'_, ()> {
        answer(self.records.revoke(revocation, (self.clock)().unix))
    }

    fn unrevoke<'a>(&'a self, id: &'a str) -> BrokerFuture<'a, bool> {
        answer(self.records.unrevoke(id, (self.clock)().unix))
    }

    fn revocations<'a>(
        &'a self,
        after: &'a str,
        limit: usize,
    ) -> BrokerFuture<'a, Vec<Revocation>> {
        let now = (self.clock)().unix;
        answer(Ok(self.records.revocations(after, limit, now)))
    }

    fn deny(&self, denied: Vec<Denied>) -> BrokerFuture<'_, ()> {
        answer(self.records.deny(denied, (self.clock)().unix))
    }

    fn allow(&self, ranges: Vec<IpNet>) -> BrokerFuture<'_, Vec<IpNet>> {
        answer(self.records.allow(&ranges, (self.clock)().unix))
    }

    fn denied(&self) -> BrokerFuture<'_, Vec<Denied>> {
        answer(Ok(self.records.denied((self.clock)().unix)))
    }

    fn put_endpoint(&self, endpoint: Endpoint) -> BrokerFuture<'_, ()> {
        answer(self.records.put_endpoint(endpoint))
    }

    fn delete_endpoint<'a>(&'a self, name: &'a str) -> BrokerFuture<'a, bool> {
        answer(self.records.delete_endpoint(name))
    }

    fn endpoints(&self) -> BrokerFuture<'_, Vec<Endpoint>> {
        answer(Ok(self.records.endpoints()))
    }

    fn is_up(&self) -> bool {
        true
    }

    fn sweep(&self, now: Now) {
        for stripe in &self.stripes {
            let mut from = Some(String::new());
            while let Some(after) = from {
                let mut stripe = lock(stripe);
                from = stripe.trim_some(&after, &self.rules, &self.bounds, now.instant);
            }
            lock(stripe).forget(&self.bounds, now.instant);
        }
        self.records.sweep(now.unix);
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, BrokerError>) -> BrokerFuture<'a, T> {
    Box::pin(ready(result))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").finish_non_exhaustive()
    }
}
