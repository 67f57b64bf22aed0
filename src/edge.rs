//! The edge: sockets, TLS and the HTTP upgrade in front, the workers that own the sessions behind.
//! The front half turns a TCP connection into a [`Connection`] and hands it to [`Sessions`].

mod accept;
mod connection;
mod fallback;
mod flow;
mod front;
mod handshake;
mod http1;
mod listener;
mod origin;
mod proxy_protocol;
mod response;
mod site;
mod spare;
mod stream;
mod tls;
mod worker;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

pub use connection::{Busy, Connection, Credential, Sessions, Stream};
pub use fallback::FallbackConfig;
pub use front::{Front, FrontServices};
pub use listener::limit_unsent;
pub use origin::{NotAnOrigin, OriginRule, Origins, PageRule};
pub use site::{Page, Site, SiteFuture, Visit};
pub use stream::{BoxError, StreamBody, StreamFuture, StreamSite};
pub use tls::{TlsError, TlsReloader};
pub use worker::{PoolServices, WorkerError, Workers};

use crate::protocol::{Encoding, frame};

/// The edge's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate and key; `None`: plain text.
    pub tls: Option<TlsFiles>,
    /// Whose pages may connect.
    pub allowed_origins: Origins,
    /// Peers whose forwarding headers and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections from `trusted_proxies` must start with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Encodings that are offered, the default first.
    pub encodings: Vec<Encoding>,
    /// Longest WebSocket frame and message, in bytes.
    pub max_frame_bytes: usize,
    /// How often a session is pinged.
    pub ping_interval: Duration,
    /// How long a session may stay without a token where one is required.
    pub auth_deadline: Duration,
    /// Most bytes that wait for one session.
    pub mailbox_bytes: usize,
    /// Most frames that wait for one session.
    pub mailbox_messages: usize,
    /// Most bytes that wait for all sessions of the node.
    pub mailbox_total_bytes: usize,
    /// Whether `?token=` is taken.
    pub token_in_query: bool,
    /// How many workers.
    pub workers: usize,
    /// From accept to the end of the request's head.
    pub header_deadline: Duration,
    /// Longest body of a plain HTTP request, in bytes.
    pub max_body_bytes: usize,
    /// From the end of such a request's head to the end of its body.
    pub body_deadline: Duration,
    /// Connections of plain HTTP that carry one request after another, on this node.
    pub max_http_connections: usize,
    /// How long nothing may move on one of them while it is the client's turn.
    pub http_idle: Duration,
    /// Handshakes in flight; further connections wait in the kernel's backlog.
    pub max_handshakes: usize,
    /// Most sessions on this node; `None`: no bound but the system's.
    pub max_sessions: Option<usize>,
    /// How much the kernel takes for one session beyond what is on its way.
    pub unsent_bytes: usize,
    /// Whether permessage-deflate is granted to who offers it.
    pub compression: bool,
    /// How long the broker or a key server may take over one command.
    pub operation_timeout: Duration,
    /// Most frames that one message may come in.
    pub max_fragments: u32,
    /// The fallback transports.
    pub fallback: FallbackConfig,
    /// The page at `GET /`; `None`: 426.
    pub demo_page: Option<Bytes>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            tls: None,
            allowed_origins: Origins::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            encodings: Encoding::ALL.to_vec(),
            max_frame_bytes: 65_536,
            ping_interval: Duration::from_secs(25),
            auth_deadline: Duration::from_secs(10),
            mailbox_bytes: 1 << 20,
            mailbox_messages: 8_192,
            mailbox_total_bytes: 512 << 20,
            token_in_query: false,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            header_deadline: Duration::from_secs(5),
            max_body_bytes: 262_144,
            body_deadline: Duration::from_secs(5),
            max_http_connections: 10_000,
            http_idle: Duration::from_secs(15),
            max_handshakes: 256,
            max_sessions: None,
            unsent_bytes: 65_536,
            compression: false,
            operation_timeout: Duration::from_secs(10),
            max_fragments: 64,
            fallback: FallbackConfig::default(),
            demo_page: None,
        }
    }
}

impl Config {
    /// What a client may send; `deflate`: it negotiated permessage-deflate.
    pub fn frame_limits(&self, deflate: bool) -> frame::Limits {
        frame::Limits {
            max_message_bytes: self.max_frame_bytes,
            max_fragments: self.max_fragments,
            deflate,
            ..frame::Limits::default()
        }
    }
}
