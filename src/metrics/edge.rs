//! The edge's own metrics: how connections come in, and how their bytes go.

use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

impl Metrics {
    pub(super) fn register_edge(&self, registry: &mut Registry) {
        registry.register(
            "handshakes",
            "Handshakes under way",
            self.handshakes.clone(),
        );
        registry.register(
            "accept_errors",
            "Times that no connection could be accepted",
            self.accept_errors.clone(),
        );
        registry.register(
            "fallback_sessions",
            "Open sessions of the fallback transports",
            self.fallback_sessions.clone(),
        );
        registry.register_with_unit(
            "compression",
            "What was compressed or inflated, before and after",
            Unit::Bytes,
            self.compression.clone(),
        );
        registry.register(
            "compressed_sessions",
            "Open sessions that negotiated permessage-deflate",
            self.compressed_sessions.clone(),
        );
    }
}
