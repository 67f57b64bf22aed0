//! One node: hub and broker together. Everything that is published goes through
//! [`Node::publish`], every subscription through [`Node::join`], every revocation through
//! [`Node::revoke`].
//!
//! Invariants: a session's interest stands in the hub before the broker is read for it, so nothing
//! falls between the two; what is refused or recorded is so at the broker first, then here, then
//! at the open sessions. With the memory broker every future is ready at its first poll while
//! there is room in the hub's budget (questions to the workers excepted).

mod counts;
mod hook;
mod interest;
mod join;
mod refuse;
mod streams;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use bytes::Bytes;

use crate::auth::Revocations;
use crate::broker::{Broker, BrokerError, HistoryPage, HistoryQuery, Member, Members, new_epoch};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::hub::{Hub, SessionAction, SessionFilter, SessionInfo, WorkerId};
use crate::limits::DenyList;
use crate::publication::{Change, Form};
use crate::session_id::SessionId;
pub use hook::{BadUri, Prepared, PublicationHook, PublishError};

use counts::Counts;
use interest::Interests;

/// The node's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long the node stays subscribed at the broker after a channel's last session has left
    /// (`node.leave_delay`).
    pub leave_delay: Duration,
    /// How often what has expired is let go of (`node.sweep_interval`).
    pub sweep_interval: Duration,
    /// How long a revocation is remembered: `auth.max_token_lifetime` and the leeway.
    pub revocation_lifetime: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            leave_delay: Duration::from_secs(5),
            sweep_interval: Duration::from_secs(1),
            revocation_lifetime: Duration::from_secs(30 * 86_400 + 5),
        }
    }
}

/// Why the node could not do it.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The broker could not.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The session to be revoked is not here.
    #[error("there is no such session")]
    NoSuchSession,
    /// Not every worker answered in time, so it is not known.
    #[error("{workers} workers did not answer in time")]
    Unanswered {
        /// How many.
        workers: usize,
    },
    /// The operating system's random source failed.
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
}

/// A publication as a publisher hands it in; names and data are checked by whoever took it.
#[derive(Debug, Clone)]
pub struct NewPublication {
    /// The channel.
    pub channel: ChannelName,
    /// The event's name.
    pub event: Arc<str>,
    /// JSON text.
    pub data: Bytes,
    /// How long it may be given to anyone.
    pub ttl: Option<Duration>,
    /// The session that must not get it.
    pub exclude: Option<SessionId>,
    /// How Pusher clients are shown the data.
    pub form: Form,
    /// Who sent a Pusher client's event, on presence channels.
    pub user: Option<Arc<str>>,
    /// Deliver, but do not retain.
    pub skip_history: bool,
    /// Caller and key in one text.
    pub idempotency: Option<Box<str>>,
    /// Of a covered uri: what the gateway knows beside the data.
    pub change: Option<Arc<Change>>,
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
    /// With that many members there, no further one is let in.
    pub max_members: usize,
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
    /// A random name, new at each start: letters and digits.
    pub id: Box<str>,
    /// The version of Pogo.
    pub version: &'static str,
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
    own: Own,
}

/// What a node has of its own.
struct Own {
    id: Box<str>,
    started_at: Duration,
    draining: watch::Sender<bool>,
    config: Config,
    interests: Interests,
    counts: Counts,
    hook: OnceLock<Arc<dyn PublicationHook>>,
}

impl Node {
    /// Starts a node: what the broker remembers of revocations and denials is put in force.
    ///
    /// # Errors
    /// The broker could not be read, or there are no random numbers.
    pub async fn start(
        hub: Arc<Hub>,
        broker: Arc<dyn Broker>,
        revocations: Arc<Revocations>,
        denied: Arc<DenyList>,
        config: Config,
    ) -> Result<Arc<Self>, NodeError> {
        let own = Own {
            id: format!("{}{}", new_epoch()?, new_epoch()?).into(),
            started_at: Now::read().unix,
            draining: watch::Sender::new(false),
            interests: Interests::new(config.leave_delay),
            counts: Counts::default(),
            hook: OnceLock::new(),
            config,
        };
        let node = Self {
            hub,
            broker,
            revocations,
            denied,
            own,
        };
        node.restore().await?;
        node.note_broker();
        Ok(Arc::new(node))
    }

    /// Reads a channel's history and position; of a covered query its stream's.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn history(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
    ) -> Result<HistoryPage, BrokerError> {
        self.broker.history(&self.stream(channel), query).await
    }

    /// Who is present: rows whose session follows `after`, at most `limit`, and the total.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Members, BrokerError> {
        self.broker.members(channel, after, limit).await
    }

    /// Sessions on all workers that match, ordered by id. Those of a worker that hangs are missing,
    /// which is logged.
    pub async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<SessionInfo> {
        let (sessions, unanswered) = self.hub.list(filter, after, limit).await;
        if unanswered > 0 {
            tracing::warn!(workers = unanswered, "a list of sessions is not complete");
        }
        sessions
    }

    /// Does `action` to every session that matches and returns how many that were. It is on its
    /// way before the first wait.
    pub async fn act(&self, filter: SessionFilter, action: SessionAction) -> usize {
        let tally = self.hub.act(filter, action).await;
        if tally.unanswered > 0 {
            tracing::warn!(workers = tally.unanswered, "an action was not confirmed");
        }
        tally.sessions
    }

    /// From now on (or no longer) Pusher's clients and webhooks are told how many subscribers a
    /// channel has.
    pub fn count_subscribers(&self, wanted: bool) {
        self.own.counts.want(wanted);
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        Identity {
            id: self.own.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.own.started_at,
            draining: *self.own.draining.borrow(),
        }
    }

    /// Tells every session to go and has them closed over `period`.
    pub fn drain(&self, period: Duration) {
        self.own.draining.send_replace(true);
        self.hub.drain(period);
    }

    /// Ready once the node drains.
    pub async fn draining(&self) {
        // The sender lives as long as the node.
        let _ = self.own.draining.subscribe().wait_for(|on| *on).await;
    }

    /// Sweeps at the configured interval until `shutdown` is ready.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut tick = tokio::time::interval(self.own.config.sweep_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = tick.tick() => self.sweep(Now::read()).await,
            }
        }
    }

    /// Lets go of what has expired by `now`, and of channels that nobody came back to.
    pub async fn sweep(&self, now: Now) {
        self.own
            .interests
            .sweep(&self.hub, &*self.broker, now.instant)
            .await;
        self.broker.sweep(now);
        self.own.counts.sweep(&self.hub, now);
        self.revocations.sweep(now.unix);
        self.denied.sweep(now);
        self.note_broker();
    }

    fn note_broker(&self) {
        let up = i64::from(self.broker.is_up());
        self.hub.metrics().broker_up.set(up);
    }

    /// Who is subscribed here.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The broker.
    pub fn broker(&self) -> &dyn Broker {
        &*self.broker
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.own.id)
            .finish_non_exhaustive()
    }
}
