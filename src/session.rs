//! What one client may do next: a machine without I/O and without a clock of its own. Bytes,
//! outcomes and deadlines go in, effects come out; the worker carries them out in order.
//!
//! There is one for each protocol, `native` and `pusher`, with the same face to the worker.

mod machine;
mod native;
mod pusher;
mod refusals;
mod settings;
mod subscriptions;

pub use self::machine::Session;
pub use self::settings::{PusherSettings, Settings};
pub use crate::protocol::Message;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::auth::pusher::{App, Apps};
use crate::auth::{Grant, Revocations};
use crate::broker::{Accepted, HistoryPage, HistoryQuery, Member, Members};
use crate::channel::{ChannelName, Rules};
use crate::code::{CloseCode, ErrorCode};
use crate::metrics::Metrics;
use crate::notice::Notices;
use crate::protocol::{Encoding, Spelling};
use crate::publication::{Form, Position};
use crate::resource::{Call, Caller, Routes};
use crate::session_id::SessionId;

/// What all sessions of a node share.
#[derive(Debug)]
pub struct Shared {
    /// The channel rules in force.
    pub rules: ArcSwap<Rules>,
    /// Checked once more after a session holds its grant.
    pub revocations: Arc<Revocations>,
    /// The endpoints in force.
    pub routes: ArcSwap<Routes>,
    /// Pusher's apps in force.
    pub apps: ArcSwap<Apps>,
    /// Settings that can change live.
    pub settings: ArcSwap<Settings>,
    /// What webhooks are told of.
    pub notices: Arc<Notices>,
    /// Where commands and expired publications are counted.
    pub metrics: Metrics,
}

impl Shared {
    /// Whether `name` is where endpoints are: no ordinary channel's.
    pub fn is_covered(&self, name: &str) -> bool {
        name.starts_with('/') && !matches!(self.routes.load().find(name), Ok(None))
    }
}

/// How a session begins.
#[derive(Debug)]
pub enum Opening {
    /// Of the native protocol.
    Native(NativeOpening),
    /// Of Pusher's.
    Pusher(PusherOpening),
}

/// How a native session begins.
#[derive(Debug)]
pub struct NativeOpening {
    /// Its id.
    pub id: SessionId,
    /// The client's address.
    pub address: IpAddr,
    /// Its encoding.
    pub encoding: Encoding,
    /// What the handshake's token granted.
    pub grant: Option<Grant>,
}

/// How a Pusher session begins.
#[derive(Debug)]
pub struct PusherOpening {
    /// Its id, which is the socket's.
    pub id: SessionId,
    /// The client's address.
    pub address: IpAddr,
    /// The app whose key stands in the URL.
    pub app: Arc<App>,
    /// The protocol's version; the oldest clients do not say.
    pub version: Option<u8>,
}

/// Where a subscription lies in its worker's table; only the worker reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The channel's key in the table.
    pub channel: u32,
    /// The subscriber's key in the channel.
    pub index: u32,
}

/// What the worker must do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Queue this frame.
    Send(Bytes),
    /// Send a close frame after what is queued, then end.
    Close(CloseCode),
    /// Carry this out and call [`Session::resume`]; until then feed the session nothing and hold
    /// its pushes back. At most one at a time.
    Perform(Operation),
    /// Hand this to the gateway; the answer comes by [`Session::answered`].
    Call(Box<Call>),
    /// Have the gateway give the session nothing of these until it has asked about each.
    Hold(Vec<ChannelName>, Arc<Caller>),
    /// The session has left this channel: take it out of the table and tell the node.
    Leave {
        /// The channel.
        channel: ChannelName,
        /// Where it lies.
        slot: Slot,
        /// Whether it had a presence entry.
        present: bool,
        /// Whether the gateway has bound it, which must be told.
        covered: bool,
    },
}

/// What the worker has to know before an answer of the gateway binds a session.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where the subscription lies, if the session is on the uri already.
    pub slot: Option<Slot>,
    /// How its pushes are to be spelled.
    pub spelling: Spelling,
    /// Whether the answer holds all that was pushed up to its position. If not, who is there
    /// already goes on where it is.
    pub whole: bool,
}

/// Work outside the session.
#[derive(Debug)]
pub enum Operation {
    /// Check a token.
    Authenticate(Box<str>),
    /// Join these channels, all in one go; the outcome has one answer for each, in order. No
    /// channel is named twice.
    Join(Vec<JoinRequest>),
    /// Publish.
    Publish {
        /// Where.
        channel: ChannelName,
        /// The event's name, checked.
        event: Arc<str>,
        /// JSON text.
        data: Bytes,
        /// How Pusher clients are shown the data.
        form: Form,
        /// Who sends a Pusher client's event, on presence channels.
        user: Option<Arc<str>>,
        /// Whether the session itself gets its copy.
        echo: bool,
    },
    /// List a channel's members.
    Presence(ChannelName),
    /// Read history.
    History(ChannelName, HistoryQuery),
    /// Nothing but to wait, until answers of the gateway have made the session free again.
    Wait,
}

/// One channel to join.
#[derive(Debug)]
pub struct JoinRequest {
    /// The channel.
    pub channel: ChannelName,
    /// How its pushes are to be spelled, from now on where `slot` is set.
    pub spelling: Spelling,
    /// Where it lies if the session is on it already.
    pub slot: Option<Slot>,
    /// What the channel's presence shows of the session, where the channel keeps presence.
    pub member: Option<Member>,
    /// With that many members there, no further one is let in.
    pub max_members: usize,
    /// Whether the channel's members are to be listed, as they are once it has joined.
    pub list: bool,
    /// Recover from here: only what follows, and only if it is all there. `rewind` is 0 then.
    pub recover: Option<Position>,
    /// Bring the last so many, at most 1,000.
    pub rewind: usize,
}

/// One channel joined.
#[derive(Debug)]
pub struct Joined {
    /// Where the subscription lies.
    pub slot: Slot,
    /// What was read of the channel.
    pub page: HistoryPage,
    /// Its members, where they were to be listed. The pushes that follow tell of later changes.
    pub members: Option<Members>,
}

/// Why a token brought no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoGrant {
    /// For programs.
    pub code: ErrorCode,
    /// When another token may be tried, where waiting helps.
    pub retry_after: Option<Duration>,
}

impl From<ErrorCode> for NoGrant {
    fn from(code: ErrorCode) -> Self {
        let retry_after = None;
        Self { code, retry_after }
    }
}

/// How an operation ended.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Operation::Authenticate`].
    Authenticated(Result<Grant, NoGrant>),
    /// Of [`Operation::Join`].
    Joined(Vec<Result<Joined, ErrorCode>>),
    /// Of [`Operation::Publish`].
    Published(Result<Accepted, ErrorCode>),
    /// Of [`Operation::Presence`].
    Members(Result<Members, ErrorCode>),
    /// Of [`Operation::History`].
    History(Result<HistoryPage, ErrorCode>),
}
