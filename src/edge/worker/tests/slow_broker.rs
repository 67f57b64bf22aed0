//! The memory broker, but its answers wait while it is held.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::auth::Revocation;
use crate::broker::{
    Accepted, Broker, BrokerFuture, ChannelState, Denied, Draft, HistoryPage, HistoryQuery, Member,
    Members, MemoryBroker,
};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::publication::Admission;
use crate::resource::Endpoint;
use crate::session_id::SessionId;

/// A broker that can be held.
pub(super) struct SlowBroker {
    inner: MemoryBroker,
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Requests wait before they are carried out.
    requests: bool,
    /// Answers wait before they are given.
    answers: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl SlowBroker {
    pub(super) fn new(inner: MemoryBroker) -> Self {
        Self {
            inner,
            gate: Mutex::default(),
        }
    }

    /// Publishes past the gate, as another node would.
    pub(super) fn publish_now(&self, draft: Draft) -> Accepted {
        let published = self.inner.publish(draft).now_or_never();
        published.unwrap().unwrap()
    }

    /// From now on requests, answers or both wait.
    pub(super) fn hold(&self, requests: bool, answers: bool) {
        let mut gate = self.gate.lock().unwrap();
        (gate.requests, gate.answers) = (requests, answers);
    }

    /// Lets one of those go that wait: whether there was one.
    pub(super) fn let_go(&self) -> bool {
        let first = self.gate.lock().unwrap().waiting.pop_front();
        first.map(|waiting| waiting.send(())).is_some()
    }

    /// Lets all go, those to come as well.
    pub(super) fn open(&self) {
        self.hold(false, false);
        while self.let_go() {}
    }

    /// Holds nothing for the moment; what was held, to hold it again.
    pub(super) fn hold_off(&self) -> (bool, bool) {
        let mut gate = self.gate.lock().unwrap();
        let held = (gate.requests, gate.answers);
        (gate.requests, gate.answers) = (false, false);
        held
    }

    pub(super) fn waiting(&self) -> usize {
        self.gate.lock().unwrap().waiting.len()
    }

    fn enqueue(&self, answer: bool) -> Option<oneshot::Receiver<()>> {
        let mut gate = self.gate.lock().unwrap();
        let held = if answer { gate.answers } else { gate.requests };
        held.then(|| {
            let (sender, receiver) = oneshot::channel();
            gate.waiting.push_back(sender);
            receiver
        })
    }

    fn slowly<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&'a MemoryBroker) -> BrokerFuture<'a, T> + Send + 'a,
    ) -> BrokerFuture<'a, T> {
        Box::pin(async move {
            if let Some(wait) = self.enqueue(false) {
                let _ = wait.await;
            }
            let answer = ask(&self.inner).await;
            if let Some(wait) = self.enqueue(true) {
                let _ = wait.await;
            }
            answer
        })
    }
}

impl Broker for SlowBroker {
    fn publish(&self, draft: Draft) -> BrokerFuture<'_, Accepted> {
        self.slowly(|inner| inner.publish(draft))
    }

    fn subscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        self.slowly(|inner| inner.subscribe(channel))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()> {
        self.inner.unsubscribe(channel)
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BrokerFuture<'a, HistoryPage> {
        self.slowly(|inner| inner.history(channel, query))
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
        self.slowly(move |inner| inner.enter(channel, member, most, admission))
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        session: SessionId,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, Option<Member>> {
        self.inner.exit(channel, session, admission)
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> BrokerFuture<'a, Members> {
        self.slowly(move |inner| inner.members(channel, after, limit))
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

    fn allow(&self, ranges: Vec<ipnet::IpNet>) -> BrokerFuture<'_, Vec<ipnet::IpNet>> {
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
