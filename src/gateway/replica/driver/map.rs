//! Where replicas are found: by stream for events, by session and uri for whoever is in one.
//!
//! Invariants: all replicas of a uri are of one endpoint, which was in force when the last of them
//! was made; who comes into one of another endpoint unasked is held there and not admitted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::super::core::{Replica, failure};
use super::super::fetcher::Resource;
use super::{All, Core, Replicas, Slot};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::resource::Endpoint;
use crate::session_id::SessionId;

const SHARDS: usize = 64;
/// Their numbers begin with one.
const NO_CHECK: u64 = 0;

/// All uris of a stream are in one shard.
pub(super) struct Shards {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
pub(super) struct Shard {
    streams: HashMap<ChannelName, HashMap<ChannelName, Views>>,
    sessions: HashMap<(SessionId, ChannelName), Place>,
    /// When the access of somebody who is bound to a stream runs out next. Goes with its last
    /// replica.
    expiries: HashMap<ChannelName, Instant>,
}

/// The replicas of one uri, by whose view of it they are.
type Views = HashMap<Arc<str>, Arc<Slot>>;

/// Where a session is.
struct Place {
    slot: Arc<Slot>,
    /// The endpoint by whose rules it was let in; none: it was taken along to another one.
    admitted: Option<Arc<Endpoint>>,
}

/// Why there is no replica for somebody.
pub(super) enum Unplaced {
    /// There are too many.
    Full,
    /// The endpoint is not the one in force.
    Outdated,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Shards {
    pub(super) fn lock(&self, stream: &ChannelName) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(stream) % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[hash])
    }

    /// All replicas, a shard at a time, unlocked.
    pub(super) fn each(&self, mut see: impl FnMut(Vec<Arc<Slot>>)) {
        for shard in &self.shards {
            let slots = {
                let shard = lock(shard);
                shard.slots().cloned().collect()
            };
            see(slots);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// The replicas of a stream.
    pub(super) fn of(&self, stream: &ChannelName) -> Vec<Arc<Slot>> {
        let uris = self.streams.get(stream).into_iter().flatten();
        uris.flat_map(|(_, views)| views.values())
            .cloned()
            .collect()
    }

    fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        let uris = self.streams.values().flat_map(HashMap::values);
        uris.flat_map(HashMap::values)
    }

    pub(super) fn find(&self, session: SessionId, uri: &ChannelName) -> Option<Arc<Slot>> {
        let place = self.sessions.get(&(session, uri.clone()))?;
        Some(Arc::clone(&place.slot))
    }

    /// The session is in this one now; the other that it was in until now. By which endpoint it was
    /// admitted stays as it was: the check that follows a change finds it.
    pub(super) fn enter(&mut self, session: SessionId, slot: &Arc<Slot>) -> Option<Arc<Slot>> {
        let place = (session, slot.resource.uri.clone());
        match self.sessions.entry(place) {
            Entry::Vacant(empty) => {
                empty.insert(Place {
                    slot: Arc::clone(slot),
                    admitted: Some(Arc::clone(&slot.resource.endpoint)),
                });
                None
            }
            Entry::Occupied(mut place) => {
                let old = std::mem::replace(&mut place.get_mut().slot, Arc::clone(slot));
                (!Arc::ptr_eq(&old, slot)).then_some(old)
            }
        }
    }

    /// The session may be where it is.
    pub(super) fn admit(&mut self, session: SessionId, uri: &ChannelName) {
        if let Some(place) = self.sessions.get_mut(&(session, uri.clone())) {
            place.admitted = Some(Arc::clone(&place.slot.resource.endpoint));
        }
    }

    /// Whether the session was let in by the rules of `endpoint`, or is not there.
    pub(super) fn is_admitted(
        &self,
        session: SessionId,
        uri: &ChannelName,
        endpoint: &Arc<Endpoint>,
    ) -> bool {
        let place = self.sessions.get(&(session, uri.clone()));
        place.is_none_or(|place| {
            let admitted = place.admitted.as_ref();
            admitted.is_some_and(|admitted| same(admitted, endpoint))
        })
    }

    pub(super) fn exit(&mut self, session: SessionId, uri: &ChannelName) -> Option<Arc<Slot>> {
        let place = self.sessions.remove(&(session, uri.clone()))?;
        Some(place.slot)
    }

    /// The session is not in this one any more.
    pub(super) fn forget(&mut self, session: SessionId, slot: &Arc<Slot>) {
        let place = (session, slot.resource.uri.clone());
        let here = self.sessions.get(&place);
        if here.is_some_and(|here| Arc::ptr_eq(&here.slot, slot)) {
            self.sessions.remove(&place);
        }
    }

    /// Somebody's access to the stream runs out at `at`.
    pub(super) fn note_expiry(&mut self, stream: &ChannelName, at: Instant) {
        if self.streams.contains_key(stream) {
            let known = self.expiries.entry(stream.clone()).or_insert(at);
            *known = at.min(*known);
        }
    }

    pub(super) fn take_expired(&mut self, stream: &ChannelName, now: Instant) -> bool {
        let due = self.expiries.get(stream).is_some_and(|at| *at <= now);
        if due {
            self.expiries.remove(stream);
        }
        due
    }

    fn remove(&mut self, slot: &Arc<Slot>) -> bool {
        let Resource {
            stream,
            uri,
            variant,
            ..
        } = &*slot.resource;
        let Some(uris) = self.streams.get_mut(stream) else {
            return false;
        };
        let Some(views) = uris.get_mut(uri) else {
            return false;
        };
        let here = views.get(variant);
        if !here.is_some_and(|here| Arc::ptr_eq(here, slot)) {
            return false;
        }
        views.remove(variant);
        if views.is_empty() {
            uris.remove(uri);
        }
        if uris.is_empty() {
            self.streams.remove(stream);
            self.expiries.remove(stream);
        }
        true
    }
}

fn same(one: &Arc<Endpoint>, other: &Arc<Endpoint>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl Replicas {
    /// Whether a session was let in to `uri` by the rules of `endpoint`, or is not there.
    pub fn is_admitted(
        &self,
        session: SessionId,
        uri: &ChannelName,
        endpoint: &Arc<Endpoint>,
    ) -> bool {
        let shard = self.all.shards.lock(&super::stream(uri));
        shard.is_admitted(session, uri, endpoint)
    }

    /// The access of somebody who is bound to `stream` runs out at `at`.
    pub fn note_expiry(&self, stream: &ChannelName, at: Instant) {
        self.all.shards.lock(stream).note_expiry(stream, at);
    }

    /// Whether somebody's has run out; it is for the caller to note the next.
    pub fn take_expired(&self, stream: &ChannelName) -> bool {
        let now = Instant::now();
        self.all.shards.lock(stream).take_expired(stream, now)
    }
}

impl All {
    /// The replica of `resource`, made where there is none. Where the endpoint has changed, the
    /// replicas that the uri has give up everyone to the new one, which holds them until they have
    /// been asked about; those who wait there are refused.
    pub(super) fn place(
        self: &Arc<Self>,
        shard: &mut Shard,
        resource: &Arc<Resource>,
    ) -> Result<Arc<Slot>, Unplaced> {
        // Looked at under the shard's lock: an older endpoint never follows a newer one.
        let fetcher = self.fetcher.upgrade();
        if fetcher.is_some_and(|fetcher| !fetcher.in_force(resource)) {
            return Err(Unplaced::Outdated);
        }
        let uris = shard.streams.get(&resource.stream);
        let views = uris.and_then(|uris| uris.get(&resource.uri));
        let mut old = Vec::new();
        if let Some(views) = views {
            let changed = |slot: &Arc<Slot>| !same(&slot.resource.endpoint, &resource.endpoint);
            if views.values().next().is_some_and(changed) {
                old = views.values().cloned().collect();
            } else if let Some(slot) = views.get(&resource.variant) {
                return Ok(Arc::clone(slot));
            }
        }
        let full = old.is_empty() && self.count.load(Ordering::Relaxed) >= self.most;
        if full && !self.make_room(shard) {
            return Err(Unplaced::Full);
        }
        for slot in &old {
            self.give_up(shard, slot);
        }
        let slot = self.make(shard, resource);
        for old in old {
            self.inherit(shard, &old, &slot);
        }
        Ok(slot)
    }

    fn make(&self, shard: &mut Shard, resource: &Arc<Resource>) -> Arc<Slot> {
        let replica = Replica::new(
            resource.uri.clone(),
            resource.settings.clone(),
            self.moment(resource),
        );
        let slot = Arc::new(Slot {
            resource: Arc::clone(resource),
            core: Mutex::new(Core {
                replica,
                armed: None,
            }),
        });
        self.count.fetch_add(1, Ordering::Relaxed);
        self.hub.metrics().gateway.replicas.inc();
        let uris = shard.streams.entry(resource.stream.clone()).or_default();
        let views = uris.entry(resource.uri.clone()).or_default();
        views.insert(Arc::clone(&resource.variant), Arc::clone(&slot));
        slot
    }

    fn inherit(self: &Arc<Self>, shard: &mut Shard, old: &Arc<Slot>, new: &Arc<Slot>) {
        let message = "The endpoint of this uri has changed; ask again.";
        let changed = failure(ErrorCode::Unavailable, message);
        let mut leaving = None;
        self.later(old, |replica, now| {
            replica.refuse(&changed, now, |_| true);
            let free = replica
                .subscribers
                .values()
                .filter(|one| one.held.is_none());
            let free = free.map(|one| (one.origin.session, Arc::clone(&one.caller)));
            for (session, caller) in free.collect::<Vec<_>>() {
                // Until the check that follows the change.
                replica.hold(session, NO_CHECK, &caller);
            }
            leaving = Some(replica.evacuate(now));
        });
        let Some(leaving) = leaving else { return };
        for one in &leaving.bound {
            let place = (one.origin.session, new.resource.uri.clone());
            let slot = Arc::clone(new);
            let admitted = None;
            shard.sessions.insert(place, Place { slot, admitted });
        }
        self.later(new, |replica, now| replica.take_in(leaving, now));
    }

    /// Lets go of one in this shard that nobody is bound to.
    fn make_room(&self, shard: &mut Shard) -> bool {
        let idle = |slot: &&Arc<Slot>| slot.lock().replica.is_empty();
        let idle = shard.slots().find(idle).cloned();
        idle.is_some_and(|slot| self.give_up(shard, &slot))
    }

    /// Takes a replica out of the map.
    pub(super) fn give_up(&self, shard: &mut Shard, slot: &Arc<Slot>) -> bool {
        let was = shard.remove(slot);
        if was {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.hub.metrics().gateway.replicas.dec();
        }
        was
    }
}
