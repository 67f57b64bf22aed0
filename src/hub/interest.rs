//! Which workers have subscribers on which channel, in shards, and the names in order.
//!
//! Invariant: a channel stands in its shard's map and in its index exactly while it has a
//! subscriber on this node.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::WorkerId;
use crate::channel::{ChannelName, Page, Pattern};

const SHARDS: usize = 64;
/// Names that a listing looks at before it lets others at the shard.
const STRIDE: usize = 512;

/// Subscribers by channel and worker.
pub(super) struct Interests {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    channels: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    /// For each channel its workers, each with its sessions: few, so a list.
    channels: HashMap<ChannelName, Vec<(WorkerId, u32)>>,
    names: BTreeSet<ChannelName>,
}

impl Default for Interests {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            channels: AtomicUsize::new(0),
        }
    }
}

impl Interests {
    /// Adds a session; calls `first` under the shard's lock if it is the node's first.
    pub(super) fn join(
        &self,
        channel: &ChannelName,
        worker: WorkerId,
        first: impl FnOnce(),
    ) -> bool {
        let mut shard = self.shard(channel.as_str());
        match shard.channels.entry(channel.clone()) {
            Entry::Occupied(mut entry) => {
                let workers = entry.get_mut();
                match workers.iter_mut().find(|(id, _)| *id == worker) {
                    Some((_, sessions)) => *sessions += 1,
                    None => workers.push((worker, 1)),
                }
                false
            }
            Entry::Vacant(entry) => {
                entry.insert(Vec::with_capacity(1)).push((worker, 1));
                shard.names.insert(channel.clone());
                self.channels.fetch_add(1, Ordering::Relaxed);
                first();
                true
            }
        }
    }

    /// Takes a session off; calls `last` under the shard's lock if it was the node's last. One
    /// that was never there changes nothing.
    pub(super) fn leave(
        &self,
        channel: &ChannelName,
        worker: WorkerId,
        last: impl FnOnce(),
    ) -> bool {
        let mut shard = self.shard(channel.as_str());
        let Some(workers) = shard.channels.get_mut(channel) else {
            return false;
        };
        let Some(index) = workers.iter().position(|(id, _)| *id == worker) else {
            return false;
        };
        workers[index].1 -= 1;
        if workers[index].1 == 0 {
            workers.swap_remove(index);
        }
        if !workers.is_empty() {
            return false;
        }
        shard.channels.remove(channel);
        shard.names.remove(channel);
        self.channels.fetch_sub(1, Ordering::Relaxed);
        last();
        true
    }

    /// A channel's workers, a bit each, and its sessions.
    pub(super) fn of(&self, channel: &str) -> (u64, usize) {
        let shard = self.shard(channel);
        let workers = shard.channels.get(channel).map_or(&[][..], Vec::as_slice);
        workers.iter().fold((0, 0), |(bits, sum), (id, sessions)| {
            (bits | 1 << id, sum + *sessions as usize)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.channels.load(Ordering::Relaxed)
    }

    /// The first `limit` channels beyond `after` that match, with their sessions.
    pub(super) fn page(
        &self,
        pattern: Option<&Pattern>,
        after: &str,
        limit: usize,
    ) -> Vec<(ChannelName, usize)> {
        let mut page = Page::new(limit);
        for shard in &self.shards {
            let mut from = Some(after.to_owned());
            while let Some(after) = from {
                from = lock(shard).walk(pattern, &after, &mut page);
            }
        }
        page.into_rows().collect()
    }

    fn shard(&self, channel: &str) -> MutexGuard<'_, Shard> {
        // The high bits: the shard's own map uses the low ones of another hasher.
        let index = self.hasher.hash_one(channel) >> 58;
        lock(&self.shards[index as usize % SHARDS])
    }
}

impl Shard {
    /// Puts matching names beyond `after` on the page; where to go on if it looked at a whole
    /// stride.
    fn walk(
        &self,
        pattern: Option<&Pattern>,
        after: &str,
        page: &mut Page<usize>,
    ) -> Option<String> {
        let prefix = pattern.map_or("", Pattern::literal_prefix);
        let start = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let names = self.names.range::<str, _>((start, Bound::Unbounded));
        let mut seen = 0;
        for name in names.take_while(|name| name.as_str().starts_with(prefix)) {
            if !page.wants(name.as_str()) {
                return None;
            }
            let shown = !name.is_internal();
            if shown && pattern.is_none_or(|pattern| pattern.matches(name.as_str())) {
                let workers = self.channels.get(name).map_or(&[][..], Vec::as_slice);
                let sessions = workers.iter().map(|(_, sessions)| *sessions as usize).sum();
                page.put(name.clone(), sessions);
            }
            seen += 1;
            if seen == STRIDE {
                return Some(name.as_str().to_owned());
            }
        }
        None
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
