//! Checks of whether those who are bound may stay.
//!
//! Invariants: of several checks of one session only the latest says what becomes of it; nothing
//! that was asked on an older token changes what a newer one is given.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::core;
use super::super::fetcher::Resource;
use super::super::words::Attach;
use super::map::{Shard, Unplaced};
use super::{All, Replicas, Slot, stream};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::resource::{Caller, Failure, Origin};
use crate::session_id::SessionId;

impl Replicas {
    /// Gives the session nothing until the check whose number this is has ended: by
    /// [`Self::stay`], [`Self::deny`] or [`Self::refuse`]. None: it is not bound, or `caller` is
    /// not its latest.
    pub fn hold(&self, session: SessionId, uri: &ChannelName, caller: &Arc<Caller>) -> Option<u64> {
        let all = &self.all;
        let check = all.checks.fetch_add(1, Ordering::Relaxed) + 1;
        // The shard stays locked: it must not move to another replica meanwhile.
        let shard = all.shards.lock(&stream(uri));
        let slot = shard.find(session, uri)?;
        let mut held = false;
        all.later(&slot, |replica, _| {
            held = replica.hold(session, check, caller);
        });
        held.then_some(check)
    }

    /// The check says no: the session is unbound and told so.
    pub fn deny(&self, session: SessionId, uri: &ChannelName, check: u64, why: &Failure) {
        let slot = {
            let mut shard = self.all.shards.lock(&stream(uri));
            let slot = shard.find(session, uri);
            let slot = slot.filter(|slot| slot.lock().replica.waits_for(session, check));
            slot.inspect(|_| {
                shard.exit(session, uri);
            })
        };
        if let Some(slot) = slot {
            self.all
                .run(&slot, |replica, now| replica.deny(session, why, now));
        }
    }

    /// The check says no, and the session leaves by itself when it hears of that.
    pub fn refuse(&self, session: SessionId, uri: &ChannelName, check: u64, why: &Failure) {
        let slot = self.all.shards.lock(&stream(uri)).find(session, uri);
        if let Some(slot) = slot {
            self.all.run(&slot, |replica, now| {
                replica.refuse_held(session, check, why, now);
            });
        }
    }

    /// The check says yes; if the session belongs to another replica now, it moves there and is
    /// told of a gap. False: the endpoint that was asked about is not in force any more, and the
    /// session is held still.
    pub fn stay(&self, origin: Origin, here: &Arc<Resource>, check: u64) -> bool {
        let all = &self.all;
        let session = origin.session;
        let placed = {
            let mut shard = all.shards.lock(&here.stream);
            let slot = shard.find(session, &here.uri);
            if !slot.is_some_and(|slot| slot.lock().replica.waits_for(session, check)) {
                return true;
            }
            let placed = all.place(&mut shard, here);
            if let Ok(slot) = &placed {
                if let Some(old) = shard.enter(session, slot) {
                    all.move_over(&old, slot, session);
                }
                shard.admit(session, &here.uri);
            }
            placed
        };
        match placed {
            Ok(slot) => all.run(&slot, |replica, now| replica.confirm(session, check, now)),
            Err(Unplaced::Outdated) => return false,
            Err(Unplaced::Full) => {
                let message = "As many resources are followed as `gateway.max_replicas` allows.";
                let full = core::failure(ErrorCode::Unavailable, message);
                self.deny(session, &here.uri, check, &full);
            }
        }
        true
    }
}

impl All {
    /// Where the session is on a newer token than `attach` was made on: there it stays.
    pub(super) fn newer(
        &self,
        shard: &Shard,
        resource: &Resource,
        attach: &Attach,
    ) -> Option<Arc<Slot>> {
        let session = attach.origin.session;
        let slot = shard.find(session, &resource.uri)?;
        let turn = slot.lock().replica.turn(session)?;
        (turn > attach.caller.turn).then_some(slot)
    }
}
