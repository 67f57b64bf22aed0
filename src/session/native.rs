//! A session of the native protocol.
//!
//! Held at all times: at most one operation is under way, every command with an `id` is answered
//! once, the welcome is the first frame, and nothing is asked of the encoding but to encode.

mod auth;
mod calls;
mod commands;
mod join;
mod list;
mod pending;
mod publish;
mod refusal;
mod replay;
mod rest;
mod server;
mod subscribe;
mod timers;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::calls::Calls;
use self::pending::Pending;
use self::timers::Timers;
use super::refusals::Refusals;
use super::subscriptions::{self, Subscriptions};
use super::{
    Effect, JoinRequest, Joined, Message, NativeOpening, NoGrant, Operation, Outcome, Settings,
    Shared, Slot,
};
use crate::auth::Grant;
use crate::clock::Now;
use crate::code::CloseCode;
use crate::hub::{SessionFilter, SessionInfo};
use crate::protocol::{self, Encoding, Event};
use crate::session_id::SessionId;

/// One client's session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    id: SessionId,
    address: IpAddr,
    encoding: Encoding,
    stage: Stage,
    /// Not inline, because an idle server may hold many sessions without a token; shared with the
    /// calls that are made with it.
    grant: Option<Arc<Grant>>,
    subscriptions: Subscriptions,
    pending: Option<Box<Pending>>,
    /// The gateway's, while there are any.
    calls: Option<Box<Calls>>,
    /// The last one's id.
    last_call: u32,
    /// How many tokens it has had after the first.
    turn: u32,
    timers: Timers,
    /// Since the Unix epoch.
    connected_at: Duration,
    refusals: Refusals,
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
    pub fn open(
        shared: Arc<Shared>,
        opening: NativeOpening,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Self {
        let timers = Timers::new(opening.id, &shared.settings.load(), now);
        let mut session = Self {
            shared,
            id: opening.id,
            address: opening.address,
            encoding: opening.encoding,
            stage: Stage::Opening,
            grant: opening.grant.map(Arc::new),
            subscriptions: Subscriptions::default(),
            pending: None,
            calls: None,
            last_call: 0,
            turn: 0,
            timers,
            connected_at: now.unix,
            refusals: Refusals::default(),
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
                let asked = (&*targets, list.as_ref());
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
            && filter.user.is_none()
            && of_grant(filter.token_id.is_some(), &|grant| {
                grant.token_id.as_deref() == filter.token_id.as_deref()
            })
            && of_grant(!filter.tokens.is_empty(), &|grant| {
                filter.tokens.contains(&grant.fingerprint)
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
            tokens: grant.map(|grant| grant.fingerprint).into_iter().collect(),
            mailbox_bytes: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Where its subscription to `channel` lies.
    pub fn slot(&self, channel: &str) -> Option<Slot> {
        Some(self.subscriptions.get(channel)?.slot)
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
