//! What a session remembers while an operation is under way, and the tickets that see to it that
//! a command is counted and answered once.

use super::calls::Asked;
use super::refusal::Refusal;
use super::replay::{Since, Wanted};
use super::{Effect, Session};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::{Event, Failure, Reply, RequestId, Spelling};
use crate::resource::Answer;

/// What the operation under way is for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Channels of the handshake's token, joined before the welcome.
    Opening(Vec<Target>),
    /// A channel that the server subscribes the session to.
    ServerSubscribe(Target),
    /// `auth`, its token being checked.
    Authenticate(Ticket<'static>),
    /// `auth`, its token's channels being joined.
    Refresh(Ticket<'static>, Vec<Target>),
    /// `channel:subscribe` or `bind`; with a list, one entry for each name that was given.
    Subscribe(Ticket<'static>, Vec<Target>, Option<List>),
    /// `channel:subscribe` with a list of which the gateway is asked first.
    Gather(Box<Gather>),
    /// A client's publication.
    Publish(Ticket<'static>),
    /// `channel:presence`.
    Presence(Ticket<'static>),
    /// `channel:history`.
    History(Ticket<'static>),
}

/// A command that is still to be answered.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    /// Without one it is only counted.
    pub(super) id: Option<RequestId<'a>>,
    /// The metric's label.
    pub(super) event: &'static str,
}

/// A channel being joined.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) channel: ChannelName,
    pub(super) spelling: Spelling,
    /// Whether presence will show the session.
    pub(super) present: bool,
    /// Whether the server decided it.
    pub(super) by_server: bool,
    /// Whether the session was on it already.
    pub(super) renewed: bool,
    pub(super) wanted: Wanted,
}

/// One name of a list and what it became.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it was sent.
    pub(super) channel: Box<str>,
    pub(super) target: Result<At, Refusal>,
}

/// Where an entry is dealt with.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    /// An index of the targets.
    Joined(usize),
    /// An index of the calls.
    Bound(usize),
}

/// A list of names.
#[derive(Debug)]
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    /// The calls, as far as they have been answered.
    pub(super) bound: Vec<Option<(Asked, Answer)>>,
}

/// A list whose calls are under way; what is joined waits for them.
#[derive(Debug)]
pub(super) struct Gather {
    pub(super) ticket: Ticket<'static>,
    pub(super) targets: Vec<Target>,
    pub(super) list: List,
    /// How many calls are still to be answered.
    pub(super) left: usize,
}

impl Ticket<'_> {
    /// A copy that outlives the message.
    pub(super) fn keep(&self) -> Ticket<'static> {
        Ticket {
            id: self.id.clone().map(RequestId::into_owned),
            event: self.event,
        }
    }
}

impl Pending {
    /// The channels being joined.
    pub(super) fn targets(&self) -> &[Target] {
        match self {
            Self::Opening(targets) | Self::Refresh(_, targets) | Self::Subscribe(_, targets, _) => {
                targets
            }
            Self::ServerSubscribe(target) => std::slice::from_ref(target),
            Self::Authenticate(_)
            | Self::Gather(_)
            | Self::Publish(_)
            | Self::Presence(_)
            | Self::History(_) => &[],
        }
    }
}

impl Wanted {
    /// What was asked, bounded. A recovery makes a rewind needless.
    pub(super) fn new(since: Option<Since>, rewind: usize) -> Self {
        let rewind = if since.is_some() {
            0
        } else {
            rewind.min(super::replay::MAX_PUBLICATIONS)
        };
        Self { since, rewind }
    }
}

impl Refusal {
    pub(super) fn failure(&self) -> Failure<'_> {
        Failure {
            retry_after: self.retry_after,
            ..Failure::new(self.code, &self.message)
        }
    }
}

impl Session {
    /// Counts a command and, where it has an id, answers it.
    pub(super) fn reply(&self, ticket: &Ticket<'_>, reply: Reply<'_>, out: &mut Vec<Effect>) {
        let error = match &reply {
            Reply::Error(failure) => Some(failure.code),
            _ => None,
        };
        self.shared.metrics.count_command(ticket.event, error);
        if let Some(id) = &ticket.id {
            self.send(&Event::Reply { id, reply }, out);
        }
    }

    pub(super) fn refuse(&self, ticket: &Ticket<'_>, refusal: &Refusal, out: &mut Vec<Effect>) {
        self.reply(ticket, Reply::Error(refusal.failure()), out);
    }

    /// An outcome that does not belong to what is under way: the worker's mistake, not the
    /// client's, who still gets an answer.
    pub(super) fn astray(&mut self, pending: Pending, out: &mut Vec<Effect>) {
        let refusal = Refusal::of(ErrorCode::Internal);
        match pending {
            Pending::Opening(_) => self.welcome(&[], out),
            Pending::ServerSubscribe(_) => {}
            Pending::Gather(gather) => self.refuse(&gather.ticket, &refusal, out),
            Pending::Authenticate(ticket)
            | Pending::Refresh(ticket, _)
            | Pending::Subscribe(ticket, ..)
            | Pending::Publish(ticket)
            | Pending::Presence(ticket)
            | Pending::History(ticket) => self.refuse(&ticket, &refusal, out),
        }
    }
}
