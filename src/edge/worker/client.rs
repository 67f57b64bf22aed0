//! One connection of a worker: its socket, its unfinished frame, its mailbox and its session.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use super::mailbox::{Bounds, Entry, Mailbox};
use super::operations::{Joining, Kind};
use super::transport::Transport;
use crate::channel::{ChannelName, SlowPolicy};
use crate::hub::SessionAction;
use crate::limits::ConnectionPermit;
use crate::protocol::frame::FrameReader;
use crate::protocol::{Encoding, Spelling, Wire};
use crate::publication::{Epoch, Form, Publication};
use crate::session::{Session, Slot};

/// A connection. It keeps its key in the worker until it is gone and no operation is under way.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) reader: FrameReader,
    pub(super) mailbox: Mailbox,
    /// The session, until it is closed.
    pub(super) session: Option<Session>,
    /// What the session waits for.
    pub(super) operation: Option<Box<InFlight>>,
    pub(super) phase: Phase,
    pub(super) encoding: Encoding,
    /// It negotiated permessage-deflate.
    pub(super) deflate: bool,
    /// It is told how many subscribers its channels have.
    pub(super) counts: bool,
    pub(super) address: IpAddr,
    /// The live entry in the worker's timers.
    pub(super) armed: Option<Instant>,
    /// When a drain closes it.
    pub(super) drain_at: Option<Instant>,
    /// In the worker's list of mailboxes to flush.
    pub(super) dirty: bool,
    /// The socket takes no more until it says that it is writable.
    pub(super) blocked: bool,
    /// There may be more to read, without a further event.
    pub(super) unread: bool,
    /// The peer has said that it sends no more; something may be left to read.
    pub(super) hung_up: bool,
    /// Nothing is left to read and nothing will come.
    pub(super) ended: bool,
    /// Held for its drop: it gives the address's slot back.
    pub(super) _permit: ConnectionPermit,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has a session.
    Open,
    /// The close frame is on its way; at the instant it is cut.
    Closing(Instant),
    /// All is written; the peer may close until the instant.
    Lingering(Instant),
    /// It is gone, but an operation is still under way.
    Gone,
}

/// An operation that was not ready at once. Meanwhile the session is fed nothing.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) kind: Kind,
    pub(super) joining: Vec<Joining>,
    /// Pushes that wait behind the reply.
    pub(super) held: VecDeque<Held>,
    pub(super) held_bytes: usize,
    /// Pushes that found no room there; at most one entry a subscription.
    pub(super) lost: Vec<Lost>,
    /// What the session is still told of subscriptions that it is off already.
    pub(super) ended: Vec<Ended>,
    /// Channels that it is off before their joins have begun or ended.
    pub(super) refused: Box<[ChannelName]>,
    /// What the server wants of the session, once it is free.
    pub(super) deferred: VecDeque<SessionAction>,
    /// Bytes that were read before the operation began.
    pub(super) backlog: Vec<u8>,
}

/// A push that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) slot: Slot,
    pub(super) epoch: Option<Epoch>,
    /// Of a push that tells of presence; 0 elsewhere.
    pub(super) revision: u64,
    pub(super) entry: Entry,
}

/// The rest of a subscription: what came before its end, and the notice of it. No more of them than
/// the session could be on channels.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) channel: ChannelName,
    pub(super) slow: SlowPolicy,
    /// With the epoch of those that have one.
    pub(super) rest: Vec<(Entry, Option<Epoch>)>,
}

/// Pushes of one subscription that were dropped while they waited.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) slot: Slot,
    pub(super) subscription: u64,
    pub(super) epoch: Option<Epoch>,
    /// The sequence of the first and of the last; 0 where there is none.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl InFlight {
    pub(super) fn new(kind: Kind, joining: Vec<Joining>) -> Self {
        Self {
            kind,
            joining,
            held: VecDeque::new(),
            held_bytes: 0,
            lost: Vec::new(),
            ended: Vec::new(),
            refused: Box::default(),
            deferred: VecDeque::new(),
            backlog: Vec::new(),
        }
    }

    /// Takes over what waited behind another that this one follows at once.
    pub(super) fn go_on_from(&mut self, waited: Self) {
        self.held = waited.held;
        self.held_bytes = waited.held_bytes;
        self.lost = waited.lost;
        self.ended = waited.ended;
        self.refused = waited.refused;
        self.deferred = waited.deferred;
        self.backlog = waited.backlog;
    }

    /// Whether one more push of `cost` stays within `bounds`.
    pub(super) fn has_room(&self, cost: usize, bounds: Bounds) -> bool {
        self.held_bytes + cost <= bounds.bytes && self.held.len() < bounds.entries
    }

    /// Drops pushes whose ttl has passed and returns how many that were.
    pub(super) fn drop_expired(&mut self, now: Instant) -> u64 {
        let before = self.held.len();
        self.held.retain(|held| !held.entry.is_expired(now));
        let ended: usize = self.ended.iter().map(Ended::cost).sum();
        let costs = self.held.iter().map(|held| held.entry.cost());
        self.held_bytes = ended + costs.sum::<usize>();
        (before - self.held.len()) as u64
    }

    /// Remembers that `held` is dropped.
    pub(super) fn lose(&mut self, held: &Held) {
        let Some((subscription, sequence)) = held.entry.kind.place() else {
            return;
        };
        let known = self
            .lost
            .iter_mut()
            .find(|lost| lost.subscription == subscription);
        match known {
            Some(lost) => {
                lost.last = lost.last.max(sequence);
                if lost.first == 0 {
                    lost.first = sequence;
                    lost.epoch.clone_from(&held.epoch);
                }
            }
            None => self.lost.push(Lost {
                slot: held.slot,
                subscription,
                epoch: held.epoch.clone(),
                first: sequence,
                last: sequence,
            }),
        }
    }
}

impl Ended {
    /// What it takes of what may wait.
    pub(super) fn cost(&self) -> usize {
        self.rest.iter().map(|(entry, _)| entry.cost()).sum()
    }
}

impl Client {
    /// A connection whose session is still to begin.
    pub(super) fn new(
        transport: Transport,
        reader: FrameReader,
        (encoding, deflate, address): (Encoding, bool, IpAddr),
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            transport,
            reader,
            mailbox: Mailbox::default(),
            session: None,
            operation: None,
            phase: Phase::Open,
            encoding,
            deflate,
            counts: false,
            address,
            armed: None,
            drain_at: None,
            dirty: false,
            blocked: false,
            unread: false,
            hung_up: false,
            ended: false,
            _permit: permit,
        }
    }

    /// How publications go to it where the channel was named in `spelling`.
    pub(super) const fn wire(&self, spelling: Spelling) -> Wire {
        Wire {
            encoding: self.encoding,
            spelling,
            deflate: self.deflate,
        }
    }

    /// Whether `publication` is for it: it does not leave its session out, and tells of something
    /// that it wants.
    pub(super) fn may_have(&self, publication: &Publication) -> bool {
        let is_us = |id| self.session.as_ref().map(Session::id) == Some(id);
        let wanted = publication.form != Form::Count || self.counts;
        wanted && !publication.exclude.is_some_and(is_us)
    }

    /// When the worker must look at it again, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closing(until) | Phase::Lingering(until) => Some(until),
            Phase::Gone => None,
            Phase::Open => {
                // While the session is busy nothing is read: what is unfinished then is not the
                // peer's fault.
                let reader = self.reader.deadline().filter(|_| self.operation.is_none());
                let session = self.session.as_ref().map(Session::deadline);
                [session, reader, self.drain_at].into_iter().flatten().min()
            }
        }
    }

    /// Bytes that wait for the socket or behind an operation.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.mailbox.bytes()
            + self
                .operation
                .as_ref()
                .map_or(0, |operation| operation.held_bytes)
    }
}
