//! Prometheus metrics: handles that the code holds, read when scraped. Names are the contract's
//! section 9; there are no channel or subject labels.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
    /// `ok` or the error code.
    pub status: &'static str,
}

/// `{what}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WhatLabel {
    /// What was limited.
    pub what: &'static str,
}

/// Every metric. Cloning shares the handles.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the help texts are in `register`")]
pub struct Metrics {
    pub sessions: Family<ProtocolLabel, Gauge>,
    pub channels: Gauge,
    pub publications: Counter,
    pub deliveries: Counter,
    pub delivery_latency: Histogram,
    pub commands: Family<CommandLabels, Counter>,
    pub disconnects: Family<CodeLabel, Counter>,
    pub expired_publications: Counter,
    pub dropped_publications: Counter,
    pub rate_limited: Family<WhatLabel, Counter>,
    pub mailbox_bytes: Gauge,
    pub broker_up: Gauge,
    pub drain_remaining: Gauge,
    pub handshakes: Gauge,
    pub budget_bytes: Gauge<i64>,
    pub bounds: Family<WhatLabel, Gauge<f64, AtomicU64>>,
}
#[allow(unused)]
type Unused = (Registry, Unit);
