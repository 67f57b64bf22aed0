//! What one client may do next: a machine without I/O and without a clock of its own. Bytes,
//! outcomes and deadlines go in, effects come out; the worker carries them out in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::auth::{Grant, Revocations};
use crate::broker::{Accepted, HistoryPage, HistoryQuery, Members, Retained};
use crate::channel::{ChannelName, Rules};
use crate::clock::Now;
use crate::code::{CloseCode, ErrorCode};
use crate::hub::{SessionFilter, SessionInfo};
use crate::protocol::{Encoding, Spelling};
use crate::publication::{Epoch, Position};
use crate::session_id::SessionId;

/// What all sessions of a node share.
#[derive(Debug)]
pub struct Shared {
    /// The channel rules in force.
    pub rules: ArcSwap<Rules>,
    /// Checked once more after a session holds its grant.
    pub revocations: Arc<Revocations>,
    /// Settings that can change live.
    pub settings: ArcSwap<Settings>,
}

/// What governs a session.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a session must hold a token within `auth_deadline`.
    pub auth_required: bool,
    /// How long a session may stay without one.
    pub auth_deadline: Duration,
    /// How long after `exp` a token still counts.
    pub leeway: Duration,
    /// How long before `exp` the client is told.
    pub expiry_warning: Duration,
    /// How often the server pings; a ping without any answer for as long closes with 4202.
    pub ping_interval: Duration,
    /// Most channels a session may be on.
    pub max_channels: usize,
    /// Half of this is the most a recovery may bring, in bytes.
    pub mailbox_bytes: usize,
}

/// How a session begins.
#[derive(Debug)]
pub struct Opening {
    /// Its id.
    pub id: SessionId,
    /// The client's address.
    pub address: IpAddr,
    /// Its encoding.
    pub encoding: Encoding,
    /// What the handshake's token granted.
    pub grant: Option<Grant>,
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
    /// The session has left this channel: take it out of the table and tell the node.
    Leave {
        /// The channel.
        channel: ChannelName,
        /// Where it lies.
        slot: Slot,
        /// Whether it had a presence entry.
        present: bool,
    },
}

/// Work outside the session.
#[derive(Debug)]
pub enum Operation {
    /// Check a token.
    Authenticate(Box<str>),
    /// Join these channels, all in one go; the outcome has one answer for each, in order.
    Join(Vec<JoinRequest>),
    /// Publish.
    Publish {
        /// Where.
        channel: ChannelName,
        /// The event's name, checked.
        event: Arc<str>,
        /// JSON text.
        data: Bytes,
        /// Whether the session itself gets its copy.
        echo: bool,
    },
    /// List a channel's members.
    Presence(ChannelName),
    /// Read history.
    History(ChannelName, HistoryQuery),
}

/// One channel to join.
#[derive(Debug)]
pub struct JoinRequest {
    /// The channel.
    pub channel: ChannelName,
    /// How its pushes are to be spelled.
    pub spelling: Spelling,
    /// Where it lies if the session is on it already.
    pub slot: Option<Slot>,
    /// What the channel's presence shows of the session, where the channel keeps presence.
    pub member: Option<crate::broker::Member>,
    /// Recover from here: only what follows, and only if it is all there.
    pub recover: Option<Position>,
    /// Bring the last so many.
    pub rewind: usize,
}

/// One channel joined.
#[derive(Debug)]
pub struct Joined {
    /// Where the subscription lies.
    pub slot: Slot,
    /// What was read of the channel.
    pub page: HistoryPage,
}

/// How an operation ended.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Operation::Authenticate`].
    Authenticated(Result<Grant, ErrorCode>),
    /// Of [`Operation::Join`].
    Joined(Vec<Result<Joined, ErrorCode>>),
    /// Of [`Operation::Publish`].
    Published(Result<Accepted, ErrorCode>),
    /// Of [`Operation::Presence`].
    Members(Result<Members, ErrorCode>),
    /// Of [`Operation::History`].
    History(Result<HistoryPage, ErrorCode>),
}

/// One client's session.
#[derive(Debug)]
pub struct Session {}

#[allow(clippy::todo, unused_variables)]
impl Session {
    /// Begins a session. With a grant it registers, checks revocations, joins the token's
    /// channels and then says welcome; without one it says welcome at once.
    pub fn open(shared: Arc<Shared>, opening: Opening, now: Now, out: &mut Vec<Effect>) -> Self {
        todo!()
    }
    /// Takes one message. `admitted`: the address's command rate, or how long to wait.
    pub fn handle(&mut self, message: Message<'_>, admitted: Result<(), Duration>, now: Now, out: &mut Vec<Effect>) {
        todo!()
    }
    /// Goes on after an operation.
    pub fn resume(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        todo!()
    }
    /// Whether an operation is under way: feed it nothing else then (deadlines excepted).
    pub fn is_busy(&self) -> bool {
        todo!()
    }
    /// Anything came from the client, pongs included.
    pub fn heard(&mut self, now: Now) {
        todo!()
    }
    /// When [`Self::on_deadline`] wants to be called next.
    pub fn deadline(&self) -> Instant {
        todo!()
    }
    /// A deadline has passed.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        todo!()
    }
    /// Subscribes it as the server's decision; `pogo:subscribed` follows. False: it is there
    /// already, or may hold no more channels. Not while busy.
    pub fn server_subscribe(&mut self, channel: ChannelName, now: Now, out: &mut Vec<Effect>) -> bool {
        todo!()
    }
    /// Unsubscribes it; `pogo:unsubscribed` with `reason` follows. False: it was not there.
    pub fn server_unsubscribe(&mut self, channel: &str, reason: &str, out: &mut Vec<Effect>) -> bool {
        todo!()
    }
    /// An event of its own, from the server.
    pub fn server_send(&mut self, event: &str, data: &[u8], out: &mut Vec<Effect>) {
        todo!()
    }
    /// Publications of a channel were dropped: `pogo:gap` with the position before the loss.
    pub fn gap(&mut self, channel: &str, before: Option<Position>, out: &mut Vec<Effect>) {
        todo!()
    }
    /// `pogo:drain`.
    pub fn drain(&mut self, reconnect_after: Duration, out: &mut Vec<Effect>) {
        todo!()
    }
    /// The session ends, for whatever reason: leaves every channel.
    pub fn end(&mut self, out: &mut Vec<Effect>) {
        todo!()
    }
    /// Whether `filter` matches.
    pub fn matches(&self, filter: &SessionFilter) -> bool {
        todo!()
    }
    /// For lists; `mailbox_bytes` is the worker's to fill in.
    pub fn info(&self) -> SessionInfo {
        todo!()
    }
    /// Its id.
    pub fn id(&self) -> SessionId {
        todo!()
    }
}

/// A whole message from the client.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// A text message; checked UTF-8.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}
#[allow(unused)]
type Unused = (Epoch, Retained);
