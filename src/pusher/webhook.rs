//! Webhooks: what happens on channels, told to the apps' services by signed HTTP requests.
//!
//! Notices come from the hub (channels and members, in the order in which they come and go), the
//! node (client events) and Pusher sessions (cache misses, subscription counts), by the bounded
//! queue of [`crate::notice`]. Apps are credentials, not tenants: every app's webhooks are told of
//! every channel.
//!
//! Invariants: nothing here is ever waited for by delivery; each queue is bounded and what is lost
//! is counted; one webhook gets its events in order and one request at a time; a request goes to
//! an address that was checked, and to no other; no log line holds a secret, nor a URL's user or
//! query.
//!
//! A node knows of its own subscribers only. With several nodes, what they tell must be put
//! together before it is sent: a channel is occupied when its first node says so and vacated when
//! its last does, so the node that sees this change at the broker (a count of nodes a channel, as
//! for presence) has to tell; a member's push reaches every node, so only the one that handed it to
//! the broker may; a subscription count is a sum; who comes back within the delay may come back on
//! another node, so departures are to be held back at the broker. Client events and cache misses
//! are told by the node where they happen, once, and need nothing.

mod client;
mod config;
mod delayed;
mod driver;
mod event;
mod lane;
mod schedule;

pub use config::{Config, Hook, Target, TargetError};

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::notice::NoticeReader;
use client::Client;
use driver::{Driver, Plan};

/// Why webhooks cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There are no certificate authorities to trust, and a webhook is `https`.
    #[error("the system's certificate authorities cannot be read")]
    Trust(#[from] io::Error),
}

/// Sends webhooks.
pub struct Webhooks {
    plan: watch::Sender<Plan<Client>>,
    hub: Arc<Hub>,
    notices: Mutex<Option<NoticeReader>>,
    metrics: Metrics,
}

impl Webhooks {
    /// Takes what `hub` tells, and has it told what is wanted. Nothing is sent before
    /// [`Self::run`].
    ///
    /// # Errors
    /// [`WebhookError`] says what is missing.
    pub fn new(config: Config, hub: Arc<Hub>) -> Result<Self, WebhookError> {
        let metrics = hub.metrics().clone();
        let notices = Mutex::new(hub.notices().reader());
        let plan = watch::Sender::new(Plan {
            client: Client::new(&config)?,
            config: Arc::new(config),
        });
        let new = Self {
            plan,
            hub,
            notices,
            metrics,
        };
        new.tell_bounds();
        Ok(new)
    }

    /// Puts `config` in force. What waits for a webhook that stays will still be sent.
    ///
    /// # Errors
    /// [`WebhookError`]; what was in force stays.
    pub fn reload(&self, config: Config) -> Result<(), WebhookError> {
        let plan = Plan {
            client: Client::new(&config)?,
            config: Arc::new(config),
        };
        self.plan.send_replace(plan);
        self.tell_bounds();
        Ok(())
    }

    /// Sends until `shutdown`, then what is left for as long as `pusher.webhook_drain` allows. To
    /// be called once.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let notices = self.notices.lock();
        let Some(notices) = notices.unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let metrics = self.metrics.webhooks.clone();
        let driver = Driver::new(self.plan.subscribe(), notices, metrics);
        driver.run(shutdown).await;
    }

    /// Says what is wanted, and states the bounds.
    fn tell_bounds(&self) {
        let plan = self.plan.borrow();
        let config = &plan.config;
        let wanted = config.hooks.iter().flat_map(Hook::wanted);
        self.hub.notices().want(wanted);
        for (what, bound) in [
            ("pusher.webhook_delayed", config.delayed),
            ("pusher.webhook_queue_events", config.queue_events),
            ("pusher.webhook_queue_bytes", config.queue_bytes),
            ("pusher.webhook_batch_events", config.batch_events),
        ] {
            self.metrics.set_bound(what, bound);
        }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}
