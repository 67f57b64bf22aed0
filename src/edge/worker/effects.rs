//! Carrying out what a session wants, in the order in which it wants it.

use bytes::Bytes;

use super::Worker;
use super::adopt::Label;
use super::client::{InFlight, Phase};
use super::mailbox::{Entry, Kind};
use super::operations::{self, Entered, Finished, Joining};
use crate::channel::ChannelName;
use crate::code::{CloseCode, ErrorCode};
use crate::event_log::{Details, EventKind};
use crate::hub::SessionFilter;
use crate::resource::Origin;
use crate::session::{Effect, JoinRequest, Operation, Outcome, Slot};
use crate::session_id::SessionId;

impl Worker {
    /// Carries out `self.effects`, which the session of `key` has just asked for, and whatever
    /// follows from them.
    pub(super) fn carry_out(&mut self, key: u32) {
        // Taken before: an effect may end the session, and those that follow still count.
        let id = self.session_id(key);
        while !self.effects.is_empty() {
            let spare = std::mem::take(&mut self.spare_effects);
            let mut batch = std::mem::replace(&mut self.effects, spare);
            for effect in batch.drain(..) {
                self.carry_out_one((key, id), effect);
            }
            self.spare_effects = batch;
        }
        self.arm(key);
    }

    fn carry_out_one(&mut self, (key, id): (u32, Option<SessionId>), effect: Effect) {
        match effect {
            Effect::Send(frame) => self.send(key, frame),
            Effect::Close(code) => self.close(key, code),
            Effect::Leave {
                channel,
                slot,
                present,
                covered,
            } => {
                if let Some(id) = id {
                    self.leave((id, channel), slot, (present, covered));
                }
            }
            Effect::Call(call) => {
                if let Some(session) = id {
                    let origin = Origin {
                        worker: self.id,
                        connection: key,
                        session,
                    };
                    self.services.gateway.call(*call, origin);
                }
            }
            Effect::Hold(uris, caller) => {
                if let Some(session) = id {
                    self.services.gateway.hold(session, &uris, &caller);
                }
            }
            Effect::Perform(operation) => {
                if let Some(outcome) = self.perform(key, operation) {
                    self.resume(key, outcome);
                }
            }
        }
    }

    pub(super) fn session_id(&self, key: u32) -> Option<SessionId> {
        Some(self.clients.get(key as usize)?.session.as_ref()?.id())
    }

    /// Queues a frame that is no publication. A client that does not read its own replies is as
    /// slow as any.
    pub(super) fn send(&mut self, key: u32, frame: Bytes) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if client.phase != Phase::Open {
            return;
        }
        if !client.mailbox.has_room(frame.len(), self.bounds) {
            return self.close(key, CloseCode::SlowConsumer);
        }
        let before = client.waiting_bytes();
        client.mailbox.push(
            Entry {
                frame,
                kind: Kind::Reply,
            },
            &mut self.spare_rings,
        );
        self.grown(key, before);
        self.mark_dirty(key);
    }

    pub(super) fn mark_dirty(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if !client.blocked && !std::mem::replace(&mut client.dirty, true) {
            self.dirty.push(key);
        }
    }

    /// Starts an operation: its outcome, if it is ready at once.
    fn perform(&mut self, key: u32, operation: Operation) -> Option<Outcome> {
        let client = self.clients.get(key as usize)?;
        let (id, address) = (client.session.as_ref()?.id(), client.address);
        let kind = operations::Kind::of(&operation);
        if let Operation::Wait = operation {
            self.clients[key as usize].operation = Some(Box::new(InFlight::new(kind, Vec::new())));
            return None;
        }
        let mut joining = Vec::new();
        let running = if let Operation::Join(requests) = operation {
            let joins: Vec<_> = requests
                .into_iter()
                .map(|request| (self.place(key, &request), request))
                .collect();
            joining.extend(joins.iter().map(|(joining, _)| joining.clone()));
            operations::start_joins(&self.services, self.id, joins)
        } else {
            operations::start(&self.services, id, address, operation)
        };
        match operations::poll_once(running) {
            Ok(finished) => {
                let waited = self.clients[key as usize].operation.as_ref();
                let refused = waited.map(|waited| waited.refused.clone());
                Some(self.settle(key, finished, &refused.unwrap_or_default()))
            }
            Err(running) => {
                let mut operation = InFlight::new(kind, joining);
                let client = &mut self.clients[key as usize];
                if let Some(waited) = client.operation.take() {
                    // The answers that it waited for have led here.
                    operation.go_on_from(*waited);
                }
                client.operation = Some(Box::new(operation));
                operations::finish_later(&self.services, &self.inbox, (id, key), running);
                None
            }
        }
    }

    /// Puts a subscription into the table, before anything is asked of the broker.
    fn place(&mut self, key: u32, request: &JoinRequest) -> Joining {
        let slot = request.slot.unwrap_or_else(|| {
            let slow = self.shared.rules.load().of(request.channel.as_str()).slow;
            self.table
                .insert(&request.channel, slow, (key, request.spelling))
        });
        if let Some(subscriber) = self.table.subscriber(slot) {
            subscriber.spelling = request.spelling;
        }
        Joining {
            channel: request.channel.clone(),
            slot,
            fresh: request.slot.is_none(),
            plain: request.recover.is_none(),
            present: request.member.as_ref().map(|member| member.session),
        }
    }

    /// Brings the table in line with how joins ended; those that are `refused` have no effect.
    fn settle(&mut self, key: u32, finished: Finished, refused: &[ChannelName]) -> Outcome {
        let mut joined = match finished {
            Finished::Other(outcome) => return outcome,
            Finished::Joined(joined) => joined,
        };
        let id = self.session_id(key);
        for (joining, result) in &mut joined {
            let refuse = joining.fresh && refused.contains(&joining.channel);
            if refuse && result.is_ok() {
                self.leave_node(joining.channel.clone(), joining.present);
                *result = Err(ErrorCode::NotSubscribed);
            }
            match (result, id) {
                (Ok(_), Some(_)) if !self.is_there(key, joining) => self.exit(joining),
                (Ok(entered), Some(id)) => self.settle_one(joining, entered, id),
                (Ok(_), None) if joining.fresh => {
                    // The session has gone meanwhile.
                    self.table.remove(joining.slot);
                    self.leave_node(joining.channel.clone(), joining.present);
                }
                // It may have entered presence again after it had left.
                (_, None) if !joining.fresh => self.exit(joining),
                (Err(_), _) if joining.fresh => self.table.remove(joining.slot),
                _ => {}
            }
        }
        operations::outcome(joined)
    }

    /// Whether what is joined has its place: one that was there before may have been taken off
    /// meanwhile, and its place may be another's.
    fn is_there(&self, key: u32, joining: &Joining) -> bool {
        let client = self.clients.get(key as usize);
        let session = client.and_then(|client| client.session.as_ref());
        joining.fresh
            || session.and_then(|session| session.slot(joining.channel.as_str()))
                == Some(joining.slot)
    }

    fn settle_one(&mut self, joining: &Joining, entered: &mut Entered, id: SessionId) {
        if joining.fresh {
            self.log(EventKind::Subscribed, id, Some(&joining.channel), None);
        }
        let Entered { page, members } = entered;
        if let Some(members) = members {
            self.table.set_listed(joining.slot, members.revision);
        }
        let Some(subscriber) = self.table.subscriber(joining.slot) else {
            return;
        };
        if joining.fresh || !joining.plain {
            subscriber.after = subscriber.after.max(page.sequence);
            return;
        }
        // What it has not been given yet is still on its way to it: the reply stops there.
        let after = subscriber.after;
        page.publications.retain(|past| past.offset <= after);
        if let Some(position) = &mut page.position {
            position.offset = position.offset.min(after);
        }
    }

    /// Joins that had been refused for taking too long ended after all. What the session has
    /// joined again meanwhile stays.
    pub(super) fn late(&mut self, session: SessionId, joined: Vec<Joining>) {
        for joining in joined {
            if self.is_on(session, &joining.channel) {
                if joining.fresh {
                    self.leave_node(joining.channel, None);
                }
            } else if joining.fresh {
                self.leave_node(joining.channel, joining.present);
            } else {
                self.exit(&joining);
            }
        }
    }

    /// Whether the session is on the channel, or about to be.
    fn is_on(&self, session: SessionId, channel: &ChannelName) -> bool {
        let key = self.by_id.get(&session);
        let Some(client) = key.and_then(|key| self.clients.get(*key as usize)) else {
            return false;
        };
        let filter = SessionFilter {
            channel: Some(channel.clone()),
            ..SessionFilter::default()
        };
        let operation = client.operation.as_ref();
        client
            .session
            .as_ref()
            .is_some_and(|session| session.matches(&filter))
            || operation.is_some_and(|operation| {
                operation
                    .joining
                    .iter()
                    .any(|joining| joining.channel == *channel)
            })
    }

    /// Takes the presence entry off that a join has made for nobody.
    fn exit(&self, joining: &Joining) {
        let Some(session) = joining.present else {
            return;
        };
        let (services, channel) = (self.services.clone(), joining.channel.clone());
        operations::detach(async move {
            let exit = services.node.broker().exit(&channel, session, None);
            if let Err(error) = exit.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "leaving presence failed");
            }
        });
    }

    fn resume(&mut self, key: u32, outcome: Outcome) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if let Some(session) = &mut client.session {
            session.resume(outcome, self.now, &mut self.effects);
        }
    }

    /// An operation ended that was not ready at once.
    pub(super) fn finished(&mut self, key: u32, finished: Finished) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let Some(in_flight) = client.operation.take() else {
            return;
        };
        let gone = client.phase == Phase::Gone;
        let outcome = self.settle(key, finished, &in_flight.refused);
        if gone {
            return self.remove(key);
        }
        self.resume(key, outcome);
        self.carry_out(key);
        self.release(key, *in_flight);
    }

    /// An operation took too long.
    pub(super) fn timed_out(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let Some(in_flight) = &mut client.operation else {
            return;
        };
        let joining = std::mem::take(&mut in_flight.joining);
        let finished = operations::timed_out(in_flight.kind, joining);
        self.finished(key, finished);
    }

    /// Lets go of what waited behind an operation, unless the session has begun another.
    pub(super) fn release(&mut self, key: u32, mut waited: InFlight) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if client.session.is_none() {
            self.mailbox_bytes -= waited.held_bytes;
            // To hear of its end.
            return self.read_soon(key);
        }
        if let Some(next) = &mut client.operation {
            // Nothing came in between: all of it is behind what has just been carried out.
            return next.go_on_from(waited);
        }
        self.pass_on(key, &mut waited);
        while let Some(action) = waited.deferred.pop_front() {
            self.act_on(key, &action);
            let client = self.clients.get_mut(key as usize);
            if let Some(next) = client.and_then(|client| client.operation.as_mut()) {
                next.deferred.append(&mut waited.deferred);
                next.backlog = waited.backlog;
                return;
            }
        }
        self.feed(key, &mut waited.backlog);
        self.read_soon(key);
    }

    /// A session has left a channel.
    pub(super) fn leave(
        &mut self,
        (id, channel): (SessionId, ChannelName),
        slot: Slot,
        (present, covered): (bool, bool),
    ) {
        self.table.remove(slot);
        self.log(EventKind::Unsubscribed, id, Some(&channel), None);
        if covered {
            self.services.gateway.left(id, &channel);
        }
        self.leave_node(channel, present.then_some(id));
    }

    pub(super) fn leave_node(&self, channel: ChannelName, present: Option<SessionId>) {
        let (services, worker) = (self.services.clone(), self.id);
        operations::detach(async move { services.node.leave(worker, channel, present).await });
    }

    pub(super) fn log(
        &self,
        kind: EventKind,
        session: SessionId,
        channel: Option<&ChannelName>,
        label: Option<Label>,
    ) {
        if channel.is_some_and(ChannelName::is_internal) {
            return;
        }
        let channel = channel.cloned();
        let details = Details {
            session: Some(session),
            channel,
            code: label.map(|(number, _)| number),
            reason: label.and_then(|(_, name)| (!name.is_empty()).then(|| name.into())),
        };
        self.services.node.hub().events().record(kind, details);
    }
}
