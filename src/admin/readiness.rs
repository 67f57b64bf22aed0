//! Whether the server should be sent clients.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

/// Tells `/readyz` whether to say yes. Cloning shares it.
#[derive(Clone)]
pub struct Readiness {
    phase: Arc<AtomicU8>,
    broker_up: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Why the server should not be sent clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It has not begun to serve.
    #[error("starting")]
    Starting,
    /// It is about to stop.
    #[error("draining")]
    Draining,
    /// Its broker cannot be reached.
    #[error("the broker cannot be reached")]
    BrokerDown,
}

impl Readiness {
    /// Not ready until [`Self::serving`]; `broker_up` is asked at each probe.
    pub fn new(broker_up: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            phase: Arc::new(AtomicU8::new(STARTING)),
            broker_up: Arc::new(broker_up),
        }
    }

    /// Everything is up. Does not take back [`Self::draining`].
    pub fn serving(&self) {
        // Fails only where draining has begun already, which stands.
        let _ =
            self.phase
                .compare_exchange(STARTING, SERVING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The server is about to stop: for good.
    pub fn draining(&self) {
        self.phase.store(DRAINING, Ordering::Relaxed);
    }

    /// Whether the server should be sent clients.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NotReady> {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => Err(NotReady::Starting),
            DRAINING => Err(NotReady::Draining),
            _ if (self.broker_up)() => Ok(()),
            _ => Err(NotReady::BrokerDown),
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("state", &self.check())
            .finish()
    }
}
