//! The broker: one order and one position for each channel, history, presence, and what every
//! node must know (revocations, denied addresses). The memory broker serves one node.

mod memory;
#[cfg(test)]
mod suite;

pub use memory::{Clock, HistoryRules, MemoryBroker, MemoryConfig, StateError};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::auth::Revocation;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::publication::{Admission, Change, Epoch, Form, Position, Publication};
use crate::resource::Endpoint;
use crate::session_id::SessionId;

/// A broker's answer, sooner or later. The memory broker's are always ready at the first poll.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BrokerError>> + Send + 'a>>;

/// Why the broker could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, or did not answer.
    #[error("the broker cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A bounded store is full.
    #[error("the store of {what} is full ({limit}); raise `{setting}`")]
    Full {
        /// What it holds.
        what: &'static str,
        /// Its bound.
        limit: usize,
        /// The setting that bounds it.
        setting: &'static str,
    },
    /// The state file could not be written.
    #[error("the state in {path} cannot be written")]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A publication on its way to the broker; names and data are checked.
#[derive(Debug)]
pub struct Draft {
    /// The channel.
    pub channel: ChannelName,
    /// The event's name.
    pub event: Arc<str>,
    /// JSON text.
    pub data: Bytes,
    /// How long it may be given to anyone, from now.
    pub ttl: Option<Duration>,
    /// When this node accepted it.
    pub accepted: Instant,
    /// The session that must not get it.
    pub exclude: Option<SessionId>,
    /// How Pusher clients are shown the data.
    pub form: Form,
    /// Who sent a Pusher client's event, on presence channels.
    pub user: Option<Arc<str>>,
    /// Deliver, but do not retain.
    pub skip_history: bool,
    /// Caller and key: the same pair on the same channel is accepted once in 5 minutes.
    pub idempotency: Option<Box<str>>,
    /// Of a covered uri: what the gateway knows beside the data.
    pub change: Option<Arc<Change>>,
    /// Its room in the node's budget.
    pub admission: Option<Admission>,
}

/// What became of a draft.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Where it stands, on channels that keep history.
    pub position: Option<Position>,
    /// Sessions on this node that it was handed to.
    pub receivers: usize,
    /// The idempotency key had been used: this is the first call's answer.
    pub deduplicated: bool,
}

/// A publication as retained.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The event's name.
    pub event: Arc<str>,
    /// JSON text, in its own allocation.
    pub data: Bytes,
    /// Its number in the channel.
    pub offset: u64,
    /// When it was accepted, Unix milliseconds.
    pub time: u64,
    /// When its own ttl passes.
    pub expires: Option<Instant>,
    /// The session that must not get it.
    pub exclude: Option<SessionId>,
    /// How Pusher clients are shown the data.
    pub form: Form,
    /// On a covered collection: the item that it tells of.
    pub item: Option<ChannelName>,
}

/// Which part of a channel's history.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Start beyond this position (or, with `reverse`, before it).
    pub from: Option<Position>,
    /// At most so many.
    pub limit: usize,
    /// Newest first.
    pub reverse: bool,
}

/// Part of a history and where the channel stands, read in one step.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Where the channel stands; `None`: it keeps no history.
    pub position: Option<Position>,
    /// The channel's last sequence number, also where it keeps no history; 0: none is kept.
    pub sequence: u64,
    /// What is retained and alive, in the order asked for.
    pub publications: Vec<Retained>,
    /// With `from`: whether everything that was accepted after it is accounted for and `from`'s
    /// epoch is the channel's. Accounted for is what is retained (`limit` may still cut it off),
    /// what has expired by its own ttl, and what its publisher asked not to retain.
    pub complete: bool,
}

/// A session's entry in a channel's presence.
#[derive(Debug, Clone)]
pub struct Member {
    /// The subject, or for an anonymous session its id: what counts as one member.
    pub subject: Arc<str>,
    /// The session.
    pub session: SessionId,
    /// JSON that its token shows.
    pub info: Option<Arc<RawValue>>,
}

/// A channel's presence.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// A row a session, ordered by session.
    pub rows: Vec<Member>,
    /// Distinct subjects.
    pub total: usize,
    /// Of pushes that tell of presence here, those up to this one are in it, later ones are not.
    pub revision: u64,
}

/// A denied range of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The range.
    pub range: ipnet::IpNet,
    /// Why.
    pub reason: Box<str>,
    /// When it ends, since the Unix epoch; `None`: when it is taken off.
    pub expires_at: Option<Duration>,
}

/// A channel as listed.
#[derive(Debug, Clone)]
pub struct ChannelState {
    /// The name.
    pub name: ChannelName,
    /// Where it stands, if it keeps history.
    pub position: Option<Position>,
    /// Retained publications that are alive.
    pub history_count: usize,
    /// Members by presence.
    pub presence_count: usize,
}

/// What keeps order and memory for all nodes. One contract suite runs on every implementation.
pub trait Broker: Send + Sync {
    /// Gives `draft` the next place in its channel, retains it by the channel's rule and sees
    /// that every node delivers it in that order.
    fn publish(&self, draft: Draft) -> BrokerFuture<'_, Accepted>;
    /// From now on publications of `channel` are delivered on this node.
    fn subscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()>;
    /// No more of them.
    fn unsubscribe<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, ()>;
    /// Reads history and position in one step.
    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BrokerFuture<'a, HistoryPage>;
    /// Drops what `channel` retains and returns how many that were. Positions go on.
    fn purge<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, usize>;
    /// What is known of `channel`, if anything.
    fn channel<'a>(&'a self, channel: &'a ChannelName) -> BrokerFuture<'a, Option<ChannelState>>;
    /// Channels with history whose names start with `prefix` and follow `after`, in order.
    fn channels<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BrokerFuture<'a, Vec<ChannelState>>;

    /// Adds a session to a channel's presence, or replaces its entry, unless it would be one member
    /// more than `most` ([`BrokerError::Full`]): true if it is its member's first there. Then every
    /// node delivers [`presence_push`] to all but the session, in the order in which members come
    /// and go: were the node to tell it, a join could overtake the leave before it.
    fn enter<'a>(
        &'a self,
        channel: &'a ChannelName,
        member: Member,
        most: usize,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, bool>;
    /// Removes it: its entry if it was its member's last there. Then every node delivers
    /// [`presence_push`], as with [`Self::enter`].
    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        session: SessionId,
        admission: Option<Admission>,
    ) -> BrokerFuture<'a, Option<Member>>;
    /// Who is there: rows whose session follows `after`, at most `limit`, and the total.
    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> BrokerFuture<'a, Members>;

    /// Records a revocation, durably where a state path is set; replaces one of the same id.
    fn revoke(&self, revocation: Revocation) -> BrokerFuture<'_, ()>;
    /// Forgets a revocation: whether there was one.
    fn unrevoke<'a>(&'a self, id: &'a str) -> BrokerFuture<'a, bool>;
    /// Those in force whose id follows `after`, in order of id.
    fn revocations<'a>(&'a self, after: &'a str, limit: usize)
    -> BrokerFuture<'a, Vec<Revocation>>;
    /// Records denied ranges, durably where a state path is set; replaces those of the same range.
    fn deny(&self, denied: Vec<Denied>) -> BrokerFuture<'_, ()>;
    /// Takes ranges off again: those that were denied.
    fn allow(&self, ranges: Vec<ipnet::IpNet>) -> BrokerFuture<'_, Vec<ipnet::IpNet>>;
    /// Those in force, ordered by range.
    fn denied(&self) -> BrokerFuture<'_, Vec<Denied>>;

    /// Records an endpoint that was put live, durably where a state path is set; replaces the one of
    /// the same name.
    fn put_endpoint(&self, endpoint: Endpoint) -> BrokerFuture<'_, ()>;
    /// Forgets one: whether there was one.
    fn delete_endpoint<'a>(&'a self, name: &'a str) -> BrokerFuture<'a, bool>;
    /// All of them, ordered by name.
    fn endpoints(&self) -> BrokerFuture<'_, Vec<Endpoint>>;

    /// Whether the broker can be reached, for readiness and `pogo_broker_up`.
    fn is_up(&self) -> bool;
    /// Lets go of what has expired; called about once a second.
    fn sweep(&self, now: Now);
}

/// What the sessions on `channel` are told when `member`'s first session comes or its last goes:
/// outside the sequence, and not to the session that comes. `revision` is the change's number.
pub fn presence_push(
    channel: &ChannelName,
    member: &Member,
    (joins, revision): (bool, u64),
    now: Now,
) -> Publication {
    #[derive(serde::Serialize)]
    struct Push<'a> {
        subject: &'a str,
        session: String,
        info: Option<&'a RawValue>,
    }
    let push = Push {
        subject: &member.subject,
        session: member.session.to_string(),
        info: member.info.as_deref(),
    };
    Publication {
        channel: channel.clone(),
        event: if joins { "pogo:join" } else { "pogo:leave" }.into(),
        // Strings and JSON that was checked before: nothing here can fail to be written.
        data: serde_json::to_vec(&push).unwrap_or_default().into(),
        sequence: 0,
        epoch: None,
        time: now.unix_ms(),
        accepted: now.instant,
        expires: None,
        exclude: joins.then_some(member.session),
        form: Form::Json,
        user: None,
        revision,
        change: None,
    }
}

/// A new random epoch: 8 letters.
///
/// # Errors
/// The operating system's random source failed.
pub fn new_epoch() -> Result<Epoch, getrandom::Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bits = getrandom::u64()?;
    let mut text = String::with_capacity(8);
    for _ in 0..8 {
        text.push(char::from(LETTERS[(bits & 31) as usize]));
        bits >>= 5;
    }
    Ok(text.into())
}
