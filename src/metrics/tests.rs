//! The names of section 9, in both of the texts that scrapers read.

use std::time::Duration;

use super::*;

/// Section 9 of the contract, and what is beside it.
const LINES: &[&str] = &[
    "pogo_sessions{protocol=\"pogo.v1.json\"} 1",
    "pogo_worker_sessions{worker=\"1\"} 3",
    "pogo_channels 0",
    "pogo_publications_total 0",
    "pogo_encodings_total 0",
    "pogo_deliveries_total 0",
    "pogo_delivery_latency_seconds_count 1",
    "pogo_commands_total{event=\"ping\",status=\"ok\"} 1",
    "pogo_disconnects_total{code=\"4202\"} 1",
    "pogo_expired_publications_total 0",
    "pogo_dropped_publications_total 0",
    "pogo_rate_limited_total{what=\"connects\"} 1",
    "pogo_mailbox_bytes 0",
    "pogo_gateway_requests_total{endpoint=\"posts\",status=\"200\"} 1",
    "pogo_gateway_upstream_seconds_count{endpoint=\"posts\"} 1",
    "pogo_gateway_cache_total{result=\"hit\"} 1",
    "pogo_broker_up 0",
    "pogo_drain_remaining_sessions 0",
    "pogo_handshakes 0",
    "pogo_accept_errors_total 0",
    "pogo_budget_bytes 0",
    "pogo_limit{what=\"sessions\"} 10.0",
    concat!(
        "pogo_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    ),
    "# EOF",
];

#[test]
fn the_names_are_the_contracts() {
    let metrics = Metrics::new();
    metrics
        .sessions
        .get_or_create(&ProtocolLabel {
            protocol: "pogo.v1.json",
        })
        .inc();
    metrics
        .worker_sessions
        .get_or_create(&WorkerLabel { worker: 1 })
        .set(3);
    metrics
        .commands
        .get_or_create(&CommandLabels {
            event: "ping",
            status: "ok",
        })
        .inc();
    metrics
        .disconnects
        .get_or_create(&CodeLabel { code: 4202 })
        .inc();
    metrics
        .rate_limited
        .get_or_create(&WhatLabel { what: "connects" })
        .inc();
    metrics
        .gateway
        .cache
        .get_or_create(&ResultLabel { result: "hit" })
        .inc();
    let labels = EndpointLabels {
        endpoint: "posts".into(),
        status: "200".into(),
    };
    metrics.gateway.requests.get_or_create(&labels).inc();
    let endpoint = EndpointLabel {
        endpoint: labels.endpoint,
    };
    metrics
        .gateway
        .seconds
        .get_or_create(&endpoint)
        .observe(0.1);
    metrics
        .delivery_latency
        .recorder()
        .observe(Duration::from_millis(1), 1);
    metrics.set_bound("sessions", 10);
    let text = metrics.encode();
    for line in LINES {
        assert!(
            text.lines().any(|l| l == *line),
            "{line} is missing in\n{text}"
        );
    }
}

#[test]
fn hooks_run_before_each_scrape() {
    use std::sync::atomic::Ordering::Relaxed;
    let metrics = Metrics::new();
    let own = Arc::new(AtomicU64::new(0));
    let counted = own.clone();
    metrics.on_scrape(move |m| m.deliveries.inner().store(counted.load(Relaxed), Relaxed));
    own.store(7, Relaxed);
    let shared = metrics.clone();
    assert!(shared.encode().contains("\npogo_deliveries_total 7\n"));
    own.store(9, Relaxed);
    assert!(metrics.encode().contains("\npogo_deliveries_total 9\n"));
}
