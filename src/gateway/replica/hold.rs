//! Sessions whose access is being checked again are given nothing until it is known: then what they
//! missed, or their end.

use std::sync::Arc;

use super::core::Replica;
use super::words::{Moment, Output};
use crate::code::ErrorCode;
use crate::resource::{Caller, Failure};
use crate::session_id::SessionId;

impl Replica {
    /// Whether `caller` may be bound is being checked: until that is known the session is given
    /// nothing. False: it is not bound here, or on a newer token. A check that comes later takes
    /// this one's place.
    pub fn hold(&mut self, session: SessionId, check: u64, caller: &Arc<Caller>) -> bool {
        let before = self.position(self.as_of);
        let subscriber = self.subscribers.get_mut(&session);
        let Some(subscriber) = subscriber.filter(|one| one.caller.turn <= caller.turn) else {
            return false;
        };
        subscriber.caller = Arc::clone(caller);
        subscriber.check = check;
        if subscriber.held.is_none() {
            subscriber.held = Some((self.ring.next(), before));
            self.held += 1;
        }
        true
    }

    /// Whether the session waits for what this check says.
    pub fn waits_for(&self, session: SessionId, check: u64) -> bool {
        let subscriber = self.subscribers.get(&session);
        subscriber.is_some_and(|one| one.held.is_some() && one.check == check)
    }

    /// On which of its tokens the session is here.
    pub fn turn(&self, session: SessionId) -> Option<u32> {
        Some(self.subscribers.get(&session)?.caller.turn)
    }

    /// It may stay, says the check: it is given what it missed.
    pub fn confirm(&mut self, session: SessionId, check: u64, now: Moment) {
        let subscriber = self.subscribers.get_mut(&session);
        let Some(subscriber) = subscriber.filter(|one| one.check == check) else {
            return;
        };
        let Some((number, before)) = subscriber.held.take() else {
            return;
        };
        self.held -= 1;
        let (origin, ended) = (subscriber.origin, subscriber.ended);
        if subscriber.answered {
            self.catch_up(origin, number, before, now);
        }
        if ended {
            self.out.push(Output::Unsubscribe {
                origin,
                reason: ErrorCode::Gone.name(),
            });
            self.unbind(session, now);
        }
        self.settle(now);
    }

    /// It may not, and hears of it from elsewhere: until it has left, it is given nothing.
    pub fn refuse_held(&mut self, session: SessionId, check: u64, failure: &Failure, now: Moment) {
        if self.waits_for(session, check) {
            self.refuse(failure, now, |join| join.attach.origin.session == session);
            self.settle(now);
        }
    }

    /// It may not: it is unbound, and nothing more.
    pub fn deny(&mut self, session: SessionId, failure: &Failure, now: Moment) {
        self.evict(session, failure, now);
        self.settle(now);
    }

    /// The resource has gone. Who asks again at this moment stays, and is answered.
    pub(super) fn unbind(&mut self, session: SessionId, now: Moment) {
        if self
            .joins
            .iter()
            .all(|join| join.attach.origin.session != session)
        {
            self.drop_subscriber(session, now);
        } else if let Some(one) = self.subscribers.get_mut(&session) {
            one.answered = false;
            one.ended = false;
            one.joined = false;
        }
    }

    /// Unbinds a session that may not be bound.
    pub(super) fn evict(&mut self, session: SessionId, failure: &Failure, now: Moment) {
        if let Some(subscriber) = self.subscribers.get(&session)
            && subscriber.answered
        {
            self.out.push(Output::Unsubscribe {
                origin: subscriber.origin,
                reason: failure.code.name(),
            });
        }
        self.drop_subscriber(session, now);
        self.refuse(failure, now, |join| join.attach.origin.session == session);
    }
}
