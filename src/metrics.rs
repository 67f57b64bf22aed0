//! Prometheus metrics: handles that the code holds, read when scraped. Names are the contract's
//! section 9; there are no channel or subject labels.
//!
//! Invariant: what is hot counts in its owner's own atomics and is summed by a hook at scrape
//! time ([`Metrics::on_scrape`]); the rest holds a handle taken once from its family.

mod classic;
mod edge;
mod gateway;
mod latency;
#[cfg(test)]
mod tests;
mod webhooks;

pub use gateway::{EndpointLabel, EndpointLabels, Gateway};
pub use latency::{Latency, Recorder};
pub use webhooks::Webhooks;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::channel::COMMANDS;
use crate::code::{CloseCode, ErrorCode};

/// `{code}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The close code's number.
    pub code: u16,
}

/// `{protocol}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProtocolLabel {
    /// The subprotocol.
    pub protocol: &'static str,
}

/// `{event,status}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CommandLabels {
    /// An event of the contract's section 3, `publish` or `other`.
    pub event: &'static str,
    /// The reply's: `ok` or `error`.
    pub status: &'static str,
}

/// `{code}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabel {
    /// The error code's name.
    pub code: &'static str,
}

/// `{worker}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WorkerLabel {
    /// The worker's number, from 0.
    pub worker: usize,
}

/// `{what}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WhatLabel {
    /// What was limited.
    pub what: &'static str,
}

/// `{place,status}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// What was asked for.
    pub place: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// `{result}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `hit`, `miss`, …
    pub result: &'static str,
}

/// Every metric. Cloning shares the handles.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the help texts are in `register`")]
pub struct Metrics {
    pub sessions: Family<ProtocolLabel, Gauge>,
    pub worker_sessions: Family<WorkerLabel, Gauge>,
    pub channels: Gauge,
    pub publications: Counter,
    pub encodings: Counter,
    pub deliveries: Counter,
    pub delivery_latency: Latency,
    pub commands: Family<CommandLabels, Counter>,
    pub command_errors: Family<ErrorLabel, Counter>,
    pub disconnects: Family<CodeLabel, Counter>,
    pub expired_publications: Counter,
    pub dropped_publications: Counter,
    pub rate_limited: Family<WhatLabel, Counter>,
    pub compression: Family<WhatLabel, Counter>,
    pub compressed_sessions: Gauge,
    pub mailbox_bytes: Gauge,
    pub gateway: Gateway,
    pub webhooks: Webhooks,
    pub pusher_requests: Family<RequestLabels, Counter>,
    pub broker_up: Gauge,
    pub drain_remaining: Gauge,
    pub handshakes: Gauge,
    pub fallback_sessions: Gauge,
    pub accept_errors: Counter,
    pub budget_bytes: Gauge<i64>,
    pub bounds: Family<WhatLabel, Gauge<f64, AtomicU64>>,
    scrape: Arc<Scrape>,
}

/// What a scrape reads.
struct Scrape {
    registry: Registry,
    hooks: Mutex<Vec<Arc<Hook>>>,
}

/// Brings handles up to date before they are read.
type Hook = dyn Fn(&Metrics) + Send + Sync;

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Metrics {
    /// What [`Self::encode`] returns, as a Content-Type.
    pub const OPEN_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
    /// What [`Self::encode_classic`] returns, as a Content-Type.
    pub const CLASSIC_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Registers every metric. Each server has its own set, so that several live in one process.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("pogo");
        let mut metrics = Self {
            sessions: Family::default(),
            worker_sessions: Family::default(),
            channels: Gauge::default(),
            publications: Counter::default(),
            encodings: Counter::default(),
            deliveries: Counter::default(),
            delivery_latency: Latency::default(),
            commands: Family::default(),
            command_errors: Family::default(),
            disconnects: Family::default(),
            expired_publications: Counter::default(),
            dropped_publications: Counter::default(),
            rate_limited: Family::default(),
            compression: Family::default(),
            compressed_sessions: Gauge::default(),
            mailbox_bytes: Gauge::default(),
            gateway: Gateway::default(),
            webhooks: Webhooks::default(),
            pusher_requests: Family::default(),
            broker_up: Gauge::default(),
            drain_remaining: Gauge::default(),
            handshakes: Gauge::default(),
            fallback_sessions: Gauge::default(),
            accept_errors: Counter::default(),
            budget_bytes: Gauge::default(),
            bounds: Family::default(),
            scrape: Arc::new(Scrape {
                registry: Registry::default(),
                hooks: Mutex::default(),
            }),
        };
        metrics.begin_at_zero();
        metrics.register_sessions(&mut registry);
        metrics.register_edge(&mut registry);
        metrics.register_node(&mut registry);
        metrics.webhooks.register(&mut registry);
        metrics.gateway.register(&mut registry);
        registry.register(
            "pusher_requests",
            "Requests of Pusher's HTTP API and for signatures",
            metrics.pusher_requests.clone(),
        );
        metrics.scrape = Arc::new(Scrape {
            registry,
            hooks: Mutex::default(),
        });
        metrics
    }

    /// Calls `hook` before each scrape, to set what is counted elsewhere:
    /// `metrics.deliveries.inner().store(sum, Relaxed)`. Hooks are added at start, one an owner.
    pub fn on_scrape(&self, hook: impl Fn(&Self) + Send + Sync + 'static) {
        let mut hooks = self
            .scrape
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        hooks.push(Arc::new(hook));
    }

    /// States the bound of `what`, so that dashboards show how near to it the server is.
    #[allow(clippy::cast_precision_loss, reason = "a bound beyond 2^53 is none")]
    pub fn set_bound(&self, what: &'static str, bound: usize) {
        self.bounds
            .get_or_create(&WhatLabel { what })
            .set(bound as f64);
    }

    /// All metrics as OpenMetrics text, the hooks called first.
    pub fn encode(&self) -> String {
        let hooks = self
            .scrape
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for hook in &hooks {
            hook(self);
        }
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail, and no metric here refuses to be encoded.
        if text::encode(&mut text, &self.scrape.registry).is_err() {
            text.clear();
        }
        text
    }

    /// The same as the older text, for those who do not ask for OpenMetrics.
    pub fn encode_classic(&self) -> String {
        classic::from_open(&self.encode())
    }

    /// Counts a command by how it was answered.
    pub fn count_command(&self, event: &'static str, error: Option<ErrorCode>) {
        let status = if error.is_some() { "error" } else { "ok" };
        self.commands
            .get_or_create(&CommandLabels { event, status })
            .inc();
        if let Some(code) = error {
            let code = code.name();
            self.command_errors
                .get_or_create(&ErrorLabel { code })
                .inc();
        }
    }

    /// Series whose labels are known are there from the start, so that the first event is an
    /// increase and no alert waits for a name that never came.
    fn begin_at_zero(&self) {
        for event in COMMANDS.into_iter().chain(["publish", "other"]) {
            for status in ["ok", "error"] {
                let _ = self
                    .commands
                    .get_or_create(&CommandLabels { event, status });
            }
        }
        for code in CloseCode::ALL {
            for (code, _) in [code.wire(), code.pusher()] {
                let _ = self.disconnects.get_or_create(&CodeLabel { code });
            }
        }
        for code in ErrorCode::ALL {
            let _ = self
                .command_errors
                .get_or_create(&ErrorLabel { code: code.name() });
        }
    }

    fn register_sessions(&self, registry: &mut Registry) {
        registry.register("sessions", "Open sessions", self.sessions.clone());
        registry.register(
            "worker_sessions",
            "Open sessions by worker, those on their way to it included",
            self.worker_sessions.clone(),
        );
        registry.register("commands", "Commands from clients", self.commands.clone());
        registry.register(
            "command_errors",
            "Refused commands by error code",
            self.command_errors.clone(),
        );
        registry.register(
            "disconnects",
            "Closed sessions by close code",
            self.disconnects.clone(),
        );
        registry.register(
            "deliveries",
            "Publications written to a session's socket",
            self.deliveries.clone(),
        );
        registry.register_with_unit(
            "delivery_latency",
            "From acceptance by this node to the write on the socket",
            Unit::Seconds,
            self.delivery_latency.clone(),
        );
        registry.register(
            "expired_publications",
            "Publications that were kept from a session because their ttl had passed",
            self.expired_publications.clone(),
        );
        registry.register(
            "dropped_publications",
            "Publications dropped from the mailbox of a slow session",
            self.dropped_publications.clone(),
        );
        registry.register(
            "rate_limited",
            "What was refused because of a rate or connection limit",
            self.rate_limited.clone(),
        );
        registry.register_with_unit(
            "mailbox",
            "Waiting in the mailboxes of all sessions",
            Unit::Bytes,
            self.mailbox_bytes.clone(),
        );
    }

    fn register_node(&self, registry: &mut Registry) {
        registry.register(
            "channels",
            "Channels with a subscriber here",
            self.channels.clone(),
        );
        registry.register(
            "publications",
            "Publications accepted by this node",
            self.publications.clone(),
        );
        registry.register(
            "encodings",
            "Publications encoded: one for each encoding and spelling in use among their subscribers",
            self.encodings.clone(),
        );
        registry.register_with_unit(
            "budget",
            "Publications between acceptance and the mailboxes",
            Unit::Bytes,
            self.budget_bytes.clone(),
        );
        registry.register(
            "broker_up",
            "Whether the broker can be reached (1) or not (0)",
            self.broker_up.clone(),
        );
        registry.register(
            "drain_remaining_sessions",
            "Sessions still open while the server drains",
            self.drain_remaining.clone(),
        );
        registry.register("limit", "The bounds in force", self.bounds.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", build);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
