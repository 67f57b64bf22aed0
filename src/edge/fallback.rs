//! The fallback transports of Pusher's clients, for where no WebSocket gets through: xhr_streaming
//! and xhr_polling as pusher-js has them, and SockJS 0.3 for the oldest.
//!
//! Each fallback session is an ordinary session of a worker. The worker writes WebSocket frames
//! into one end of a socket pair; at the other end a task ([`session`]) reads them and speaks for
//! the client. So everything that holds for a session (limits, slow policy, revocation, expiry,
//! drain, metrics) holds here by the same code, and what is here is a transport and nothing more.
//!
//! All requests of a session must reach the same node: in front of several, a load balancer keeps
//! a client at one, by address or by the two parts of the path that name the session.
//!
//! What bounds it: a session takes the address's slot for a connection and a place among
//! `pusher.fallback_sessions`; what waits for its client is `pusher.fallback_buffer_bytes` here and
//! then the mailbox; one request receives at a time; a session from which nobody receives ends
//! after `pusher.fallback_abandoned_after`, and 2 s after its client cut a response; one whose
//! client names no app (SockJS) ends after as long, with 4005.
//!
//! How often an address may ask: opening counts as a connect, messages count as commands. A poll
//! counts as a request only where the response before it brought nothing, a send only where it
//! brings nothing, or to nobody; everything to a session that does not exist does. So does a browser's
//! question whether it may ask, but for the few that go with each poll and send.

mod answer;
mod machine;
mod path;
mod receiver;
mod registry;
mod requests;
mod session;
mod sockjs;
mod websocket;
mod wire;

use std::time::Duration;

pub(super) use registry::Fallback;
pub(super) use session::{Receiving, Watch};
pub(super) use websocket::is_websocket;

/// Whether `path` is a fallback transport's.
pub(super) fn has(path: &str) -> bool {
    path::Path::parse(path).is_some()
}

/// What bounds the fallback transports.
#[derive(Debug, Clone)]
pub struct FallbackConfig {
    /// Most sessions at a time.
    pub sessions: usize,
    /// Most bytes of messages that wait for one session's client, beside its mailbox.
    pub buffer_bytes: usize,
    /// How often a silent response gets a heartbeat.
    pub heartbeat: Duration,
    /// How long a session lives on while nobody receives.
    pub abandoned_after: Duration,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            buffer_bytes: 65_536,
            heartbeat: Duration::from_secs(25),
            abandoned_after: Duration::from_secs(10),
        }
    }
}
