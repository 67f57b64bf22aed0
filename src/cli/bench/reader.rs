//! A thread that reads at once whatever comes to a swarm, while others publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::swarm::Swarm;
use crate::cli::error::CliError;

/// How long it sleeps where nothing comes, before it looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a lazy reader reads.
const LAZY: Duration = Duration::from_millis(300);

/// A swarm that is being read.
pub(super) struct Reader {
    thread: JoinHandle<Result<Swarm, CliError>>,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
}

impl Reader {
    /// Reads `swarm`, whose clients are on its poller.
    pub(super) fn start(swarm: Swarm) -> Result<Self, CliError> {
        Self::spawn(swarm, |swarm| swarm.turn(PAUSE).map_err(failed))
    }

    /// Reads `swarm`, whose clients are off its poller, now and then.
    pub(super) fn start_lazy(swarm: Swarm) -> Result<Self, CliError> {
        Self::spawn(swarm, |swarm| {
            std::thread::sleep(LAZY);
            swarm.collect(u64::MAX);
            Ok(())
        })
    }

    fn spawn(
        mut swarm: Swarm,
        turn: impl Fn(&mut Swarm) -> Result<(), CliError> + Send + 'static,
    ) -> Result<Self, CliError> {
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (stop.clone(), received.clone());
        let thread = std::thread::Builder::new().name("reader".to_owned());
        let thread = thread.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                turn(&mut swarm)?;
                counted.store(swarm.context.tally.received, Ordering::Relaxed);
            }
            Ok(swarm)
        });
        Ok(Self {
            thread: thread.map_err(failed)?,
            stop,
            received,
        })
    }

    /// How many publications have come since the swarm began.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Sleeps until `count` have come in all, or nothing more has for `patience`.
    pub(super) async fn wait(&self, count: u64, patience: Duration) {
        let mut last = (self.received(), Instant::now());
        while last.0 < count && last.1.elapsed() < patience && !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = self.received();
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
    }

    /// Ends the thread and gives the swarm back.
    pub(super) fn stop(self) -> Result<Swarm, CliError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(failed("the reader panicked")))
    }
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("reading: {error}"))
}
