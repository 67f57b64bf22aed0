//! The replica itself: who is bound, what is known, what happens next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::pending::Pending;
use super::ring::Ring;
use super::state::State;
use super::words::{Attach, Event, Moment, Output, Settings};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::{Epoch, Position};
use crate::resource::{Answer, Caller, Failure, Origin};
use crate::session_id::SessionId;

/// A session that is bound, or about to be.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) origin: Origin,
    pub(super) caller: Arc<Caller>,
    /// It has had its answer: pushes may follow.
    pub(super) answered: bool,
    /// Its access is being checked: it is given nothing. From which push on, and the position
    /// before it.
    pub(super) held: Option<(u64, Option<Position>)>,
    /// The check that says whether it may stay: the latest.
    pub(super) check: u64,
    /// The resource went while it was held.
    pub(super) ended: bool,
    /// Its worker was told that the node was joined for it.
    pub(super) joined: bool,
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) attach: Attach,
    /// When it came.
    pub(super) came: Instant,
    /// The generation then.
    pub(super) generation: u64,
    /// The first ticket that can be of a fetch made for it.
    pub(super) ticket: u64,
    /// How many of them have come back while events came in.
    pub(super) fetches: u32,
}

/// A fetch that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: u64,
    /// With whose credentials.
    pub(super) session: SessionId,
    /// Which of its tokens.
    pub(super) turn: u32,
    /// The last offset that was known when it began, which its answer covers.
    pub(super) covers: u64,
    pub(super) generation: u64,
    /// What had happened until then.
    pub(super) pending: Option<Pending>,
    /// An event has brought a newer state meanwhile.
    pub(super) overtaken: bool,
}

/// The state of one canonical uri for one audience.
///
/// Invariants: at most one fetch is under way; every attach is answered exactly once, and nothing
/// is pushed to a session before; a version never follows a higher one; everything that was pushed
/// is in the ring or the ring says that it is not.
pub struct Replica {
    pub(super) uri: ChannelName,
    pub(super) settings: Settings,
    pub(super) epoch: Option<Epoch>,
    /// The last event's offset.
    pub(super) seen: u64,
    /// The offset that stands for everything pushed so far.
    pub(super) as_of: u64,
    /// The highest offset that anyone was shown.
    pub(super) told: u64,
    pub(super) state: Option<State>,
    /// The upstream said that there is no such resource.
    pub(super) absent: bool,
    /// Something happened that the state does not hold.
    pub(super) pending: Option<Pending>,
    pub(super) flight: Option<Flight>,
    /// When to fetch again.
    pub(super) due: Option<Instant>,
    /// Joiners wait for `due` too.
    pub(super) settling: bool,
    /// The next fetch asks the upstream.
    pub(super) force: bool,
    /// When to ask although nothing was told.
    pub(super) poll: Option<Instant>,
    pub(super) last_fetch: Option<Instant>,
    /// Fetches that failed in a row.
    pub(super) failures: u32,
    /// Fetches in a row that brought an older version, or that an event overtook.
    pub(super) settles: u32,
    pub(super) subscribers: BTreeMap<SessionId, Subscriber>,
    pub(super) held: usize,
    pub(super) joins: Vec<Join>,
    pub(super) ring: Ring,
    pub(super) ticket: u64,
    /// Since when nobody is bound.
    pub(super) empty: Option<Instant>,
    /// Events that a fetch answers for along with others.
    pub(super) coalesced: u64,
    pub(super) out: Vec<Output>,
}

impl Replica {
    /// A replica that nobody is bound to yet.
    pub fn new(uri: ChannelName, settings: Settings, now: Moment) -> Self {
        Self {
            uri,
            settings,
            epoch: None,
            seen: 0,
            as_of: 0,
            told: 0,
            state: None,
            absent: false,
            pending: None,
            flight: None,
            due: None,
            settling: false,
            force: false,
            poll: None,
            last_fetch: None,
            failures: 0,
            settles: 0,
            subscribers: BTreeMap::new(),
            held: 0,
            joins: Vec::new(),
            ring: Ring::new(0),
            ticket: 0,
            empty: Some(now.at),
            coalesced: 0,
            out: Vec::new(),
        }
    }

    /// What is to be done, in this order. Taken after each input.
    pub fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// A session that may be bound wants to be.
    pub fn attach(&mut self, attach: Attach, now: Moment) {
        if let Some(position) = &attach.position {
            self.arrive(position, now);
        }
        self.empty = None;
        if self.poll.is_none() {
            self.schedule_poll(now);
        }
        let origin = attach.origin;
        let subscriber = self.subscribers.entry(origin.session);
        let subscriber = subscriber.or_insert_with(|| Subscriber {
            origin,
            caller: Arc::clone(&attach.caller),
            answered: false,
            held: None,
            check: 0,
            ended: false,
            joined: false,
        });
        subscriber.origin = origin;
        // A call made on an older token than it is known by does not bring that one back.
        if attach.caller.turn >= subscriber.caller.turn {
            subscriber.caller = Arc::clone(&attach.caller);
        }
        self.joins.push(Join {
            attach,
            came: now.at,
            generation: now.generation,
            ticket: self.ticket,
            fetches: 0,
        });
        self.settle(now);
    }

    /// The session has left.
    pub fn detach(&mut self, session: SessionId, now: Moment) {
        self.drop_subscriber(session, now);
        let left = failure(ErrorCode::NotSubscribed, "unbound while it was loading");
        self.refuse(&left, now, |join| join.attach.origin.session == session);
        self.settle(now);
    }

    /// An event of the stream. They come in the order of their offsets.
    pub fn event(&mut self, event: &Event, now: Moment) {
        if !self.settings.realtime {
            return;
        }
        let mut hole = false;
        if let Some(position) = &event.position {
            if self.epoch.as_ref() != Some(&position.epoch) {
                self.enter_epoch(&position.epoch, position.offset.saturating_sub(1), now);
            }
            if position.offset <= self.seen {
                return;
            }
            hole = position.offset > self.seen + 1;
            self.seen = position.offset;
        }
        match &*event.name {
            "create" | "update" | "delete" => self.change(event, hole, now),
            _ => {
                if hole || !self.settings.shared {
                    self.mark(event.change.as_deref(), now);
                }
                if self.settings.shared {
                    self.pass(event, now);
                }
            }
        }
        self.settle(now);
    }

    /// Time has passed.
    pub fn deadline(&mut self, now: Moment) {
        self.ring.trim(&self.settings.bounds, now.at);
        let reached = |at: Option<Instant>| at.is_some_and(|at| at <= now.at);
        if self.flight.is_some() || self.spokesman().is_none() {
            return;
        }
        if reached(self.due) {
            self.dispatch(now);
        } else if reached(self.poll) && self.due.is_none() {
            self.force = true;
            self.dispatch(now);
        }
    }

    /// When [`Self::deadline`] is to be called next.
    pub fn wake(&self) -> Option<Instant> {
        if let Some(since) = self.empty {
            return Some(since + self.settings.bounds.ring_ttl);
        }
        if self.flight.is_some() || self.spokesman().is_none() {
            return None;
        }
        self.due.or(self.poll)
    }

    /// Whether nobody has been bound for so long that it can go.
    pub fn is_over(&self, now: Instant) -> bool {
        self.empty
            .is_some_and(|since| since + self.settings.bounds.ring_ttl <= now)
    }

    /// Whether nobody is bound, and nobody is about to be.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.joins.is_empty()
    }

    /// Sessions that are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Events since the last look that were answered for along with others.
    pub fn take_coalesced(&mut self) -> u64 {
        std::mem::take(&mut self.coalesced)
    }

    /// Whether this session is bound, or about to be.
    pub fn has(&self, session: SessionId) -> bool {
        self.subscribers.contains_key(&session)
    }

    /// Sessions that are bound, or about to be.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// The sessions that are bound or about to be, with what they showed last.
    pub fn sessions(&self) -> impl Iterator<Item = (Origin, &Arc<Caller>)> {
        self.subscribers
            .values()
            .map(|subscriber| (subscriber.origin, &subscriber.caller))
    }

    /// Where the stream stood when the node had joined it.
    pub(super) fn arrive(&mut self, position: &Position, now: Moment) {
        let known = self.epoch.as_ref() == Some(&position.epoch);
        if self.is_empty() && (!known || position.offset > self.seen) {
            // While nobody was bound, events may have passed by unseen.
            self.epoch = Some(Arc::clone(&position.epoch));
            self.seen = position.offset;
            self.as_of = position.offset;
            self.state = None;
            self.pending = None;
            self.flight = None;
            self.due = None;
            self.settling = false;
            // Where not every change is told, an offset alone says nothing.
            let floor = position.offset + u64::from(self.settings.revalidate.is_some());
            self.ring.cut(floor);
        } else if !known {
            self.enter_epoch(&position.epoch, position.offset, now);
        }
    }

    /// The broker counts anew: what it had counted says nothing any more.
    fn enter_epoch(&mut self, epoch: &Epoch, seen: u64, now: Moment) {
        let known = self.epoch.replace(Arc::clone(epoch)).is_some();
        self.seen = seen;
        if !known {
            self.as_of = seen;
            self.ring.cut(seen);
            return;
        }
        // Nobody knows what it stands for in the new count; `told` stays, since workers drop what
        // is not beyond what they were shown.
        self.as_of = 0;
        self.ring.cut(seen);
        if let Some(flight) = &mut self.flight {
            flight.covers = 0;
        }
        self.mark(None, now);
    }

    pub(super) fn position(&self, offset: u64) -> Option<Position> {
        let epoch = Arc::clone(self.epoch.as_ref()?);
        Some(Position { epoch, offset })
    }

    /// Removes a session that is told nothing (any more).
    pub(super) fn drop_subscriber(&mut self, session: SessionId, now: Moment) {
        if let Some(gone) = self.subscribers.remove(&session) {
            self.held -= usize::from(gone.held.is_some());
        }
        if self.subscribers.is_empty() && self.empty.is_none() {
            self.empty = Some(now.at);
        }
    }

    /// Answers the joins that `which` says with a failure. Who had no answer before is not bound.
    pub(super) fn refuse(&mut self, failure: &Failure, now: Moment, which: impl Fn(&Join) -> bool) {
        let mut refused = Vec::new();
        self.joins.retain(|join| {
            let hit = which(join);
            if hit {
                refused.push((join.attach.origin, join.attach.call, join.attach.fresh));
            }
            !hit
        });
        for (origin, call, fresh) in refused {
            let session = origin.session;
            let bound = self
                .subscribers
                .get(&session)
                .is_some_and(|one| one.answered);
            let waits = |join: &Join| join.attach.origin.session == session;
            if !bound && !self.joins.iter().any(waits) {
                self.drop_subscriber(session, now);
            }
            self.out.push(Output::Answer {
                origin,
                answer: Box::new(Answer {
                    call,
                    result: Err(failure.clone()),
                    bound: None,
                }),
            });
            if fresh {
                self.out.push(Output::Undo { origin });
            }
        }
    }
}

/// A failure of the gateway's own.
pub(super) fn failure(code: ErrorCode, message: &'static str) -> Failure {
    Failure {
        code,
        message: message.into(),
        retry_after: None,
        http: None,
        details: None,
        outcome_unknown: false,
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("uri", &self.uri)
            .field("subscribers", &self.subscribers.len())
            .finish_non_exhaustive()
    }
}
