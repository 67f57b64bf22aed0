//! Taking a session off a channel, whatever it waits for.
//!
//! Held: once it is decided, table, node and gateway know of it and nothing more is given. Only what
//! came before, and the notice behind it, may wait until the session is free; they are never
//! dropped.

use std::collections::VecDeque;

use super::Worker;
use super::client::{Client, Ended, Held};
use super::mailbox::{Entry, Kind};
use super::overflow::{self, Offer, Room, Source};
use crate::channel::{ChannelName, SlowPolicy};
use crate::code::CloseCode;
use crate::hub::SessionAction;
use crate::publication::Epoch;
use crate::session::{Effect, Slot};

/// Why a session leaves an ordinary channel where an endpoint is now.
const COVERED: &str = "covered";

impl Worker {
    /// The endpoints in force have changed. On an ordinary channel that is covered now a session
    /// would be given what nobody has asked for it: it leaves, and binds if it may.
    pub(super) fn rerouted(&mut self) {
        let keys: Vec<u32> = self.by_id.values().copied().collect();
        for key in keys {
            for channel in self.newly_covered(key) {
                self.unsubscribe(key, &channel, COVERED);
            }
        }
    }

    /// The ordinary channels of a session, those that it is joining too, where endpoints are.
    fn newly_covered(&self, key: u32) -> Vec<ChannelName> {
        let client = self.clients.get(key as usize);
        let Some((client, session)) =
            client.and_then(|client| Some((client, client.session.as_ref()?)))
        else {
            return Vec::new();
        };
        let mut covered = session.newly_covered();
        let joining = client.operation.iter().flat_map(|one| &one.joining);
        let joining = joining
            .filter(|joining| joining.fresh && self.shared.is_covered(joining.channel.as_str()));
        covered.extend(joining.map(|joining| joining.channel.clone()));
        covered
    }

    /// Takes the session off `channel`, which it is on, joins, or was to be put on.
    pub(super) fn unsubscribe(&mut self, key: u32, channel: &ChannelName, reason: &str) -> bool {
        let not_yet = self.take_back(key, channel);
        let client = self.clients.get(key as usize);
        let session = client.and_then(|client| client.session.as_ref());
        let Some(slot) = session.and_then(|session| session.slot(channel.as_str())) else {
            return not_yet;
        };
        self.deliver_rest(slot);
        let waits = self.clients.get(key as usize).is_some_and(|client| {
            let operation = client.operation.as_ref();
            operation.is_some_and(|operation| operation.kind.holds())
        });
        let mut ended = waits.then(|| self.end(key, channel, slot));
        let client = self.clients.get_mut(key as usize);
        let Some(session) = client.and_then(|client| client.session.as_mut()) else {
            return true;
        };
        let mut effects = Vec::with_capacity(2);
        let taken = session.server_unsubscribe(channel.as_str(), reason, &mut effects);
        for effect in effects {
            match (effect, &mut ended) {
                (Effect::Send(frame), Some(ended)) => {
                    let kind = Kind::Reply;
                    ended.rest.push((Entry { frame, kind }, None));
                }
                (effect, _) => self.effects.push(effect),
            }
        }
        self.carry_out(key);
        if let Some(ended) = ended {
            self.keep(key, ended);
        }
        taken || not_yet
    }

    /// Takes back what the server or the client has asked for and has not come to pass: whether
    /// there was anything. The join that is under way will be refused.
    fn take_back(&mut self, key: u32, channel: &ChannelName) -> bool {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return false;
        };
        let (Some(operation), Some(session)) = (&mut client.operation, &client.session) else {
            return false;
        };
        let before = operation.deferred.len();
        operation.deferred.retain(
            |action| !matches!(action, SessionAction::Subscribe(wanted) if wanted == channel),
        );
        let put_off = operation.deferred.len() < before;
        let mut joining = operation.joining.iter();
        let joins = joining.any(|joining| joining.fresh && joining.channel == *channel)
            || session.is_to_join(channel.as_str());
        if joins && !operation.refused.contains(channel) {
            let mut refused = std::mem::take(&mut operation.refused).into_vec();
            refused.push(channel.clone());
            operation.refused = refused.into();
        }
        put_off || joins
    }

    /// Gathers what a subscription has been held back, as its last word.
    fn end(&mut self, key: u32, channel: &ChannelName, slot: Slot) -> Ended {
        let mut ended = Ended {
            channel: channel.clone(),
            slow: SlowPolicy::Disconnect,
            rest: Vec::new(),
        };
        let Some(client) = self.clients.get_mut(key as usize) else {
            return ended;
        };
        let before = client.waiting_bytes();
        let Some(operation) = &mut client.operation else {
            return ended;
        };
        let Some(id) = self.table.subscriber(slot).map(|subscriber| subscriber.id) else {
            return ended;
        };
        let is_its = |held: &Held| held.entry.kind.place().is_some_and(|of| of.0 == id);
        let all = std::mem::take(&mut operation.held).into_iter();
        let (held, others): (VecDeque<_>, _) = all.partition(is_its);
        operation.held = others;
        let lost = operation
            .lost
            .iter()
            .position(|lost| lost.subscription == id);
        let lost = lost.map(|at| operation.lost.swap_remove(at));
        let freed: usize = held.iter().map(|held| held.entry.cost()).sum();
        operation.held_bytes -= freed;
        self.grown(key, before);
        if let Some(gap) = lost.and_then(|lost| self.loss(key, &lost)) {
            ended.rest.push((gap, None));
        }
        for held in held {
            if let Some((_, slow)) = self.take_in(&held) {
                ended.slow = slow;
                ended.rest.push((held.entry, held.epoch));
            }
        }
        ended
    }

    /// Lets the rest of a subscription wait until the session is free.
    fn keep(&mut self, key: u32, ended: Ended) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let before = client.waiting_bytes();
        let Some(operation) = client
            .operation
            .as_mut()
            .filter(|_| client.session.is_some())
        else {
            return;
        };
        operation.held_bytes += ended.cost();
        operation.ended.push(ended);
        self.grown(key, before);
    }

    /// The session is to be bound to `channel` again: it hears of the end before.
    pub(super) fn tell_end(&mut self, key: u32, channel: &ChannelName) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let before = client.waiting_bytes();
        let Some(operation) = &mut client.operation else {
            return;
        };
        let its = operation
            .ended
            .extract_if(.., |ended| ended.channel == *channel);
        let its: Vec<_> = its.collect();
        operation.held_bytes -= its.iter().map(Ended::cost).sum::<usize>();
        self.grown(key, before);
        for ended in its {
            self.give_ended(key, ended);
        }
    }

    /// Passes on the rest of a subscription, which nothing counts any more.
    pub(super) fn give_ended(&mut self, key: u32, ended: Ended) {
        for (entry, epoch) in ended.rest {
            match entry.kind {
                Kind::Reply => self.send(key, entry.frame),
                Kind::Gap { .. } => self.tell_loss(key, entry),
                Kind::Publication { .. } => {
                    self.put(key, entry, ((&ended.channel, ended.slow), epoch.as_ref()));
                }
            }
        }
    }

    /// Puts a publication that has waited into the mailbox.
    pub(super) fn put(
        &mut self,
        key: u32,
        entry: Entry,
        ((channel, slow), epoch): ((&ChannelName, SlowPolicy), Option<&Epoch>),
    ) {
        let open = |client: &&mut Box<Client>| client.phase == super::client::Phase::Open;
        let Some(client) = self.clients.get_mut(key as usize).filter(open) else {
            return;
        };
        let source = Source {
            channel,
            epoch,
            slow,
        };
        let mut room = Room {
            bounds: self.bounds,
            spare: &mut self.spare_rings,
            now: self.now.instant,
            expired: 0,
            dropped: 0,
        };
        let before = client.waiting_bytes();
        let offer = overflow::put(client, entry, &source, &mut room);
        let (expired, dropped) = (room.expired, room.dropped);
        self.count_lost(expired, dropped);
        self.grown(key, before);
        match offer {
            Offer::Full => self.close(key, CloseCode::SlowConsumer),
            Offer::Queued | Offer::Kept => self.mark_dirty(key),
        }
    }
}
