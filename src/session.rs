//! What one client may do next: a machine without I/O and without a clock of its own. Bytes,
//! outcomes and deadlines go in, effects come out; the worker carries them out in order.
//!
//! Held at all times: at most one operation is under way, every command with an `id` is answered
//! once, the welcome is the first frame, and nothing is asked of the encoding but to encode.

mod auth;
mod commands;
mod join;
mod pending;
mod publish;
mod refusal;
mod replay;
mod server;
mod subscribe;
mod subscriptions;
mod timers;

#[cfg(test)]
mod tests;

pub use crate::protocol::Message;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;

use self::pending::Pending;
use self::subscriptions::Subscriptions;
use self::timers::Timers;
use crate::auth::{Grant, Revocations};
use crate::broker::{Accepted, HistoryPage, HistoryQuery, Member, Members};
use crate::channel::{ChannelName, Rules};
use crate::clock::Now;
use crate::code::{CloseCode, ErrorCode};
use crate::hub::{SessionFilter, SessionInfo};
use crate::metrics::Metrics;
use crate::protocol::{self, Encoding, Event, Spelling};
use crate::publication::Position;
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
    /// Where commands and expired publications are counted.
    pub metrics: Metrics,
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
    /// So many commands over the rate, without a pause of `refusal_pause`, close with 4102.
    pub max_refusals: u32,
    /// Without a refusal for so long, counting begins anew.
    pub refusal_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_required: true,
            auth_deadline: Duration::from_secs(10),
            leeway: Duration::from_secs(5),
            expiry_warning: Duration::from_secs(30),
            ping_interval: Duration::from_secs(25),
            max_channels: 1000,
            mailbox_bytes: 1024 * 1024,
            max_refusals: 100,
            refusal_pause: Duration::from_secs(10),
        }
    }
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
    /// How its pushes are to be spelled, from now on where `slot` is set.
    pub spelling: Spelling,
    /// Where it lies if the session is on it already.
    pub slot: Option<Slot>,
    /// What the channel's presence shows of the session, where the channel keeps presence.
    pub member: Option<Member>,
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

/// One client's session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    id: SessionId,
    address: IpAddr,
    encoding: Encoding,
    stage: Stage,
    /// Boxed, because an idle server may hold many sessions without a token.
    grant: Option<Box<Grant>>,
    subscriptions: Subscriptions,
    pending: Option<Box<Pending>>,
    timers: Timers,
    /// Since the Unix epoch.
    connected_at: Duration,
    /// Commands over the rate without a pause.
    refusals: u32,
    refused_at: Option<Instant>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The welcome is still to come.
    Opening,
    /// The welcome has been said.
    Open,
    /// Nothing is said any more.
    Closed,
}

impl Session {
    /// Begins a session. With a grant it checks revocations (the worker registers it first),
    /// joins the token's channels and then says welcome; without one it says welcome at once.
    pub fn open(shared: Arc<Shared>, opening: Opening, now: Now, out: &mut Vec<Effect>) -> Self {
        let timers = Timers::new(opening.id, &shared.settings.load(), now);
        let mut session = Self {
            shared,
            id: opening.id,
            address: opening.address,
            encoding: opening.encoding,
            stage: Stage::Opening,
            grant: opening.grant.map(Box::new),
            subscriptions: Subscriptions::default(),
            pending: None,
            timers,
            connected_at: now.unix,
            refusals: 0,
            refused_at: None,
        };
        session.begin(now, out);
        session
    }

    /// Goes on after an operation. After [`Self::end`] too, if it was under way then: channels
    /// that it joined are left again.
    pub fn resume(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if self.stage == Stage::Closed {
            return Self::give_back(&pending, outcome, out);
        }
        match (*pending, outcome) {
            (Pending::Opening(targets), Outcome::Joined(results)) => {
                self.opened(&targets, results, out);
            }
            (Pending::ServerSubscribe(target), Outcome::Joined(results)) => {
                self.server_subscribed(&target, results, out);
            }
            (Pending::Authenticate(ticket), Outcome::Authenticated(result)) => {
                self.authenticated(ticket, result, now, out);
            }
            (Pending::Refresh(ticket, targets), Outcome::Joined(results)) => {
                self.refreshed(&ticket, &targets, results, out);
            }
            (Pending::Subscribe(ticket, targets, list), Outcome::Joined(results)) => {
                let asked = (&*targets, list.as_deref());
                self.subscribed(&ticket, asked, (results, now), out);
            }
            (Pending::Publish(ticket), Outcome::Published(result)) => {
                self.published(&ticket, result, out);
            }
            (Pending::Presence(ticket), Outcome::Members(result)) => {
                self.listed(&ticket, result, out);
            }
            (Pending::History(ticket), Outcome::History(result)) => {
                self.read(&ticket, result, now, out);
            }
            (pending, _) => self.astray(pending, out),
        }
    }

    /// Whether an operation is under way: feed it nothing else then (deadlines excepted).
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether `filter` matches.
    pub fn matches(&self, filter: &SessionFilter) -> bool {
        let grant = self.grant.as_deref();
        let of_grant =
            |wanted: bool, holds: &dyn Fn(&Grant) -> bool| !wanted || grant.is_some_and(holds);
        filter.session.is_none_or(|id| id == self.id)
            && of_grant(filter.subject.is_some(), &|grant| {
                grant.subject.as_deref() == filter.subject.as_deref()
            })
            && of_grant(filter.token_id.is_some(), &|grant| {
                grant.token_id.as_deref() == filter.token_id.as_deref()
            })
            && of_grant(filter.token.is_some(), &|grant| {
                Some(grant.fingerprint) == filter.token
            })
            && of_grant(filter.issued_until.is_some(), &|grant| {
                grant.issued_at <= filter.issued_until
            })
            && filter
                .channel
                .as_ref()
                .is_none_or(|channel| self.subscriptions.contains(channel.as_str()))
            && (filter.addresses.is_empty()
                || filter
                    .addresses
                    .iter()
                    .any(|range| range.contains(&self.address)))
    }

    /// For lists; `mailbox_bytes` is the worker's to fill in.
    pub fn info(&self) -> SessionInfo {
        let grant = self.grant.as_deref();
        SessionInfo {
            id: self.id,
            subject: grant.and_then(|grant| grant.subject.clone()),
            address: self.address,
            protocol: self.encoding.subprotocol(),
            channels: self
                .subscriptions
                .iter()
                .map(|(channel, _)| channel.clone())
                .collect(),
            connected_at: self.connected_at,
            expires_at: grant.map(|grant| grant.expires_at),
            token_id: grant.and_then(|grant| grant.token_id.clone()),
            token: grant.map(|grant| grant.fingerprint),
            mailbox_bytes: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Starts work outside; nothing else is under way.
    fn perform(&mut self, pending: Pending, operation: Operation, out: &mut Vec<Effect>) {
        self.pending = Some(Box::new(pending));
        out.push(Effect::Perform(operation));
    }

    fn send(&self, event: &Event<'_>, out: &mut Vec<Effect>) {
        out.push(Effect::Send(protocol::encode(self.encoding, event)));
    }

    /// The last thing that is said.
    fn close(&mut self, code: CloseCode, out: &mut Vec<Effect>) {
        self.stage = Stage::Closed;
        out.push(Effect::Close(code));
    }
}
