//! The control plane's settings, checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::caller::Key;

/// The control plane's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate and key; `None`: plain text.
    pub tls: Option<Tls>,
    /// Who may call, by secret.
    pub keys: Vec<Key>,
    /// Without keys: everyone who reaches the listener may do everything. With keys it says
    /// nothing.
    pub open: bool,
    /// What bounds a caller.
    pub limits: Limits,
}

/// PEM files. They are read at start and again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Who signs client certificates. A caller with one of these may do everything; one without
    /// needs a key.
    pub client_ca: Option<PathBuf>,
}

/// What bounds a caller.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections; further ones wait in the kernel's backlog (`control.max_connections`).
    pub connections: usize,
    /// From accept to the end of the HTTP/2 preface, TLS included; while connections wait, also to
    /// the first call of a known caller (`control.handshake_deadline`).
    pub handshake_deadline: Duration,
    /// Most calls at a time on one connection (`control.max_streams`).
    pub streams: u32,
    /// Longest list of request headers, in bytes (`control.max_header_bytes`).
    pub header_bytes: u32,
    /// Longest request message, in bytes (`control.max_request_bytes`).
    pub request_bytes: usize,
    /// Longest response message, in bytes (`control.max_response_bytes`). History is cut to fit.
    pub response_bytes: usize,
    /// How often an idle connection is pinged (`control.keepalive_interval`).
    pub keepalive_interval: Duration,
    /// How long a ping may go unanswered (`control.keepalive_timeout`).
    pub keepalive_timeout: Duration,
    /// When a connection is asked to move on (`control.max_connection_age`).
    pub connection_age: Duration,
    /// How long its calls may go on after that (`control.connection_age_grace`).
    pub connection_age_grace: Duration,
    /// How long calls may go on when the server stops (`control.shutdown_grace`).
    pub shutdown_grace: Duration,
    /// Streams that a peer may reset before they are taken up; one more ends the connection
    /// (`control.max_pending_resets`).
    pub pending_resets: usize,
    /// Streams that the server may reset for a peer's errors; one more ends the connection
    /// (`control.max_error_resets`).
    pub error_resets: usize,
    /// PING, SETTINGS, PRIORITY and unknown frames that a peer may send in a second; more end the
    /// connection (`control.max_control_frames`).
    pub control_frames: u32,
    /// How long a call without a deadline may take; streams are not bounded by it
    /// (`control.default_deadline`).
    pub default_deadline: Duration,
    /// Requests of one publish stream or batch under way at a time
    /// (`control.publish_in_flight`).
    pub publish_in_flight: usize,
    /// Most requests in a batch (`control.max_batch`).
    pub batch: usize,
    /// Most channels in one publish or subscribe request (`control.max_request_channels`).
    pub request_channels: usize,
    /// Longest idempotency key, in bytes (`control.max_idempotency_key_bytes`).
    pub idempotency_key_bytes: usize,
    /// Longest reason for a revocation or a denial, in bytes (`control.max_reason_bytes`).
    pub reason_bytes: usize,
    /// Most address ranges in a request (`control.max_request_addresses`).
    pub request_addresses: usize,
    /// Rows of a page where the caller does not say (`control.page_size`).
    pub page_size: usize,
    /// Most rows of a page (`control.max_page_size`).
    pub max_page_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            tls: None,
            keys: Vec::new(),
            open: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            handshake_deadline: Duration::from_secs(5),
            streams: 256,
            header_bytes: 16 << 10,
            request_bytes: 4 << 20,
            response_bytes: 4 << 20,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            connection_age: Duration::from_secs(3_600),
            connection_age_grace: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(10),
            pending_resets: 20,
            error_resets: 128,
            control_frames: 20_000,
            default_deadline: Duration::from_secs(30),
            publish_in_flight: 256,
            batch: 1_000,
            request_channels: 100,
            idempotency_key_bytes: 128,
            reason_bytes: 1_024,
            request_addresses: 1_000,
            page_size: 100,
            max_page_size: 1_000,
        }
    }
}
