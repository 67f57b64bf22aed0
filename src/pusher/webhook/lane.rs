//! One webhook's events: a queue, the request that is under way or tried again, and when.
//!
//! Invariants: events leave in the order in which they came, one request at a time; the queue is
//! bounded by count and by bytes, and its oldest make room; a request that failed is tried again
//! with the same body, so that the receiver can tell that it is the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::event;
use super::{Config, Hook};
use crate::clock::Now;
use crate::metrics::Webhooks;

/// Names a lane for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneId(pub(super) u64);

/// A request to be made now.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) lane: LaneId,
    pub(super) hook: Arc<Hook>,
    pub(super) body: Bytes,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing to say.
    Done,
    /// It is tried again; true: it is the first failure after a success.
    Again(bool),
    /// Its time is over: so many events are lost.
    Dropped(usize),
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    hook: Arc<Hook>,
    config: Arc<Config>,
    metrics: Webhooks,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    batch: Option<Batch>,
    under_way: bool,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    event: Bytes,
    since: Instant,
}

#[derive(Debug)]
struct Batch {
    body: Bytes,
    events: usize,
    /// No attempt begins later.
    until: Instant,
}

impl Lane {
    pub(super) fn new(id: LaneId, hook: Hook, config: Arc<Config>, metrics: Webhooks) -> Self {
        Self {
            id,
            hook: Arc::new(hook),
            config,
            metrics,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            batch: None,
            under_way: false,
            failures: 0,
            not_before: None,
        }
    }

    /// Goes on for `hook`, which is of the same app and address.
    pub(super) fn reconfigure(&mut self, hook: Hook, config: Arc<Config>) {
        self.hook = Arc::new(hook);
        self.config = config;
    }

    /// Whose events these are.
    pub(super) fn hook(&self) -> &Arc<Hook> {
        &self.hook
    }

    /// Queues `event`; the oldest go where there is no room.
    pub(super) fn push(&mut self, event: Bytes, now: Instant) {
        self.waiting_bytes += event.len();
        self.waiting.push_back(Waiting { event, since: now });
        let mut lost = 0;
        while self.waiting.len() > self.config.queue_events
            || self.waiting_bytes > self.config.queue_bytes
        {
            if self.pop().is_none() {
                break;
            }
            lost += 1;
        }
        self.metrics.count_events("overflow", lost);
    }

    /// The request that is to be made now, if any; it is under way then. `hurry`: nothing waits for
    /// others to go with it.
    pub(super) fn attempt(&mut self, now: Now, hurry: bool) -> Option<Attempt> {
        if self.under_way || self.not_before.is_some_and(|at| now.instant < at) {
            return None;
        }
        if self.batch.is_none() {
            self.batch = self.seal(now, hurry);
        }
        let batch = self.batch.as_ref()?;
        self.under_way = true;
        Some(Attempt {
            lane: self.id,
            hook: Arc::clone(&self.hook),
            body: batch.body.clone(),
        })
    }

    /// The request under way has ended. `chance` makes the pause after a failure differ from those
    /// of others.
    pub(super) fn finish(&mut self, ok: bool, now: Instant, chance: u64) -> After {
        self.under_way = false;
        let Some(batch) = &self.batch else {
            return After::Done;
        };
        let events = batch.events;
        if ok {
            self.metrics.count_events("delivered", events);
            self.batch = None;
            self.failures = 0;
            self.not_before = None;
            return After::Done;
        }
        self.failures = self.failures.saturating_add(1);
        let next = now + pause(self.failures, chance, &self.config);
        self.not_before = Some(next);
        if next <= batch.until {
            return After::Again(self.failures == 1);
        }
        self.metrics.count_events("expired", events);
        self.batch = None;
        After::Dropped(events)
    }

    /// A pause after a failure ends now.
    pub(super) fn hurry(&mut self) {
        self.not_before = None;
    }

    /// When there may be something to do.
    pub(super) fn wake(&self) -> Option<Instant> {
        if self.under_way {
            return None;
        }
        let ready = match (&self.batch, self.waiting.front()) {
            // A request that is not under way waits for the end of its pause.
            (Some(_), _) => self.not_before?,
            (None, Some(first)) => first.since + self.config.batch_wait,
            (None, None) => return None,
        };
        Some(self.not_before.map_or(ready, |at| at.max(ready)))
    }

    /// Events that are not delivered yet.
    pub(super) fn events(&self) -> usize {
        self.waiting.len() + self.batch.as_ref().map_or(0, |batch| batch.events)
    }

    fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.waiting_bytes -= first.event.len();
        Some(first)
    }

    /// Makes a request of what waits, if enough does or long enough.
    fn seal(&mut self, now: Now, hurry: bool) -> Option<Batch> {
        let config = Arc::clone(&self.config);
        let mut late = 0;
        while let Some(first) = self.waiting.front()
            && now.instant.saturating_duration_since(first.since) >= config.retry_for
        {
            self.pop();
            late += 1;
        }
        self.metrics.count_events("expired", late);
        let first = self.waiting.front()?;
        let waited = now.instant.saturating_duration_since(first.since) >= config.batch_wait;
        let full = self.waiting.len() >= config.batch_events;
        if !(waited || full || hurry || self.waiting_bytes >= config.batch_bytes) {
            return None;
        }
        let (mut events, mut bytes) = (vec![], 0);
        while let Some(next) = self.waiting.front()
            && events.len() < config.batch_events
            && (events.is_empty() || bytes + next.event.len() <= config.batch_bytes)
        {
            bytes += next.event.len();
            events.extend(self.pop().map(|waiting| waiting.event));
        }
        Some(Batch {
            body: event::body(now.unix_ms(), events.iter()),
            events: events.len(),
            until: now.instant + config.retry_for,
        })
    }
}

/// How long to wait after so many failures in a row: twice as long each time, less up to a half by
/// chance, so that not all come back at once.
fn pause(failures: u32, chance: u64, config: &Config) -> Duration {
    let factor = 1u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let longest = config.retry_min.saturating_mul(factor);
    let longest = longest.min(config.retry_max.max(config.retry_min));
    let part = u32::try_from(chance % 1_000).unwrap_or_default();
    longest / 2 + longest / 2 * part / 1_000
}
