//! Where replicas are found: by stream for events, by session and uri for whoever is in one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::core::Replica;
use super::super::fetcher::Resource;
use super::{All, Core, Slot};
use crate::channel::ChannelName;
use crate::session_id::SessionId;

const SHARDS: usize = 64;

/// All uris of a stream are in one shard.
pub(super) struct Shards {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
pub(super) struct Shard {
    streams: HashMap<ChannelName, HashMap<Key, Arc<Slot>>>,
    sessions: HashMap<(SessionId, ChannelName), Arc<Slot>>,
}

/// The uri and whose view of it.
type Key = (ChannelName, Arc<str>);

fn key(resource: &Resource) -> Key {
    (resource.uri.clone(), Arc::clone(&resource.variant))
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
                let slots = shard.streams.values().flat_map(HashMap::values);
                slots.cloned().collect()
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
        let slots = self.streams.get(stream);
        slots.map_or_else(Vec::new, |slots| slots.values().cloned().collect())
    }

    pub(super) fn find(&self, session: SessionId, uri: &ChannelName) -> Option<Arc<Slot>> {
        self.sessions.get(&(session, uri.clone())).cloned()
    }

    /// The session is in this one now; the other that it was in until now.
    pub(super) fn enter(&mut self, session: SessionId, slot: &Arc<Slot>) -> Option<Arc<Slot>> {
        let place = (session, slot.resource.uri.clone());
        let old = self.sessions.insert(place, Arc::clone(slot))?;
        (!Arc::ptr_eq(&old, slot)).then_some(old)
    }

    pub(super) fn exit(&mut self, session: SessionId, uri: &ChannelName) -> Option<Arc<Slot>> {
        self.sessions.remove(&(session, uri.clone()))
    }

    /// The session is not in this one any more.
    pub(super) fn forget(&mut self, session: SessionId, slot: &Arc<Slot>) {
        let place = (session, slot.resource.uri.clone());
        let here = self.sessions.get(&place);
        if here.is_some_and(|here| Arc::ptr_eq(here, slot)) {
            self.sessions.remove(&place);
        }
    }

    fn remove(&mut self, slot: &Arc<Slot>) -> bool {
        let stream = &slot.resource.stream;
        let Some(slots) = self.streams.get_mut(stream) else {
            return false;
        };
        let key = key(&slot.resource);
        if !slots.get(&key).is_some_and(|here| Arc::ptr_eq(here, slot)) {
            return false;
        }
        slots.remove(&key);
        if slots.is_empty() {
            self.streams.remove(stream);
        }
        true
    }
}

impl All {
    /// The replica of `resource`, made where there is none; none: there are too many. One of
    /// another endpoint gives up everyone it has to the new one.
    pub(super) fn place(
        self: &Arc<Self>,
        shard: &mut Shard,
        resource: &Arc<Resource>,
    ) -> Option<Arc<Slot>> {
        let key = key(resource);
        let old = shard
            .streams
            .get(&resource.stream)
            .and_then(|slots| slots.get(&key))
            .cloned();
        if let Some(slot) = &old
            && (Arc::ptr_eq(&slot.resource.endpoint, &resource.endpoint)
                || slot.resource.endpoint == resource.endpoint)
        {
            return old;
        }
        if let Some(old) = &old {
            self.give_up(shard, old);
        }
        let full = self.count.load(Ordering::Relaxed) >= self.most;
        if full && !self.make_room(shard) {
            return None;
        }
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
        let slots = shard.streams.entry(resource.stream.clone()).or_default();
        slots.insert(key, Arc::clone(&slot));
        if let Some(old) = old {
            self.inherit(shard, &old, &slot);
        }
        Some(slot)
    }

    fn inherit(self: &Arc<Self>, shard: &mut Shard, old: &Arc<Slot>, new: &Arc<Slot>) {
        let mut leaving = None;
        self.later(old, |replica, now| leaving = Some(replica.evacuate(now)));
        let Some(leaving) = leaving else { return };
        let bound = leaving.bound.iter().map(|one| one.origin.session);
        for session in bound {
            shard.enter(session, new);
        }
        self.later(new, |replica, now| replica.take_in(leaving, now));
    }

    /// Lets go of one in this shard that nobody is bound to.
    fn make_room(&self, shard: &mut Shard) -> bool {
        let mut slots = shard.streams.values().flat_map(HashMap::values);
        let idle = slots.find(|slot| slot.lock().replica.is_empty()).cloned();
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
