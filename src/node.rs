//! One node: hub and broker together. Everything that is published goes through
//! [`Node::publish`], every subscription through [`Node::join`], every revocation through
//! [`Node::revoke`].

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Revocation, RevocationTarget, Revocations};
use crate::broker::{Accepted, Broker, BrokerError, Denied, HistoryPage, HistoryQuery, Member, Members};
use crate::channel::ChannelName;
use crate::hub::{Hub, SessionAction, SessionFilter, SessionInfo, WorkerId};
use crate::limits::DenyList;
use crate::session_id::SessionId;

/// A publication as a publisher hands it in; names and data are checked by whoever took it.
#[derive(Debug, Clone)]
pub struct NewPublication {
    /// The channel.
    pub channel: ChannelName,
    /// The event's name.
    pub event: Arc<str>,
    /// JSON text.
    pub data: bytes::Bytes,
    /// How long it may be given to anyone.
    pub ttl: Option<Duration>,
    /// The session that must not get it.
    pub exclude: Option<SessionId>,
    /// Deliver, but do not retain.
    pub skip_history: bool,
    /// Caller and key in one text.
    pub idempotency: Option<Box<str>>,
}

/// A subscription as a worker asks for it.
#[derive(Debug)]
pub struct Join {
    /// The channel; the worker has already put the session into its own table.
    pub channel: ChannelName,
    /// The asking worker.
    pub worker: WorkerId,
    /// Whether the session is new on the channel (false: it asks again, to recover).
    pub fresh: bool,
    /// Its presence entry, where the channel keeps presence.
    pub member: Option<Member>,
    /// What to read of the history, if anything (`limit` 0: the position only).
    pub query: HistoryQuery,
}

/// What became of a revocation.
#[derive(Debug, Clone)]
pub struct RevokeReport {
    /// Sessions that were closed (with `dry_run`: that would be).
    pub sessions: usize,
    /// Nodes that have closed theirs.
    pub nodes_confirmed: usize,
    /// Nodes there are.
    pub nodes_total: usize,
}

/// This node as listed.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A random name, new at each start.
    pub id: Box<str>,
    /// When it started, since the Unix epoch.
    pub started_at: Duration,
    /// Whether it is draining.
    pub draining: bool,
}

/// Hub and broker.
pub struct Node {
    hub: Arc<Hub>,
    broker: Arc<dyn Broker>,
    revocations: Arc<Revocations>,
    denied: Arc<DenyList>,
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Node {
    /// Publishes to one channel: waits for room in the budget, then for the broker.
    pub async fn publish(&self, publication: NewPublication) -> Result<Accepted, BrokerError> {
        todo!()
    }
    /// Joins without a gap: subscribes the node if it must, enters presence, reads the history.
    /// Publications with a sequence beyond the page's reach the worker.
    pub async fn join(&self, join: Join) -> Result<HistoryPage, BrokerError> {
        todo!()
    }
    /// A session left a channel. `member`: it had a presence entry there.
    pub async fn leave(&self, worker: WorkerId, channel: ChannelName, member: Option<SessionId>) {
        todo!()
    }
    pub async fn history(&self, channel: &ChannelName, query: HistoryQuery) -> Result<HistoryPage, BrokerError> {
        todo!()
    }
    pub async fn members(&self, channel: &ChannelName, after: Option<SessionId>, limit: usize) -> Result<Members, BrokerError> {
        todo!()
    }
    /// Sessions on all workers that match, ordered by id.
    pub async fn sessions(&self, filter: SessionFilter, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        todo!()
    }
    /// Does `action` to every session that matches and returns how many that were.
    pub async fn act(&self, filter: SessionFilter, action: SessionAction) -> usize {
        todo!()
    }
    /// Record → broadcast → close. With `dry_run` only counts.
    pub async fn revoke(&self, target: RevocationTarget, reason: &str, dry_run: bool) -> Result<RevokeReport, BrokerError> {
        todo!()
    }
    pub async fn unrevoke(&self, id: &str) -> Result<bool, BrokerError> {
        todo!()
    }
    pub async fn revocations(&self, after: &str, limit: usize) -> Result<Vec<Revocation>, BrokerError> {
        todo!()
    }
    /// Denies address ranges on every node and closes the sessions from there with 4003.
    pub async fn deny(&self, denied: Vec<Denied>) -> Result<usize, BrokerError> {
        todo!()
    }
    pub async fn allow(&self, ranges: Vec<ipnet::IpNet>) -> Result<Vec<ipnet::IpNet>, BrokerError> {
        todo!()
    }
    pub async fn denied(&self) -> Result<Vec<Denied>, BrokerError> {
        todo!()
    }
    pub fn identity(&self) -> Identity {
        todo!()
    }
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
    pub fn broker(&self) -> &dyn Broker {
        &*self.broker
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}
