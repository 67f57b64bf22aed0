//! The workers as one: starting them, giving each connection to the least loaded, stopping them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Poll, Waker};
use prometheus_client::metrics::gauge::Gauge;
use slab::Slab;
use tokio::runtime::Handle;

use super::direct::Runs;
use super::flush::Written;
use super::inbox::{Inbox, Input};
use super::mailbox::Bounds;
use super::operations::Services;
use super::table::Table;
use super::timers::Timers;
use super::walks::Walks;
use super::{CLOSE_LINGER, Gauges, SCRATCH_BYTES, WAKE, Worker};
use crate::auth::Authenticator;
use crate::clock::Now;
use crate::edge::Config;
use crate::edge::connection::{Busy, Connection, Sessions};
use crate::hub::{HubError, WorkerId};
use crate::limits::Limits;
use crate::metrics::{Metrics, WorkerLabel};
use crate::node::Node;
use crate::protocol::deflate::Inflater;
use crate::resource::Calls;
use crate::session::Shared;

/// How often a drain looks whether all sessions are gone.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// What the workers work with.
#[derive(Clone)]
pub struct PoolServices {
    /// Hub and broker.
    pub node: Arc<Node>,
    /// Checks tokens.
    pub authenticator: Arc<Authenticator>,
    /// Counts commands and failed tokens.
    pub limits: Arc<Limits>,
    /// What all sessions share.
    pub shared: Arc<Shared>,
    /// What is counted.
    pub metrics: Metrics,
    /// Takes the sessions' calls.
    pub gateway: Arc<dyn Calls>,
}

impl fmt::Debug for PoolServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolServices").finish_non_exhaustive()
    }
}

/// A worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The system refused a poller or a thread.
    #[error("a worker cannot be started")]
    Start(#[from] std::io::Error),
    /// The hub has no place for it.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// What the workers know of each other.
#[derive(Debug)]
pub(super) struct Peers(pub(super) Vec<(Arc<Inbox>, Arc<Gauges>)>);

impl Peers {
    /// Bytes in all mailboxes.
    pub(super) fn mailbox_bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(_, gauges)| gauges.mailbox_bytes.load(Ordering::Relaxed))
            .sum()
    }

    /// Counts one more session of the worker that has the fewest, whose inbox it is. One that has
    /// ended has none and would be given everybody.
    fn take_seat(&self) -> Option<&Inbox> {
        loop {
            let open = self.0.iter().filter(|(inbox, _)| !inbox.is_closed());
            let counts = open.map(|(inbox, gauges)| {
                let count = gauges.sessions.load(Ordering::Relaxed);
                (count, inbox, &gauges.sessions)
            });
            let (count, inbox, sessions) = counts.min_by_key(|(count, ..)| *count)?;
            // Others give connections away at this moment: it may not be the fewest any more.
            let order = Ordering::Relaxed;
            if sessions
                .compare_exchange(count, count + 1, order, order)
                .is_ok()
            {
                return Some(inbox);
            }
        }
    }

    fn sessions(&self) -> usize {
        self.0
            .iter()
            .map(|(_, gauges)| gauges.sessions.load(Ordering::Relaxed))
            .sum()
    }

    /// Bytes in the largest mailbox, as far as is known.
    pub(super) fn largest(&self) -> usize {
        let sizes = self
            .0
            .iter()
            .map(|(_, gauges)| gauges.largest.load(Ordering::Relaxed));
        sizes.max().unwrap_or_default()
    }

    /// Has the worker with the largest mailbox cut it.
    pub(super) fn cut_largest(&self) {
        let largest = |entry: &&(Arc<Inbox>, Arc<Gauges>)| entry.1.largest.load(Ordering::Relaxed);
        if let Some((inbox, _)) = self.0.iter().max_by_key(largest) {
            inbox.put(Input::CutLargest);
        }
    }
}

/// What is a worker's own at its start.
pub(super) struct Seed {
    pub(super) id: WorkerId,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) peers: Arc<Peers>,
    pub(super) context: Arc<Services>,
}

impl Worker {
    pub(super) fn new(config: &Config, services: &PoolServices, seed: Seed) -> Self {
        Self {
            id: seed.id,
            bounds: Bounds {
                bytes: config.mailbox_bytes,
                entries: config.mailbox_messages,
            },
            mailbox_total_bytes: config.mailbox_total_bytes,
            frame_limits: [false, true].map(|deflate| Arc::new(config.frame_limits(deflate))),
            inflater: Inflater::new(config.max_frame_bytes, &services.metrics),
            services: seed.context,
            shared: services.shared.clone(),
            metrics: services.metrics.clone(),
            latency: services.metrics.delivery_latency.recorder(),
            written: Written::default(),
            gauges: seed.gauges,
            peers: seed.peers,
            inbox: seed.inbox,
            inputs: Vec::new(),
            poll: seed.poll,
            clients: Slab::new(),
            by_id: BTreeMap::new(),
            table: Table::default(),
            timers: Timers::default(),
            walks: Walks::default(),
            dirty: Vec::new(),
            unread: Vec::new(),
            overflown: Vec::new(),
            effects: Vec::new(),
            spare_effects: Vec::new(),
            spare_rings: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            cork: Vec::new(),
            runs: Runs::default(),
            mailbox_bytes: 0,
            largest: 0,
            now: Now::read(),
            stopping: false,
        }
    }
}

/// All workers of the node.
#[derive(Debug)]
pub struct Workers {
    pub(super) peers: Arc<Peers>,
    max_sessions: Option<usize>,
    /// How many of the sessions have a fallback transport: each takes two more files.
    fallback_sessions: Gauge,
    mailbox_total_bytes: usize,
    draining: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    /// Starts the workers and makes them known to the hub. Call it within a runtime, which then
    /// carries what a worker does not finish at once.
    ///
    /// # Errors
    /// The system refused a poller or a thread.
    pub fn start(config: &Config, services: &PoolServices) -> Result<Self, WorkerError> {
        let mut polls = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..config.workers.clamp(1, 64) {
            let poll = Poll::new()?;
            let inbox = Arc::new(Inbox::new(Waker::new(poll.registry(), WAKE)?));
            peers.push((inbox, Arc::new(Gauges::default())));
            polls.push(poll);
        }
        let workers = Self {
            peers: Arc::new(Peers(peers)),
            max_sessions: config.max_sessions,
            fallback_sessions: services.metrics.fallback_sessions.clone(),
            mailbox_total_bytes: config.mailbox_total_bytes,
            draining: AtomicBool::new(false),
            threads: Mutex::default(),
        };
        let context = Arc::new(Services {
            node: services.node.clone(),
            authenticator: services.authenticator.clone(),
            limits: services.limits.clone(),
            operation_timeout: config.operation_timeout,
            gateway: services.gateway.clone(),
        });
        for (index, poll) in polls.into_iter().enumerate() {
            let (inbox, gauges) = workers.peers.0[index].clone();
            let seed = Seed {
                id: services.node.hub().attach(inbox.clone())?,
                poll,
                inbox,
                gauges,
                peers: workers.peers.clone(),
                context: context.clone(),
            };
            workers.spawn(Worker::new(config, services, seed), Handle::current())?;
        }
        workers.count_at_scrape(&services.metrics);
        Ok(workers)
    }

    fn spawn(&self, worker: Worker, runtime: Handle) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(format!("worker-{}", worker.id));
        let handle = thread.spawn(move || {
            let _entered = runtime.enter();
            worker.run();
        })?;
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        Ok(())
    }

    fn count_at_scrape(&self, metrics: &Metrics) {
        let peers = self.peers.clone();
        if let Some(most) = self.max_sessions {
            metrics.set_bound("sessions", most);
        }
        let ours = metrics.worker_sessions.clone();
        let gauges = self
            .peers
            .0
            .iter()
            .enumerate()
            .map(|(worker, (_, gauges))| {
                let label = WorkerLabel { worker };
                (ours.get_or_create_owned(&label), gauges.clone())
            });
        let gauges: Vec<_> = gauges.collect();
        metrics.on_scrape(move |metrics| {
            for (metric, gauges) in &gauges {
                let sessions = gauges.sessions.load(Ordering::Relaxed);
                metric.set(i64::try_from(sessions).unwrap_or(i64::MAX));
            }
            let bytes = i64::try_from(peers.mailbox_bytes()).unwrap_or(i64::MAX);
            metrics.mailbox_bytes.set(bytes);
            let counts = peers.0.iter().map(|(_, gauges)| &gauges.deliveries);
            let deliveries = counts.map(|count| count.load(Ordering::Relaxed)).sum();
            let total = metrics.deliveries.inner();
            total.store(deliveries, Ordering::Relaxed);
            if metrics.drain_remaining.get() > 0 {
                let sessions = i64::try_from(peers.sessions()).unwrap_or(i64::MAX);
                metrics.drain_remaining.set(sessions);
            }
        });
    }

    /// Sessions on this node, those just taken over included.
    pub fn sessions(&self) -> usize {
        self.peers.sessions()
    }

    /// Takes no further connections, tells every session to go and closes those that stay,
    /// spread over `period`. Returns when all are gone, at the latest some seconds after it.
    pub async fn drain(&self, node: &Node, period: Duration, metrics: &Metrics) {
        self.draining.store(true, Ordering::SeqCst);
        metrics
            .drain_remaining
            .set(i64::try_from(self.sessions()).unwrap_or(i64::MAX));
        node.drain(period);
        let end = tokio::time::Instant::now() + period + 2 * CLOSE_LINGER;
        while self.sessions() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        metrics.drain_remaining.set(0);
    }

    /// Closes what is open and ends the threads.
    pub fn stop(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for (inbox, _) in &self.peers.0 {
            inbox.put(Input::Stop);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

impl Drop for Workers {
    /// A server that never ran leaves no thread behind.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Sessions for Workers {
    fn ready(&self) -> Result<(), Busy> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Busy::Draining);
        }
        let extra = 2 * usize::try_from(self.fallback_sessions.get()).unwrap_or_default();
        let full = self
            .max_sessions
            .is_some_and(|most| self.sessions() + extra >= most)
            || self.peers.mailbox_bytes() >= self.mailbox_total_bytes;
        if full { Err(Busy::Overloaded) } else { Ok(()) }
    }

    fn adopt(&self, connection: Connection) -> Result<(), Box<Connection>> {
        if self.ready().is_err() {
            return Err(Box::new(connection));
        }
        match self.peers.take_seat() {
            Some(inbox) => {
                inbox.put(Input::Adopt(Box::new(connection)));
                Ok(())
            }
            None => Err(Box::new(connection)),
        }
    }
}
