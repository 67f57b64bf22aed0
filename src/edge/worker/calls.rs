//! The gateway's answers, on their way to the sessions.
//!
//! Held: an answer takes effect before whatever was posted after it. A session that it binds gets
//! nothing that was posted before it, which the answer holds, and all that comes later.

use super::Worker;
use super::operations::Kind;
use crate::channel::ChannelName;
use crate::event_log::EventKind;
use crate::hub::Target;
use crate::resource::{Answer, Bound};
use crate::session::{Binding, Slot};
use crate::session_id::SessionId;

impl Worker {
    /// A session's call to the gateway has ended.
    pub(super) fn answered(&mut self, target: Target, mut answer: Answer) {
        let key = target.connection;
        let client = self.clients.get(key as usize);
        let session = client.and_then(|client| client.session.as_ref());
        let Some(session) = session.filter(|session| session.id() == target.session) else {
            return self.unbind(target.session, answer.bound.as_ref());
        };
        let slot = match session.binding(&answer) {
            Some(binding) => {
                if let Some(bound) = answer.bound.as_ref().filter(|_| binding.slot.is_none()) {
                    self.tell_end(key, &bound.uri);
                }
                self.bind(target, binding, &mut answer)
            }
            None => {
                self.unbind(target.session, answer.bound.as_ref());
                None
            }
        };
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if let Some(session) = &mut client.session {
            session.answered(answer, slot, &mut self.effects);
        }
        self.carry_out(key);
        self.end_wait(key);
    }

    /// Puts a subscription into the table, or a new one in the place of one that the answer makes
    /// needless: what is on its way to that one is in the answer.
    fn bind(&mut self, target: Target, binding: Binding, answer: &mut Answer) -> Option<Slot> {
        let bound = answer.bound.as_mut()?;
        if let Some(slot) = binding.slot {
            if bound.fresh {
                // The node counts it twice.
                self.leave_node(bound.uri.clone(), None);
            }
            if !binding.whole {
                let subscriber = self.table.subscriber(slot)?;
                subscriber.spelling = binding.spelling;
                let after = subscriber.after;
                if let Some(position) = &mut bound.position {
                    // What it has not been given yet is still on its way: the reply stops there.
                    position.offset = position.offset.min(after);
                }
                if let Ok(success) = &mut answer.result {
                    success.publications.retain(|past| past.offset <= after);
                }
                return Some(slot);
            }
            self.table.remove(slot);
        } else {
            self.log(
                EventKind::Subscribed,
                target.session,
                Some(&bound.uri),
                None,
            );
        }
        let slow = self.shared.rules.load().of(bound.uri.as_str()).slow;
        let subscriber = (target.connection, binding.spelling);
        let slot = self.table.insert(&bound.uri, slow, subscriber);
        if let (Some(position), Some(subscriber)) = (&bound.position, self.table.subscriber(slot)) {
            subscriber.after = position.offset;
        }
        Some(slot)
    }

    /// Undoes what the gateway has done for a session that is not bound after all.
    fn unbind(&self, session: SessionId, bound: Option<&Bound>) {
        // One that was bound before has been left since, which the gateway knows.
        let Some(Bound { uri, .. }) = bound.filter(|bound| bound.fresh) else {
            return;
        };
        self.services.gateway.left(session, uri);
        self.leave_node(ChannelName::clone(uri), None);
    }

    /// Lets go of what waited for answers, if that was the last one.
    fn end_wait(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let busy = client
            .session
            .as_ref()
            .is_some_and(crate::session::Session::is_busy);
        let waits = client
            .operation
            .as_ref()
            .is_some_and(|operation| operation.kind == Kind::Wait);
        if waits
            && !busy
            && let Some(waited) = client.operation.take()
        {
            self.release(key, *waited);
        }
    }
}
