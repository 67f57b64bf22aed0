//! What the rest of the process says to a worker.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::Delivery;
use crate::auth::Fingerprint;
use crate::channel::ChannelName;
use crate::code::CloseCode;
use crate::resource::Answer;
use crate::session_id::SessionId;

/// A worker as the hub sees it: an inbox.
pub trait Worker: Send + Sync {
    /// Puts `message` into the worker's inbox and wakes it. Never blocks. Deliveries are bounded
    /// by the node's budget for publications, the rest by the calls that wait for an answer.
    fn post(&self, message: WorkerMessage);
}

/// A message to a worker.
#[derive(Debug)]
pub enum WorkerMessage {
    /// Fan this out to the local subscribers of its channel.
    Deliver(Arc<Delivery>),
    /// List sessions that match, with ids beyond `after`, in order, at most `limit`.
    List {
        /// Which.
        filter: SessionFilter,
        /// Only ids beyond this one.
        after: Option<SessionId>,
        /// At most so many.
        limit: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<SessionInfo>>,
    },
    /// Do `action` to the sessions that match; the answer is how many.
    Act {
        /// Which.
        filter: SessionFilter,
        /// What.
        action: SessionAction,
        /// Where the answer goes.
        reply: oneshot::Sender<usize>,
    },
    /// Give this to these sessions, which are bound to its uri, and to nobody else.
    DeliverTo {
        /// What.
        delivery: Arc<Delivery>,
        /// To whom.
        targets: Box<[Target]>,
    },
    /// A session's call to the gateway has ended.
    Answer {
        /// Whose it was.
        target: Target,
        /// Its answer.
        answer: Box<Answer>,
    },
    /// The endpoints in force have changed: take sessions off the ordinary channels that lie where
    /// endpoints are now.
    Rerouted,
    /// Tell every session to go and close them over `period`.
    Drain {
        /// How long the closing is spread over.
        period: Duration,
    },
}

/// A session of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The connection's key; given again after the session has gone.
    pub connection: u32,
    /// The session.
    pub session: SessionId,
}

/// Which sessions; all that is set must match, nothing set matches all.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// This one.
    pub session: Option<SessionId>,
    /// Of this subject.
    pub subject: Option<Box<str>>,
    /// Signed in as this user, by Pusher's sign-in.
    pub user: Option<Box<str>>,
    /// On a token with this `jti`.
    pub token_id: Option<Box<str>>,
    /// On one of these very tokens; empty: any.
    pub tokens: Box<[Fingerprint]>,
    /// With tokens issued at or before this (Unix seconds), or that do not say when.
    pub issued_until: Option<u64>,
    /// Subscribed to this channel.
    pub channel: Option<ChannelName>,
    /// From one of these addresses; empty: any.
    pub addresses: Vec<IpNet>,
}

/// What to do to a session.
#[derive(Debug, Clone)]
pub enum SessionAction {
    /// Nothing: count only.
    Count,
    /// Close it at once with this code; what is queued for it is dropped.
    Close(CloseCode),
    /// Subscribe it to a channel, as the server's decision.
    Subscribe(ChannelName),
    /// Unsubscribe it, with the reason it is told.
    Unsubscribe(ChannelName, Box<str>),
    /// Send it an event of its own, without a channel.
    Send {
        /// The event's name.
        event: Arc<str>,
        /// JSON text.
        data: Bytes,
    },
}

/// A session as listed.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Its token's subject.
    pub subject: Option<Arc<str>>,
    /// The client's address.
    pub address: IpAddr,
    /// The subprotocol, e.g. `pogo.v1.json`.
    pub protocol: &'static str,
    /// What it is subscribed to, in order.
    pub channels: Vec<ChannelName>,
    /// Since the Unix epoch.
    pub connected_at: Duration,
    /// `exp`, Unix seconds.
    pub expires_at: Option<u64>,
    /// `jti`.
    pub token_id: Option<Arc<str>>,
    /// Names the tokens that it uses: over Pusher's protocol there may be several.
    pub tokens: Box<[Fingerprint]>,
    /// Bytes waiting in its mailbox.
    pub mailbox_bytes: usize,
}
