//! How a session gets its token, at the start or by `auth`, and what changes with it.
//!
//! Held: a grant that revocations refuse is never in force. The worker holds the session while it
//! is checked, so a revocation that comes later finds it there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::calls::{Purpose, Wish};
use super::pending::{Pending, Target, Ticket};
use super::refusal::Refusal;
use super::replay::Wanted;
use super::{Effect, Joined, NoGrant, Operation, Session, Stage};
use crate::auth::{self, Grant, Op};
use crate::channel::{Access, ChannelName};
use crate::clock::Now;
use crate::code::{CloseCode, ErrorCode};
use crate::protocol::{Command, Event, Name, Reply, Spelling, Welcome, options};
use crate::resource::Verb;

/// The reason that a client is told when a fresh token no longer allows a channel.
const NOT_ALLOWED: &str = "forbidden";

impl Session {
    /// The first step: the handshake's grant, if any, and the welcome.
    pub(super) fn begin(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.arm_token(now);
        let Some(grant) = &self.grant else {
            return self.welcome(&[], out);
        };
        if self.shared.revocations.refuses(grant) {
            return self.close(CloseCode::Revoked, out);
        }
        let targets = self.token_targets();
        if targets.is_empty() {
            self.welcome(&[], out);
            return self.bind_token(out);
        }
        let requests = self.requests(&targets);
        self.perform(Pending::Opening(targets), Operation::Join(requests), out);
    }

    /// The token's channels are joined, as far as they could be.
    pub(super) fn opened(
        &mut self,
        targets: &[Target],
        results: Vec<Result<Joined, ErrorCode>>,
        out: &mut Vec<Effect>,
    ) {
        let pages = self.absorb(targets, results);
        if self.stage == Stage::Opening {
            let channels = self.token_channels();
            self.welcome(&channels, out);
            return self.bind_token(out);
        }
        // The welcome had to be said early, so the client hears of each channel by itself.
        for (target, page) in targets.iter().zip(&pages) {
            if let Ok(page) = page {
                let name = Name {
                    spelling: target.spelling,
                    text: target.channel.as_str(),
                };
                self.send(
                    &Event::Subscribed {
                        name,
                        position: page.position.as_ref(),
                    },
                    out,
                );
            }
        }
        self.bind_token(out);
    }

    /// Sees that the welcome is the first frame, whatever the server has to say meanwhile.
    pub(super) fn greet(&mut self, out: &mut Vec<Effect>) {
        if self.stage == Stage::Opening {
            self.welcome(&[], out);
        }
    }

    pub(super) fn welcome(&mut self, channels: &[ChannelName], out: &mut Vec<Effect>) {
        if self.stage != Stage::Opening {
            return;
        }
        self.stage = Stage::Open;
        let grant = self.grant.as_deref();
        let welcome = Welcome {
            session: self.id,
            protocol: self.encoding,
            ping_interval: self.shared.settings.load().ping_interval,
            version: env!("CARGO_PKG_VERSION"),
            subject: grant.and_then(|grant| grant.subject.as_deref()),
            expires: grant.map(|grant| grant.expires_at),
            channels,
        };
        self.send(&Event::Welcome(welcome), out);
    }

    /// `auth`
    pub(super) fn authenticate(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let token = options::token(command.data).map_err(Refusal::fault)?;
        let operation = Operation::Authenticate(token.into());
        self.perform(Pending::Authenticate(ticket.keep()), operation, out);
        Ok(())
    }

    /// The token of `auth` has been checked.
    pub(super) fn authenticated(
        &mut self,
        ticket: Ticket<'static>,
        result: Result<Grant, NoGrant>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let adopted = result
            .map_err(|no| Refusal {
                retry_after: no.retry_after,
                ..Refusal::of(no.code)
            })
            .and_then(|grant| self.adopt(grant));
        if let Err(refusal) = adopted {
            return self.refuse(&ticket, &refusal, out);
        }
        self.arm_token(now);
        self.drop_disallowed(out);
        self.recheck(out);
        let targets = self.token_targets();
        if targets.is_empty() {
            self.reply_authenticated(&ticket, out);
            return self.bind_token(out);
        }
        let requests = self.requests(&targets);
        self.perform(
            Pending::Refresh(ticket, targets),
            Operation::Join(requests),
            out,
        );
    }

    /// The fresh token's channels are joined, as far as they could be.
    pub(super) fn refreshed(
        &mut self,
        ticket: &Ticket<'_>,
        targets: &[Target],
        results: Vec<Result<Joined, ErrorCode>>,
        out: &mut Vec<Effect>,
    ) {
        self.absorb(targets, results);
        self.reply_authenticated(ticket, out);
        self.bind_token(out);
    }

    /// Puts `grant` in force, unless it is another subject's or revoked: then all stays as it was.
    fn adopt(&mut self, grant: Grant) -> Result<(), Refusal> {
        if self
            .grant
            .as_ref()
            .is_some_and(|live| live.subject != grant.subject)
        {
            return Err(Refusal::new(
                ErrorCode::Forbidden,
                "The token is for another subject; open another session for it.",
            ));
        }
        // In force first, then checked: a revocation that is not seen here will find it.
        let before = self.grant.replace(Arc::new(grant));
        if self
            .grant
            .as_ref()
            .is_some_and(|grant| self.shared.revocations.refuses(grant))
        {
            self.grant = before;
            return Err(Refusal::of(ErrorCode::TokenRevoked));
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(())
    }

    fn reply_authenticated(&self, ticket: &Ticket<'_>, out: &mut Vec<Effect>) {
        let Some(grant) = self.grant.as_deref() else {
            return;
        };
        let reply = Reply::Authenticated {
            expires: grant.expires_at,
            session: self.id,
            subject: grant.subject.as_deref(),
            channels: &self.token_channels(),
        };
        self.reply(ticket, reply, out);
    }

    /// Leaves the channels that neither the server nor the token in force allows.
    fn drop_disallowed(&mut self, out: &mut Vec<Effect>) {
        let listed: BTreeSet<_> = self.token_list().collect();
        let dropped: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|(channel, subscription)| {
                !subscription.by_server
                    && !subscription.covered
                    && !self.may_stay(channel.as_str(), listed.contains(channel.as_str()))
            })
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in dropped {
            self.remove(channel.as_str(), NOT_ALLOWED, out);
        }
    }

    /// Whether the rule, the token's list or its capabilities allow the session on `channel`.
    fn may_stay(&self, channel: &str, listed: bool) -> bool {
        let rules = self.shared.rules.load();
        let rule = rules.of(channel);
        listed && rule.subscribe != Access::Nobody
            || auth::may(Op::Subscribe, channel, rule, self.grant.as_deref())
    }

    fn token_list(&self) -> impl Iterator<Item = &str> {
        self.grant
            .iter()
            .flat_map(|grant| &grant.channels)
            .map(ChannelName::as_str)
    }

    /// The token's channels that the session is on, in the token's order.
    fn token_channels(&self) -> Vec<ChannelName> {
        let mut seen = BTreeSet::new();
        let channels = self.grant.iter().flat_map(|grant| &grant.channels);
        channels
            .map(|channel| self.canonical(channel.as_str()).unwrap_or(channel.clone()))
            .filter(|channel| {
                self.subscriptions.contains(channel.as_str()) && seen.insert(channel.clone())
            })
            .collect()
    }

    /// Binds to what of the token's channels endpoints cover; `pogo:subscribed` follows for each.
    fn bind_token(&mut self, out: &mut Vec<Effect>) {
        let Some(grant) = self.grant.clone() else {
            return;
        };
        for channel in &grant.channels {
            let Some(uri) = self.canonical(channel.as_str()) else {
                continue;
            };
            let there = self.subscriptions.contains(uri.as_str());
            if !there && self.check_bind(Some(&uri)).is_ok() {
                let wish = Wish::own(Verb::Bind, (uri, Spelling::Uri), Purpose::Token);
                self.call(wish, out);
            }
        }
    }

    /// The token's channels that the session is not on yet, as far as rules and limit allow. To
    /// be on the list is right enough, but no list opens what is open to nobody.
    fn token_targets(&self) -> Vec<Target> {
        let Some(grant) = &self.grant else {
            return Vec::new();
        };
        let room = self.room();
        let mut seen = BTreeSet::new();
        grant
            .channels
            .iter()
            .filter(|channel| {
                !self.subscriptions.contains(channel.as_str())
                    && !self.shared.is_covered(channel.as_str())
                    && self.may_stay(channel.as_str(), true)
                    && seen.insert(channel.as_str())
            })
            .take(room)
            .map(|channel| {
                self.target(
                    channel.clone(),
                    super::server::spelling(channel),
                    Wanted::default(),
                )
            })
            .collect()
    }
}
