//! The replicas' clock and their fetches.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;

use super::super::carry::Begin;
use super::super::fetcher::{Request, Resource};
use super::super::words::{Fetched, Moment};
use super::{All, Core, Slot};
use crate::clock::Now;
use crate::code::ErrorCode;

impl All {
    pub(super) fn moment(&self, resource: &Resource) -> Moment {
        let fetcher = self.fetcher.upgrade();
        Moment {
            at: tokio::time::Instant::now().into_std(),
            unix_ms: Now::read().unix_ms(),
            generation: fetcher.map_or(0, |fetcher| fetcher.generation(resource)),
        }
    }

    /// Sees that the replica is woken in time. One timer does; one that would come too late gives
    /// way to another.
    pub(super) fn arm(self: &Arc<Self>, slot: &Arc<Slot>, core: &mut Core) {
        let Some(wake) = core.replica.wake() else {
            return;
        };
        if let Some((armed, timer)) = core.armed.take() {
            if armed <= wake {
                core.armed = Some((armed, timer));
                return;
            }
            timer.abort();
        }
        let (all, slot) = (Arc::clone(self), Arc::downgrade(slot));
        let timer = self.runtime.spawn(async move {
            tokio::time::sleep_until(wake.into()).await;
            if let Some(slot) = slot.upgrade() {
                all.wake(&slot, wake);
            }
        });
        core.armed = Some((wake, timer.abort_handle()));
    }

    fn wake(self: &Arc<Self>, slot: &Arc<Slot>, due: Instant) {
        {
            let mut shard = self.shards.lock(&slot.resource.stream);
            let mut core = slot.lock();
            // Another timer has taken its place.
            if core.armed.as_ref().is_none_or(|(armed, _)| *armed != due) {
                return;
            }
            core.armed = None;
            let over = core.replica.is_over(tokio::time::Instant::now().into_std());
            drop(core);
            // Nobody can come in meanwhile: that takes the shard's lock.
            if over {
                self.give_up(&mut shard, slot);
                return;
            }
        }
        self.run(slot, super::super::core::Replica::deadline);
    }

    /// Begins a fetch. Its result, if that is at hand.
    pub(super) fn begin(self: &Arc<Self>, slot: &Arc<Slot>, begin: Begin) -> Option<Fetched> {
        let Some(fetcher) = self.fetcher.upgrade() else {
            return Some(closing());
        };
        let mut back = Back {
            all: Arc::clone(self),
            slot: Arc::clone(slot),
            ticket: Some(begin.ticket),
        };
        // Whoever polls first may be a worker's thread.
        let _runtime = self.runtime.enter();
        let mut fetch = fetcher.fetch(Request {
            resource: Arc::clone(&slot.resource),
            caller: begin.caller,
            generation: begin.generation,
            need: begin.need,
        });
        if let Some(fetched) = (&mut fetch).now_or_never() {
            back.ticket = None;
            return Some(fetched);
        }
        self.runtime.spawn(async move {
            let fetched = fetch.await;
            back.bring(fetched);
        });
        None
    }
}

/// Sees that a fetch comes back in any case.
struct Back {
    all: Arc<All>,
    slot: Arc<Slot>,
    ticket: Option<u64>,
}

impl Back {
    fn bring(&mut self, fetched: Fetched) {
        if let Some(ticket) = self.ticket.take() {
            self.all.fetched(&self.slot, ticket, fetched);
        }
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.bring(closing());
    }
}

fn closing() -> Fetched {
    let message = "The resource could not be fetched.";
    Fetched::Failed(super::super::core::failure(ErrorCode::Internal, message))
}
