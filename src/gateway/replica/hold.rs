//! Sessions whose access is being checked again are given nothing until it is known: then what they
//! missed, or their end.

use std::sync::Arc;

use super::core::Replica;
use super::words::{Moment, Output};
use crate::code::ErrorCode;
use crate::resource::{Caller, Failure};
use crate::session_id::SessionId;

impl Replica {
    /// The session's access is being checked again: it is given nothing meanwhile. False: it is
    /// not bound here.
    pub fn hold(&mut self, session: SessionId) -> bool {
        let before = self.position(self.as_of);
        let Some(subscriber) = self.subscribers.get_mut(&session) else {
            return false;
        };
        if subscriber.held.is_none() {
            subscriber.held = Some((self.ring.next(), before));
            self.held += 1;
        }
        true
    }

    /// It may stay: it is given what it missed.
    pub fn confirm(&mut self, session: SessionId, caller: Option<Arc<Caller>>, now: Moment) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else {
            return;
        };
        if let Some(caller) = caller {
            subscriber.caller = caller;
        }
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
