//! A client's publications, and what it may read of a channel: presence and history.

use bytes::Bytes;

use super::commands::channel;
use super::pending::{Pending, Ticket};
use super::refusal::Refusal;
use super::replay::{self, MAX_PUBLICATIONS};
use super::{Effect, Operation, Session};
use crate::auth::{self, Op};
use crate::broker::{Accepted, HistoryPage, HistoryQuery, Members, Retained};
use crate::channel::{Access, ChannelName, ChannelRule, check_event};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::{Command, Member, Past, Reply, options};
use crate::publication::{Form, MAX_DATA_BYTES, Position};

/// What a row of presence costs beyond its subject and info.
const ROW_BYTES: usize = 96;

impl Session {
    /// Any event that is not in the table, on a channel or uri.
    pub(super) fn publish(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let event = command.event.as_ref();
        check_event(event).map_err(|error| {
            Refusal::bad_request(format!("The event cannot be published: {error}."))
        })?;
        let channel = channel(command)?;
        self.check_uncovered(&channel)?;
        let echo = options::echo(command.options).map_err(Refusal::fault)?;
        self.check(Op::Publish, &channel)?;
        let data = command.data.map_or("null", |raw| raw.get());
        if data.len() > MAX_DATA_BYTES {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                format!(
                    "The data is over {MAX_DATA_BYTES} bytes; send less, or a reference to it."
                ),
            ));
        }
        let data = Bytes::copy_from_slice(data.as_bytes());
        let operation = Operation::Publish {
            channel,
            event: event.into(),
            data,
            form: Form::Json,
            user: None,
            echo,
        };
        self.perform(Pending::Publish(ticket.keep()), operation, out);
        Ok(())
    }

    pub(super) fn published(
        &self,
        ticket: &Ticket<'_>,
        result: Result<Accepted, ErrorCode>,
        out: &mut Vec<Effect>,
    ) {
        match result {
            Ok(accepted) => self.reply(ticket, Reply::Published(accepted.position.as_ref()), out),
            Err(code) => self.refuse(ticket, &Refusal::of(code), out),
        }
    }

    /// `channel:presence`
    pub(super) fn presence(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let channel = channel(command)?;
        if self.resource(channel.as_str())?.is_some() {
            return Err(Refusal::bad_request(
                "An endpoint covers this uri, so it keeps no presence; use a channel beside it.",
            ));
        }
        self.check(Op::Presence, &channel)?;
        if !self.shared.rules.load().of(channel.as_str()).presence {
            return Err(Refusal::bad_request(
                "This channel keeps no presence; set `presence = true` in its `[[channel]]` rule.",
            ));
        }
        self.perform(
            Pending::Presence(ticket.keep()),
            Operation::Presence(channel),
            out,
        );
        Ok(())
    }

    /// Rows as far as they fit into half a mailbox; `total` counts all members.
    pub(super) fn listed(
        &self,
        ticket: &Ticket<'_>,
        result: Result<Members, ErrorCode>,
        out: &mut Vec<Effect>,
    ) {
        let members = match result {
            Ok(members) => members,
            Err(code) => return self.refuse(ticket, &Refusal::of(code), out),
        };
        let mut budget = self.reply_budget();
        let rows: Vec<_> = members
            .rows
            .iter()
            .map(|row| Member {
                subject: &row.subject,
                session: row.session,
                info: row.info.as_deref(),
            })
            .take_while(|row| {
                let cost =
                    row.subject.len() + row.info.map_or(0, |info| info.get().len()) + ROW_BYTES;
                let fits = cost <= budget;
                budget = budget.saturating_sub(cost);
                fits
            })
            .collect();
        self.reply(
            ticket,
            Reply::Presence {
                members: &rows,
                total: members.total,
            },
            out,
        );
    }

    /// `channel:history`
    pub(super) fn history(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let channel = channel(command)?;
        self.check_uncovered(&channel)?;
        let asked = options::History::parse(command.options).map_err(Refusal::fault)?;
        self.check(Op::History, &channel)?;
        if self
            .shared
            .rules
            .load()
            .of(channel.as_str())
            .history
            .is_none()
        {
            return Err(Refusal::bad_request(
                "This channel keeps no history; set `history` in its `[[channel]]` rule.",
            ));
        }
        let from = asked.from.map(|from| Position {
            epoch: from.epoch.into(),
            offset: from.offset,
        });
        let limit = asked.limit.min(MAX_PUBLICATIONS);
        let query = HistoryQuery {
            from,
            limit,
            reverse: asked.reverse,
        };
        self.perform(
            Pending::History(ticket.keep()),
            Operation::History(channel, query),
            out,
        );
        Ok(())
    }

    /// Publications as far as they fit into half a mailbox; the reader goes on from the last.
    pub(super) fn read(
        &self,
        ticket: &Ticket<'_>,
        result: Result<HistoryPage, ErrorCode>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let page = match result {
            Ok(page) => page,
            Err(code) => return self.refuse(ticket, &Refusal::of(code), out),
        };
        let (publications, expired) = replay::history(&page, self.reply_budget(), now);
        self.shared.metrics.expired_publications.inc_by(expired);
        let publications = past(&publications);
        let reply = Reply::History {
            position: page.position.as_ref(),
            publications: &publications,
        };
        self.reply(ticket, reply, out);
    }

    /// Whether rule and token allow `op`. A session that is on the channel, by whatever way, may
    /// read it.
    pub(super) fn check(&self, op: Op, channel: &ChannelName) -> Result<(), Refusal> {
        let name = channel.as_str();
        let rules = self.shared.rules.load();
        let rule = rules.of(name);
        let there = op != Op::Publish && self.subscriptions.contains(name);
        if there || auth::may(op, name, rule, self.grant.as_deref()) {
            return Ok(());
        }
        if access(op, rule) == Access::Nobody {
            return Err(Refusal::closed(op));
        }
        Err(Refusal::denied(op, self.grant.is_none()))
    }

    /// Most bytes that one reply may bring of a channel's past or presence.
    pub(super) fn reply_budget(&self) -> usize {
        self.shared.settings.load().mailbox_bytes / 2
    }
}

/// What `rule` asks for `op`.
fn access(op: Op, rule: &ChannelRule) -> Access {
    if op == Op::Publish {
        rule.publish
    } else {
        rule.subscribe
    }
}

/// Publications as a reply shows them.
pub(super) fn past<'p>(publications: &[&'p Retained]) -> Vec<Past<'p>> {
    publications
        .iter()
        .map(|retained| Past {
            event: &retained.event,
            item: None,
            data: &retained.data,
            offset: retained.offset,
            time: retained.time,
        })
        .collect()
}
