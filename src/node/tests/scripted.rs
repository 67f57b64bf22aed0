//! A memory broker that can be held up, made to fail, and does things between its answers.

use std::collections::VecDeque;
use std::sync::Mutex;

use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::*;
use crate::auth::Revocation;
use crate::broker::{BrokerFuture, ChannelState, Denied};
use crate::publication::Admission;
use crate::resource::Endpoint;

/// What happens when the broker is asked next.
pub(super) type Action = Box<dyn FnOnce(&MemoryBroker) + Send>;

/// What a joining node asks of its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Subscribe,
    Unsubscribe,
    Enter,
    Exit,
    History,
}

pub(super) struct Scripted {
    pub(super) inner: MemoryBroker,
    /// Run before each step of a join and after the last; one for each.
    pub(super) actions: Mutex<VecDeque<Action>>,
    /// Steps that fail.
    pub(super) failing: Mutex<Vec<Step>>,
    /// Steps that were asked for.
    pub(super) steps: Mutex<Vec<Step>>,
    /// Subscribing and unsubscribing wait for a permit each.
    pub(super) gate: Semaphore,
}

impl Scripted {
    pub(super) fn new(inner: MemoryBroker) -> Arc<Self> {
        Arc::new(Self {
            inner,
            actions: Mutex::default(),
            failing: Mutex::default(),
            steps: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// From now on [`Self::gate`] lets nobody through by itself.
    pub(super) fn close_gate(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }

    fn act(&self) {
        let action = self.actions.lock().unwrap().pop_front();
        if let Some(action) = action {
            action(&self.inner);
        }
    }

    fn step(&self, step: Step) -> Result<(), BrokerError> {
        self.act();
        self.steps.lock().unwrap().push(step);
        if self.failing.lock().unwrap().contains(&step) {
            return Err(BrokerError::Unavailable("as told".into()));
        }
        Ok(())
    }

    async fn pass(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

impl Broker for Scripted {
    fn publish(&self, draft: Draft) -> BrokerFuture<'_, Accepted> {
        self.inner.publish(draft)
    }

    fn subscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        Box::pin(async move {
            self.step(Step::Subscribe)?;
            self.pass().await;
            self.inner.subscribe(channel).await
        })
    }

    fn unsubscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        Box::pin(async move {
            self.step(Step::Unsubscribe)?;
            self.pass().await;
            self.inner.unsubscribe(channel).await
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BrokerFuture<'a, HistoryPage> {
        Box::pin(async move {
            self.step(Step::History)?;
            let page = self.inner.history(channel, query).await;
            self.act();
            page
        })
    }

    fn purge<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, usize> {
        self.inner.purge(channel)
    }

    fn channel<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, Option<ChannelState>> {
        self.inner.channel(channel)
    }

    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BrokerFuture<'a, Vec<ChannelState>> {
        self.inner.channels(prefix, after, limit)
    }

    fn enter<'a>(
        &'a self,
        channel: &'a ChannelName,
        member: Member,
        most: usize,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, bool> {
        Box::pin(async move {
            self.step(Step::Enter)?;
            self.inner.enter(channel, member, most, admission).await
        })
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        session: SessionId,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, Option<Member>> {
        Box::pin(async move {
            self.step(Step::Exit)?;
            self.inner.exit(channel, session, admission).await
        })
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> BrokerFuture<'a, Members> {
        self.inner.members(channel, after, limit)
    }

    fn revoke(&self, revocation: Revocation) -> BrokerFuture<'_, ()> {
        self.inner.revoke(revocation)
    }

    fn unrevoke<'a>(&'a self, id: &'a str) -> BrokerFuture<'a, bool> {
        self.inner.unrevoke(id)
    }

    fn revocations<'a>(
        &'a self,
        after: &'a str,
        limit: usize,
    ) -> BrokerFuture<'a, Vec<Revocation>> {
        self.inner.revocations(after, limit)
    }

    fn deny(&self, denied: Vec<Denied>) -> BrokerFuture<'_, ()> {
        self.inner.deny(denied)
    }

    fn allow(&self, ranges: Vec<IpNet>) -> BrokerFuture<'_, Vec<IpNet>> {
        self.inner.allow(ranges)
    }

    fn denied(&self) -> BrokerFuture<'_, Vec<Denied>> {
        self.inner.denied()
    }

    fn put_endpoint(&self, endpoint: Endpoint) -> BrokerFuture<'_, ()> {
        self.inner.put_endpoint(endpoint)
    }

    fn delete_endpoint<'a>(&'a self, name: &'a str) -> BrokerFuture<'a, bool> {
        self.inner.delete_endpoint(name)
    }

    fn endpoints(&self) -> BrokerFuture<'_, Vec<Endpoint>> {
        self.inner.endpoints()
    }

    fn is_up(&self) -> bool {
        true
    }

    fn sweep(&self, now: Now) {
        self.inner.sweep(now);
    }
}
