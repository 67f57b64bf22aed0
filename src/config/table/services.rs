//! The settings of `[control]` and `[admin]`.

use super::super::setting::{Kind, Setting};
use super::{optional, required, setting};
use std::time::Duration;

const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(86_400),
};
const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};
const SMALL: Kind = Kind::Count {
    min: 1,
    max: 1_000_000,
};
const SIZE: Kind = Kind::Bytes {
    min: 1_024,
    max: 64 << 20,
};
const SIZE_ANY: Kind = Kind::Bytes {
    min: 1,
    max: 65_536,
};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "control.listen",
        Kind::Address,
        "127.0.0.1:8081",
        "Where services connect with gRPC; beyond loopback it needs keys or tls.client_ca",
    ),
    optional(
        "control.tls.cert",
        Kind::Path,
        "PEM file with the certificate chain",
    ),
    optional(
        "control.tls.key",
        Kind::Path,
        "PEM file with the certificate's private key",
    ),
    optional(
        "control.tls.client_ca",
        Kind::Path,
        "PEM file with the authorities whose client certificates are taken in place of a key",
    ),
    required(
        "control.keys[].name",
        Kind::Text,
        "Names the caller in logs",
    )
    .live(),
    required(
        "control.keys[].secret",
        Kind::Secret,
        "What the caller sends as authorization: Bearer; at least 16 bytes beyond loopback",
    )
    .live(),
    required(
        "control.keys[].scopes",
        Kind::List(&Kind::Text),
        "What it may do: publish, publish:<pattern>, channels, sessions, firewall, endpoints, \
         events, admin (all)",
    )
    .live(),
    setting(
        "control.max_connections",
        MANY,
        "1024",
        "Most connections; further ones wait in the kernel's backlog",
    ),
    setting(
        "control.handshake_deadline",
        SPAN,
        "5s",
        "From accept to the end of the HTTP/2 preface, TLS included; while connections wait, also \
         to the first call of a known caller",
    ),
    setting(
        "control.max_streams",
        SMALL,
        "256",
        "Most calls at a time on one connection",
    ),
    setting(
        "control.max_header_bytes",
        SIZE,
        "16384",
        "Longest list of request headers",
    ),
    setting(
        "control.max_request_bytes",
        SIZE,
        "4194304",
        "Longest request message",
    ),
    setting(
        "control.max_response_bytes",
        SIZE,
        "4194304",
        "Longest response message; history is cut to fit",
    ),
    setting(
        "control.keepalive_interval",
        SPAN,
        "30s",
        "How often an idle connection is pinged",
    ),
    setting(
        "control.keepalive_timeout",
        SPAN,
        "10s",
        "How long a ping may go unanswered",
    ),
    setting(
        "control.max_connection_age",
        SPAN,
        "1h",
        "When a connection is asked to move on",
    ),
    setting(
        "control.connection_age_grace",
        SPAN,
        "5m",
        "How long its calls may go on after that",
    ),
    setting(
        "control.shutdown_grace",
        SPAN,
        "10s",
        "How long calls may go on when the server stops",
    ),
    setting(
        "control.max_pending_resets",
        SMALL,
        "20",
        "Streams that a peer may reset before they are taken up; one more ends the connection",
    ),
    setting(
        "control.max_error_resets",
        SMALL,
        "128",
        "Streams that the server may reset for a peer's errors; one more ends the connection",
    ),
    setting(
        "control.max_control_frames",
        SMALL,
        "20000",
        "PING, SETTINGS, PRIORITY and unknown frames that a peer may send in a second; more end \
         the connection",
    ),
    setting(
        "control.default_deadline",
        SPAN,
        "30s",
        "How long a call without a deadline may take; streams are not bounded by it",
    ),
    setting(
        "control.publish_in_flight",
        SMALL,
        "256",
        "Requests of one publish stream or batch under way at a time",
    ),
    setting(
        "control.max_batch",
        SMALL,
        "1000",
        "Most requests in a batch",
    ),
    setting(
        "control.max_request_channels",
        SMALL,
        "100",
        "Most channels in one publish or subscribe request",
    ),
    setting(
        "control.max_idempotency_key_bytes",
        SIZE_ANY,
        "128",
        "Longest idempotency key",
    ),
    setting(
        "control.max_reason_bytes",
        SIZE_ANY,
        "1024",
        "Longest reason for a revocation or a denial",
    ),
    setting(
        "control.max_request_addresses",
        SMALL,
        "1000",
        "Most address ranges in a request",
    ),
    setting(
        "control.page_size",
        SMALL,
        "100",
        "Rows of a page where the caller does not say",
    ),
    setting(
        "control.max_page_size",
        SMALL,
        "1000",
        "Most rows of a page",
    ),
    setting(
        "admin.listen",
        Kind::Address,
        "127.0.0.1:8082",
        "Where health, readiness and metrics are served; all three are open to whoever can reach it",
    ),
    setting(
        "admin.max_connections",
        SMALL,
        "64",
        "Most connections at a time",
    ),
    setting(
        "admin.deadline",
        SPAN,
        "10s",
        "From accepting a connection to the end of its answer; it carries one request",
    ),
    required(
        "admin.keys[].name",
        Kind::Text,
        "Names the operator in logs",
    ),
    required(
        "admin.keys[].secret",
        Kind::Secret,
        "Opens the console, which needs a key beyond loopback; there at least 16 bytes",
    ),
];
