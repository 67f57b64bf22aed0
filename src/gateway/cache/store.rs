//! Where answers are kept: moka, bounded by weight.
//!
//! Invariant: what has been purged does not come back. A fetch that was under way then may not put
//! its answer here, and whether it was is decided under the same lock.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::ops::compute::Op;

use super::marks::{Marks, Stamp};
use super::{Entry, Key};

/// Most answers to one question that differ in what they vary on.
const MAX_VARIANTS: usize = 8;
/// What nobody asks for goes after so long, however much room there is.
const IDLE: Duration = Duration::from_secs(3600);

/// What is known of a key.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// Its answers are not kept; believed `until` then.
    Pass { until: Instant },
    /// Its answers, newest first.
    Kept(Arc<[Arc<Entry>]>),
}

#[derive(Debug)]
pub(super) struct Store {
    kept: moka::sync::Cache<Key, Held>,
    /// The last purge.
    fence: RwLock<Stamp>,
}

impl Store {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            kept: moka::sync::Cache::builder()
                .max_capacity(bytes)
                .weigher(weight)
                .time_to_idle(IDLE)
                .build(),
            fence: RwLock::default(),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Held> {
        self.kept.get(key)
    }

    /// Keeps `entry`, unless something has changed since it was asked for.
    pub(super) fn put(&self, key: &Key, entry: &Arc<Entry>, marks: &Marks) {
        let fence = self.fence.read().unwrap_or_else(PoisonError::into_inner);
        let holds = |entry: &Entry| marks.hold(entry.marks(), entry.stamp());
        if *fence > entry.stamp() || !entry.may_be_kept() || !holds(entry) {
            return;
        }
        self.kept.entry_by_ref(key).and_compute_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let others = match &known {
                Some(Held::Kept(entries)) => &entries[..],
                _ => &[],
            };
            let others = || others.iter().filter(|other| holds(other));
            // Of two fetches at a time, the one that began later knows more.
            if others().any(|other| other.is_alike(entry) && other.sent() > entry.sent()) {
                return Op::Nop;
            }
            let others = others().filter(|other| !other.is_alike(entry));
            let all = std::iter::once(entry).chain(others.take(MAX_VARIANTS - 1));
            Op::Put(Held::Kept(all.cloned().collect()))
        });
        drop(fence);
    }

    /// What comes for `key` will not be kept, unless something is.
    pub(super) fn pass(&self, key: &Key, until: Instant, marks: &Marks) {
        let holds = |entry: &Arc<Entry>| marks.hold(entry.marks(), entry.stamp());
        let pass = Held::Pass { until };
        self.kept.entry_by_ref(key).and_compute_with(|known| {
            match known.map(moka::Entry::into_value) {
                Some(Held::Kept(entries)) if entries.iter().any(holds) => Op::Nop,
                _ => Op::Put(pass),
            }
        });
    }

    /// Forgets what `which` names, and what is on its way: `since` is now. Returns how many.
    pub(super) fn purge(&self, since: Stamp, which: impl Fn(&Key, &Entry) -> bool) -> usize {
        {
            let mut fence = self.fence.write().unwrap_or_else(PoisonError::into_inner);
            *fence = since.max(*fence);
        }
        let mut purged = 0;
        for (key, held) in &self.kept {
            let Held::Kept(entries) = held else {
                continue;
            };
            let doomed = entries.iter().filter(|entry| which(&key, entry)).count();
            if doomed > 0 {
                // Its other variants go with it: they cost a fetch.
                self.kept.invalidate(key.as_ref());
                purged += doomed;
            }
        }
        purged
    }

    /// The stamp of the last purge.
    pub(super) fn fence(&self) -> Stamp {
        *self.fence.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes and keys, as far as moka has counted.
    pub(super) fn size(&self) -> (u64, u64) {
        self.kept.run_pending_tasks();
        (self.kept.weighted_size(), self.kept.entry_count())
    }
}

fn weight(key: &Key, held: &Held) -> u32 {
    let entries = match held {
        Held::Pass { .. } => 0,
        Held::Kept(entries) => entries.iter().map(|entry| entry.weight()).sum(),
    };
    u32::try_from(entries + key.uri.as_str().len() + key.variant.len() + 256).unwrap_or(u32::MAX)
}
