//! Who is subscribed to what, on which worker; fan-out and questions to the workers.
//!
//! Invariants: a publication is handed over once to each worker that has a subscriber, never once
//! a subscriber; handing over never blocks and takes no lock but its channel's shard; what is
//! under way is bounded by the budget; an expired publication is given to nobody.

mod delivery;
mod interest;
mod message;
mod question;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod watcher;

pub use delivery::Delivery;
pub use message::{SessionAction, SessionFilter, SessionInfo, Target, Worker, WorkerMessage};
pub use question::Tally;
pub use watcher::{Watched, Watcher};

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::channel::{ChannelName, Pattern};
use crate::event_log::{Details, EventKind, EventLog};
use crate::metrics::Metrics;
use crate::notice::{News, NoticeKind, Notices};
use crate::protocol::deflate::Deflater;
use crate::publication::{Admission, Deliver, Form, Publication};
use interest::Interests;
use watcher::Watchers;

/// The number of a worker, 0 to 63.
pub type WorkerId = u8;
/// Most workers: one bit each in a channel's interest.
pub const MAX_WORKERS: usize = 64;
/// What a publication occupies beside its data, in bytes of the budget.
const PUBLICATION_BYTES: usize = 512;

/// The hub's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Most bytes of publications on their way to the workers (`hub.budget_bytes`).
    pub budget_bytes: usize,
    /// Most publications on their way to the workers (`hub.budget_publications`).
    pub budget_publications: usize,
    /// Most events that are kept for watchers (`events.capacity`).
    pub events: usize,
    /// Most backend subscriptions at a time (`hub.max_watchers`).
    pub max_watchers: usize,
    /// Most names and patterns of one (`hub.watcher_patterns`).
    pub watcher_patterns: usize,
    /// Most publications that wait for one (`hub.watcher_publications`).
    pub watcher_publications: usize,
    /// Most bytes that wait for one (`hub.watcher_bytes`).
    pub watcher_bytes: usize,
    /// Most channels whose loss is told to one channel by channel (`hub.watcher_gaps`).
    pub watcher_gaps: usize,
    /// How long a worker may take to answer (`hub.answer_timeout`).
    pub answer_timeout: Duration,
    /// Most notices for webhooks that wait (`pusher.webhook_notices`).
    pub notices: usize,
    /// Most bytes of them (`pusher.webhook_notice_bytes`).
    pub notice_bytes: usize,
    /// From how many bytes on publications are compressed for those who take it so
    /// (`edge.compression_min_bytes`).
    pub compression_min_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget_bytes: 64 << 20,
            budget_publications: 65_536,
            events: 16_384,
            max_watchers: 256,
            watcher_patterns: 100,
            watcher_publications: 8_192,
            watcher_bytes: 8 << 20,
            watcher_gaps: 1_024,
            answer_timeout: Duration::from_secs(5),
            notices: 16_384,
            notice_bytes: 8 << 20,
            compression_min_bytes: 256,
        }
    }
}

/// Why the hub refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// There are 64 already.
    #[error("there are {MAX_WORKERS} workers already")]
    TooManyWorkers,
    /// As many as `hub.max_watchers` allows.
    #[error("there are {limit} backend subscriptions already (`hub.max_watchers`)")]
    TooManyWatchers {
        /// The bound.
        limit: usize,
    },
    /// More than `hub.watcher_patterns`.
    #[error("a backend subscription has at most {limit} patterns (`hub.watcher_patterns`)")]
    TooManyPatterns {
        /// The bound.
        limit: usize,
    },
}

/// Who is subscribed to what, on which worker.
pub struct Hub {
    config: Config,
    metrics: Metrics,
    events: Arc<EventLog>,
    notices: Arc<Notices>,
    workers: [OnceLock<Arc<dyn Worker>>; MAX_WORKERS],
    interests: Interests,
    watchers: Watchers,
    budget: Arc<Semaphore>,
    budget_size: usize,
    deflater: Arc<Deflater>,
    gateway: OnceLock<Arc<dyn Deliver>>,
}

impl Hub {
    /// A hub without workers.
    pub fn new(config: Config, metrics: Metrics) -> Self {
        // A permit of the budget is a byte. Where that were more than a semaphore holds, the
        // budget is what it holds.
        let budget_size = config.budget_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let budget = Arc::new(Semaphore::new(budget_size));
        metrics.set_bound("hub.budget_bytes", budget_size);
        metrics.on_scrape({
            let budget = Arc::clone(&budget);
            move |metrics| {
                let used = budget_size.saturating_sub(budget.available_permits());
                let used = i64::try_from(used).unwrap_or(i64::MAX);
                metrics.budget_bytes.set(used);
            }
        });
        Self {
            events: Arc::new(EventLog::new(config.events)),
            notices: Arc::new(Notices::new(config.notices, config.notice_bytes, &metrics)),
            watchers: Watchers::default(),
            deflater: Arc::new(Deflater::new(config.compression_min_bytes, &metrics)),
            budget,
            budget_size,
            workers: [const { OnceLock::new() }; MAX_WORKERS],
            interests: Interests::default(),
            gateway: OnceLock::new(),
            config,
            metrics,
        }
    }

    /// Adds a worker. All are added at start, before anyone joins.
    ///
    /// # Errors
    /// [`HubError::TooManyWorkers`]
    pub fn attach(&self, worker: Arc<dyn Worker>) -> Result<WorkerId, HubError> {
        let mut worker = worker;
        for (slot, id) in self.workers.iter().zip(0..) {
            match slot.set(worker) {
                Ok(()) => return Ok(id),
                Err(taken) => worker = taken,
            }
        }
        Err(HubError::TooManyWorkers)
    }

    /// From now on publications on covered uris go to `gateway`, which says who gets what. Called
    /// at start, once.
    pub fn set_gateway(&self, gateway: Arc<dyn Deliver>) {
        let _ = self.gateway.set(gateway);
    }

    /// Says something to one worker.
    pub fn post(&self, worker: WorkerId, message: WorkerMessage) {
        if let Some(worker) = self
            .workers
            .get(usize::from(worker))
            .and_then(OnceLock::get)
        {
            worker.post(message);
        }
    }

    /// What a publication becomes on its way: encoded once for all that it is given to.
    pub fn delivery(&self, publication: Publication, admission: Option<Admission>) -> Delivery {
        Delivery::new(
            publication,
            admission,
            Arc::clone(&self.deflater),
            self.metrics.encodings.clone(),
        )
    }

    /// Hands `publication` to every subscriber of its channel on this node, and returns how many
    /// sessions that is.
    pub fn fan_out(&self, publication: Publication, admission: Option<Admission>) -> usize {
        let (mut workers, sessions) = self.interests.of(publication.channel.as_str());
        if workers == 0 {
            return 0;
        }
        let delivery = Arc::new(self.delivery(publication, admission));
        while workers != 0 {
            let id = workers.trailing_zeros() as usize;
            workers &= workers - 1;
            if let Some(worker) = self.workers[id].get() {
                worker.post(WorkerMessage::Deliver(Arc::clone(&delivery)));
            }
        }
        sessions
    }

    /// One more session of `worker` is on `channel`: whether it is the node's first there.
    pub fn join(&self, channel: &ChannelName, worker: WorkerId) -> bool {
        // Told under the shard's lock, so that the log shows the channel's changes in order.
        self.interests.join(channel, worker, || {
            self.metrics.channels.inc();
            self.record(EventKind::Occupied, channel);
            self.notices.tell(channel, News::Occupied);
        })
    }

    /// One session of `worker` less: whether it was the node's last there.
    pub fn leave(&self, channel: &ChannelName, worker: WorkerId) -> bool {
        self.interests.leave(channel, worker, || {
            self.metrics.channels.dec();
            self.record(EventKind::Vacated, channel);
            self.notices.tell(channel, News::Vacated);
        })
    }

    /// Sessions of this node on `channel`.
    pub fn subscribers(&self, channel: &str) -> usize {
        self.interests.of(channel).1
    }

    /// The first `limit` channels with a subscriber here whose names match `pattern` (none: all)
    /// and follow `after`, in order, with their subscribers.
    pub fn channels(
        &self,
        pattern: Option<&Pattern>,
        after: &str,
        limit: usize,
    ) -> Vec<(ChannelName, usize)> {
        self.interests.page(pattern, after, limit)
    }

    /// How many channels have a subscriber here.
    pub fn len(&self) -> usize {
        self.interests.len()
    }

    /// Whether no channel has a subscriber here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happens to sessions and channels here.
    pub fn events(&self) -> &Arc<EventLog> {
        &self.events
    }

    /// What webhooks are told of.
    pub fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Listens to every publication on names that match one of `patterns`, from now on.
    ///
    /// # Errors
    /// [`HubError`] says which bound is reached.
    pub fn watch(self: &Arc<Self>, patterns: Vec<Pattern>) -> Result<Watcher, HubError> {
        Watcher::new(self, patterns)
    }

    /// Waits for room for a publication of `bytes`. Ready at once while there is room.
    ///
    /// Room comes back as workers take their deliveries, so the wait ends unless a worker hangs;
    /// whoever waits for a client bounds it with the client's deadline.
    pub async fn admit(&self, bytes: usize) -> Option<Admission> {
        let each = self.budget_size / self.config.budget_publications.max(1);
        let cost = (bytes + PUBLICATION_BYTES).max(each).min(self.budget_size);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        // Tried first: a waiting acquire may yield although there is room, and workers count on
        // an answer at the first poll.
        match Arc::clone(&self.budget).try_acquire_many_owned(cost) {
            Ok(admission) => Some(admission),
            // Only a closed semaphore fails, and nobody closes this one.
            Err(_) => Arc::clone(&self.budget).acquire_many_owned(cost).await.ok(),
        }
    }

    fn attached(&self) -> impl Iterator<Item = &Arc<dyn Worker>> {
        self.workers.iter().map_while(OnceLock::get)
    }

    /// Tells webhooks of a member that came or went. The broker calls in the order in which members
    /// come and go, and nobody else may use these names.
    fn notice_member(&self, publication: &Publication) {
        let news = match &*publication.event {
            "pogo:join" => News::Added(publication.data.clone()),
            "pogo:leave" => News::Removed(publication.data.clone()),
            _ => return,
        };
        self.notices.tell(&publication.channel, news);
    }

    fn record(&self, kind: EventKind, channel: &ChannelName) {
        if channel.is_internal() {
            return;
        }
        let channel = Some(channel.clone());
        let details = Details {
            channel,
            ..Details::default()
        };
        self.events.record(kind, details);
    }
}

impl Deliver for Hub {
    fn deliver(&self, publication: Publication, admission: Option<Admission>) -> usize {
        if publication.expires.is_some() && publication.is_expired(Instant::now()) {
            let (_, sessions) = self.interests.of(publication.channel.as_str());
            self.metrics.expired_publications.inc_by(sessions as u64);
            return 0;
        }
        if self.notices.wants(NoticeKind::MemberAdded) {
            self.notice_member(&publication);
        }
        if publication.form != Form::Count {
            self.watchers.offer(&publication, &self.config);
        }
        match self.gateway.get() {
            Some(gateway) if publication.change.is_some() => {
                gateway.deliver(publication, admission)
            }
            _ => self.fan_out(publication, admission),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("channels", &self.len())
            .finish_non_exhaustive()
    }
}
