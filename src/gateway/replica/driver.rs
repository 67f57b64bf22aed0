//! The replicas of this node: which there are, who is in which, and their clock.
//!
//! Invariants: everything that a replica wants done is done under its lock, in its order; no lock
//! is held over an await. Locks are taken shard first, replica second. A replica that somebody is
//! bound to is never let go; where there are too many, whoever is next is refused.

mod checks;
mod map;
#[cfg(test)]
mod tests;
mod time;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::carry::{After, Carrier};
use super::core::Replica;
use super::fetcher::{Fetcher, Resource};
use super::moving::Leaving;
use super::words::{Attach, Event, Fetched, Moment};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::hub::{Hub, Target, WorkerMessage};
use crate::publication::{Admission, Publication};
use crate::resource::{Answer, Caller, Origin};
use crate::session_id::SessionId;
use map::{Shards, Unplaced};

/// The replicas of this node. Cloning shares them.
#[derive(Clone)]
pub struct Replicas {
    all: Arc<All>,
}

/// Somebody who is bound.
#[derive(Debug, Clone)]
pub struct Bound {
    /// To what.
    pub resource: Arc<Resource>,
    /// Where.
    pub origin: Origin,
    /// What was shown last.
    pub caller: Arc<Caller>,
}

struct All {
    hub: Arc<Hub>,
    fetcher: Weak<dyn Fetcher>,
    runtime: Handle,
    shards: Shards,
    count: AtomicUsize,
    /// Checks of access so far.
    checks: AtomicU64,
    most: usize,
}

/// A replica and what it is of.
struct Slot {
    resource: Arc<Resource>,
    core: Mutex<Core>,
}

struct Core {
    replica: Replica,
    /// When its timer goes off.
    armed: Option<(Instant, AbortHandle)>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replicas {
    /// None yet, and never more than `most`. What they fetch goes through `fetcher`.
    pub fn new(hub: &Arc<Hub>, fetcher: Weak<dyn Fetcher>, runtime: &Handle, most: usize) -> Self {
        hub.metrics().set_bound("gateway.max_replicas", most);
        Self {
            all: Arc::new(All {
                hub: Arc::clone(hub),
                fetcher,
                runtime: runtime.clone(),
                shards: Shards::default(),
                count: AtomicUsize::new(0),
                checks: AtomicU64::new(0),
                most,
            }),
        }
    }

    /// Takes a session in that may be bound, and answers its call, now or later.
    ///
    /// # Errors
    /// The endpoint by whose rules it may is not in force any more: nothing was done.
    pub fn attach(&self, resource: &Arc<Resource>, attach: Attach) -> Result<(), Box<Attach>> {
        let all = &self.all;
        let (origin, call, fresh) = (attach.origin, attach.call, attach.fresh);
        let mut after = After::default();
        let placed = {
            let mut shard = all.shards.lock(&resource.stream);
            let seat = all.newer(&shard, resource, &attach);
            let placed = seat.map_or_else(|| all.place(&mut shard, resource), Ok);
            match &placed {
                Ok(slot) => {
                    if let Some(old) = shard.enter(origin.session, slot) {
                        all.move_over(&old, slot, origin.session);
                    }
                    after = all.input(slot, None, |replica, now| replica.attach(attach, now));
                }
                Err(Unplaced::Outdated) => return Err(Box::new(attach)),
                Err(Unplaced::Full) => {}
            }
            placed
        };
        if let Ok(slot) = placed {
            all.finish(&slot, after);
            return Ok(());
        }
        let message = "As many resources are followed as `gateway.max_replicas` allows.";
        let failure = super::core::failure(ErrorCode::Unavailable, message);
        let answer = Box::new(Answer {
            call,
            result: Err(failure),
            bound: None,
        });
        let (connection, session) = (origin.connection, origin.session);
        let target = Target {
            connection,
            session,
        };
        let message = WorkerMessage::Answer { target, answer };
        all.hub.post(origin.worker, message);
        if fresh && let Some(fetcher) = all.fetcher.upgrade() {
            fetcher.undo(resource, origin);
        }
        Ok(())
    }

    /// An event of a stream, for every uri and audience of it: how many sessions are bound there.
    pub fn event(&self, publication: Publication, admission: Option<Admission>) -> usize {
        let slots = self
            .all
            .shards
            .lock(&publication.channel)
            .of(&publication.channel);
        if slots.is_empty() {
            return 0;
        }
        let event = Event::of(publication);
        let mut admission = admission;
        let mut sessions = 0;
        for slot in slots {
            let after = self.all.input(&slot, Some(&mut admission), |replica, now| {
                sessions += replica.len();
                replica.event(&event, now);
            });
            self.all.finish(&slot, after);
        }
        sessions
    }

    /// Something may have happened to a stream that no event tells of.
    pub fn stir(&self, stream: &ChannelName) {
        let slots = self.all.shards.lock(stream).of(stream);
        for slot in slots {
            self.all.run(&slot, |replica, now| replica.stir(now));
        }
    }

    /// The session is no longer bound to `uri`, or has gone.
    pub fn detach(&self, session: SessionId, uri: &ChannelName) {
        let slot = self.all.shards.lock(&stream(uri)).exit(session, uri);
        if let Some(slot) = slot {
            self.all
                .run(&slot, |replica, now| replica.detach(session, now));
        }
    }

    /// Those who are bound to uris, of those that `which` says.
    pub fn bound(&self, which: impl Fn(&ChannelName, &Caller) -> bool) -> Vec<Bound> {
        let mut bound = Vec::new();
        self.all.shards.each(|slots| {
            for slot in slots {
                slot.list(&mut bound, &which);
            }
        });
        bound
    }

    /// Those who are bound to a uri of this stream.
    pub fn bound_to(&self, stream: &ChannelName) -> Vec<Bound> {
        let slots = self.all.shards.lock(stream).of(stream);
        let mut bound = Vec::new();
        for slot in slots {
            slot.list(&mut bound, &|_, _| true);
        }
        bound
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slot {
    fn list(&self, bound: &mut Vec<Bound>, which: &impl Fn(&ChannelName, &Caller) -> bool) {
        let core = self.lock();
        for (origin, caller) in core.replica.sessions() {
            if which(&self.resource.uri, caller) {
                bound.push(Bound {
                    resource: Arc::clone(&self.resource),
                    origin,
                    caller: Arc::clone(caller),
                });
            }
        }
    }
}

impl All {
    /// Gives a replica an input and does what it wants done, but for what needs no lock.
    fn input(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        admission: Option<&mut Option<Admission>>,
        input: impl FnOnce(&mut Replica, Moment),
    ) -> After {
        let mut core = slot.lock();
        let now = self.moment(&slot.resource);
        let before = (core.replica.len(), core.replica.held());
        input(&mut core.replica, now);
        let mut after = After::default();
        let mut none = None;
        let mut carrier = Carrier {
            hub: &self.hub,
            uri: &slot.resource.uri,
            now,
            admission: admission.unwrap_or(&mut none),
        };
        carrier.carry(core.replica.outputs(), &mut after);
        let counts = &self.hub.metrics().gateway;
        counts.bound.inc_by(signed(core.replica.len(), before.0));
        counts.held.inc_by(signed(core.replica.held(), before.1));
        counts.coalesced.inc_by(core.replica.take_coalesced());
        self.arm(slot, &mut core);
        after
    }

    /// Begins fetches. What is there at once is taken at once.
    fn finish(self: &Arc<Self>, slot: &Arc<Slot>, after: After) {
        let mut rest = vec![after];
        while let Some(After {
            fetches,
            undo,
            refused,
        }) = rest.pop()
        {
            for session in refused {
                let mut shard = self.shards.lock(&slot.resource.stream);
                if !slot.lock().replica.has(session) {
                    shard.forget(session, slot);
                }
            }
            let fetcher = self.fetcher.upgrade().filter(|_| !undo.is_empty());
            for origin in undo {
                if let Some(fetcher) = &fetcher {
                    fetcher.undo(&slot.resource, origin);
                }
            }
            for begin in fetches {
                let ticket = begin.ticket;
                if let Some(fetched) = self.begin(slot, begin) {
                    rest.push(self.input(slot, None, |replica, now| {
                        replica.fetched(ticket, fetched, now);
                    }));
                }
            }
        }
    }

    fn run(self: &Arc<Self>, slot: &Arc<Slot>, input: impl FnOnce(&mut Replica, Moment)) {
        let after = self.input(slot, None, input);
        self.finish(slot, after);
    }

    fn fetched(self: &Arc<Self>, slot: &Arc<Slot>, ticket: u64, fetched: Fetched) {
        self.run(slot, |replica, now| replica.fetched(ticket, fetched, now));
    }

    /// A session goes from one replica to another, with what it waits for.
    fn move_over(self: &Arc<Self>, old: &Arc<Slot>, new: &Arc<Slot>, session: SessionId) {
        let mut leaving: Option<Leaving> = None;
        self.later(old, |replica, now| leaving = replica.release(session, now));
        if let Some(leaving) = leaving {
            self.later(new, |replica, now| replica.take_in(leaving, now));
        }
    }

    /// As [`Self::run`] where a shard is locked: fetches are begun from the runtime.
    fn later(self: &Arc<Self>, slot: &Arc<Slot>, input: impl FnOnce(&mut Replica, Moment)) {
        let after = self.input(slot, None, input);
        if after.is_empty() {
            return;
        }
        let (all, slot) = (Arc::clone(self), Arc::clone(slot));
        self.runtime.spawn(async move { all.finish(&slot, after) });
    }
}

fn signed(now: usize, before: usize) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)
}

/// The stream of a uri: the uri without its query.
fn stream(uri: &ChannelName) -> ChannelName {
    match uri.as_str().split_once('?') {
        Some((path, _)) => ChannelName::parse(path).unwrap_or_else(|_| uri.clone()),
        None => uri.clone(),
    }
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicas")
            .field("replicas", &self.len())
            .finish_non_exhaustive()
    }
}
