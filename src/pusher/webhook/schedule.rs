//! What is to be sent when: a machine without I/O and without a clock of its own. Notices, the ends
//! of requests and the time go in, requests come out.
//!
//! Invariants: a departure is held back and dropped together with the return that comes in time; a
//! webhook gets what it asked for, in order; whatever leaves without being delivered is counted.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::delayed::{Delayed, Gone};
use super::event;
use super::lane::{After, Attempt, Lane, LaneId};
use super::{Config, Hook};
use crate::clock::Now;
use crate::metrics::Webhooks;
use crate::notice::{News, Notice, NoticeKind};

/// The webhooks' queues.
pub(super) struct Schedule {
    config: Arc<Config>,
    metrics: Webhooks,
    delayed: Delayed,
    lanes: Vec<Lane>,
    last_lane: u64,
    /// Nothing is held back or waits for company any more.
    ending: bool,
}

impl Schedule {
    pub(super) fn new(config: Arc<Config>, metrics: Webhooks) -> Self {
        let mut new = Self {
            config: Arc::default(),
            metrics,
            delayed: Delayed::default(),
            lanes: Vec::new(),
            last_lane: 0,
            ending: false,
        };
        new.reconfigure(config);
        new
    }

    /// Puts `config` in force. A webhook of the same app and address keeps what waits for it; what
    /// waits for one that is gone is dropped.
    pub(super) fn reconfigure(&mut self, config: Arc<Config>) {
        let mut old = std::mem::take(&mut self.lanes);
        for hook in &config.hooks {
            let same = |lane: &Lane| {
                lane.hook().app.id == hook.app.id && lane.hook().target == hook.target
            };
            let lane = match old.iter().position(same) {
                Some(index) => {
                    let mut lane = old.swap_remove(index);
                    lane.reconfigure(hook.clone(), Arc::clone(&config));
                    lane
                }
                None => {
                    self.last_lane += 1;
                    let (id, config) = (LaneId(self.last_lane), Arc::clone(&config));
                    Lane::new(id, hook.clone(), config, self.metrics.clone())
                }
            };
            self.lanes.push(lane);
        }
        let lost = old.iter().map(Lane::events).sum();
        self.metrics.count_events("abandoned", lost);
        self.config = config;
    }

    /// Something happened.
    pub(super) fn notice(&mut self, notice: &Notice, now: Instant) {
        let kind = notice.news.kind();
        let member = event::member_of(&notice.news);
        if matches!(
            notice.news,
            News::Occupied | News::Vacated | News::Added(_) | News::Removed(_)
        ) {
            let gone = Gone {
                channel: notice.channel.clone(),
                member: member.clone(),
            };
            if self.is_settled(kind, gone, now) {
                return;
            }
        }
        if self.is_wanted(kind) {
            self.queue(kind, &event::render(notice, member.as_deref()), now);
        }
    }

    /// Holds a departure back, or drops it with its return: whether nothing is to be sent now.
    fn is_settled(&mut self, kind: NoticeKind, gone: Gone, now: Instant) -> bool {
        if event::is_departure(kind) {
            if self.ending || self.delayed.len() >= self.config.delayed {
                return false;
            }
            self.delayed.hold(gone, now + self.config.delay);
            return true;
        }
        let back = self.delayed.returns(&gone);
        if back {
            self.metrics.count_events("rejoined", 2);
        }
        back
    }

    fn is_wanted(&self, kind: NoticeKind) -> bool {
        self.lanes.iter().any(|lane| lane.hook().wants(kind))
    }

    fn queue(&mut self, kind: NoticeKind, event: &Bytes, now: Instant) {
        for lane in &mut self.lanes {
            if lane.hook().wants(kind) {
                lane.push(event.clone(), now);
            }
        }
    }

    /// The next request that is to be made now; call it until there is none.
    pub(super) fn attempt(&mut self, now: Now) -> Option<Attempt> {
        self.release(now.instant);
        let mut lanes = self.lanes.iter_mut();
        lanes.find_map(|lane| lane.attempt(now, self.ending))
    }

    /// A request has ended. The answer is for the log, with the webhook it was for.
    pub(super) fn finish(
        &mut self,
        lane: LaneId,
        ok: bool,
        now: Instant,
        chance: u64,
    ) -> Option<(After, Arc<Hook>)> {
        // One that was reconfigured away has nothing to do with it any more.
        let lane = self.lanes.iter_mut().find(|other| other.id == lane)?;
        let after = lane.finish(ok, now, chance);
        Some((after, Arc::clone(lane.hook())))
    }

    /// The server stops: what is held back goes now, and nothing waits for company or for the end
    /// of a pause.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.lanes.iter_mut().for_each(Lane::hurry);
    }

    /// What is left is given up: how many events that is.
    pub(super) fn abandon(&mut self) -> usize {
        let waiting: usize = self.lanes.iter().map(Lane::events).sum();
        self.metrics.count_events("abandoned", waiting);
        self.lanes.clear();
        waiting
    }

    /// When there is something to do next.
    pub(super) fn wake(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().filter_map(Lane::wake);
        lanes.chain(self.delayed.due()).min()
    }

    /// Events that are not delivered, and departures that are held back.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let events = self.lanes.iter().map(Lane::events).sum();
        (events, self.delayed.len())
    }

    /// Queues the departures whose time has come.
    fn release(&mut self, now: Instant) {
        let due = (!self.ending).then_some(now);
        while let Some(gone) = self.delayed.next_due(due) {
            let Gone { channel, member } = gone;
            let news = match &member {
                None => News::Vacated,
                Some(_) => News::Removed(Bytes::new()),
            };
            let notice = Notice { channel, news };
            let kind = notice.news.kind();
            if self.is_wanted(kind) {
                self.queue(kind, &event::render(&notice, member.as_deref()), now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
