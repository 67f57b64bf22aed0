//! The settings of `[edge]`.

use super::super::setting::{Kind, Setting};
use super::{optional, setting};
use std::time::Duration;

const SHORT: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(600),
};
const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(86_400),
};
const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};
const ROOM: Kind = Kind::Bytes {
    min: 1_024,
    max: 1 << 40,
};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "edge.listen",
        Kind::Address,
        "0.0.0.0:8080",
        "Where clients connect",
    ),
    optional(
        "edge.tls.cert",
        Kind::Path,
        "PEM file with the certificate chain, the server's own first; read again when it changes. \
         Without it the edge speaks plain text",
    ),
    optional(
        "edge.tls.key",
        Kind::Path,
        "PEM file with the certificate's private key",
    ),
    optional(
        "edge.allowed_origins",
        Kind::List(&Kind::Text),
        "Origins of pages that may connect, like \"https://example.com\" or \
         \"https://*.example.com\"; \"null\" for pages without one, \"*\" for all. Unset: the \
         same origin as the server's, and clients that send none",
    )
    .live(),
    setting(
        "edge.trusted_proxies",
        Kind::List(&Kind::Network),
        "",
        "Proxies whose X-Forwarded-For, Forwarded or PROXY header says who the client is; \
         addresses are counted from the right",
    ),
    setting(
        "edge.proxy_protocol",
        Kind::Flag,
        "false",
        "Whether connections from trusted_proxies start with a PROXY protocol header (v1 or v2)",
    ),
    setting(
        "edge.encodings",
        Kind::List(&Kind::Choice(&["json", "cjson", "msgpack", "cmsgpack"])),
        "json, cjson, msgpack, cmsgpack",
        "Encodings that are offered. A client that asks for none gets json, or else the first",
    ),
    setting(
        "edge.max_frame_bytes",
        Kind::Bytes {
            min: 1_024,
            max: 16 << 20,
        },
        "65536",
        "Longest WebSocket frame and message; longer ones close with 1009",
    ),
    setting(
        "edge.compression",
        Kind::Flag,
        "false",
        "Whether clients that offer permessage-deflate get publications compressed and may send \
         compressed messages",
    ),
    setting(
        "edge.compression_min_bytes",
        Kind::Bytes {
            min: 64,
            max: 16 << 20,
        },
        "256",
        "Publications whose message is shorter go uncompressed",
    ),
    setting(
        "edge.ping_interval",
        SPAN,
        "25s",
        "How often a session is pinged; without any answer for as long it is closed with 4202",
    )
    .live(),
    setting(
        "edge.auth_deadline",
        SPAN,
        "10s",
        "How long a session may stay without a token where auth.required; then 4001",
    )
    .live(),
    setting(
        "edge.mailbox_bytes",
        ROOM,
        "1048576",
        "Most bytes that wait for one session; beyond it the channel's slow policy acts",
    ),
    setting(
        "edge.mailbox_messages",
        MANY,
        "8192",
        "Most frames that wait for one session; beyond it the channel's slow policy acts",
    ),
    setting(
        "edge.mailbox_total_bytes",
        ROOM,
        "536870912",
        "Most bytes that wait for all sessions of this node; beyond it the largest mailbox is cut \
         first",
    ),
    setting(
        "edge.token_in_query",
        Kind::Flag,
        "false",
        "Whether ?token= is taken in the handshake; proxies write queries into their logs",
    ),
    optional(
        "edge.workers",
        Kind::Count { min: 1, max: 64 },
        "Threads that own the sessions",
    )
    .computed("one a core"),
    setting(
        "edge.header_deadline",
        SHORT,
        "5s",
        "From accepting a connection to the end of its request's head",
    ),
    setting(
        "edge.max_body_bytes",
        Kind::Bytes {
            min: 16_384,
            max: 16 << 20,
        },
        "262144",
        "Longest body of a plain HTTP request (Pusher's HTTP API); longer ones are answered 413",
    ),
    setting(
        "edge.body_deadline",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(6),
        },
        "5s",
        "From the head of such a request to the end of its body; then 408",
    ),
    setting(
        "edge.max_http_connections",
        MANY,
        "10000",
        "Connections of the gateway's plain HTTP, which carry one request after another; beyond \
         them 503. They take no handshake's slot",
    ),
    setting(
        "edge.http_idle",
        Kind::Span {
            min: Duration::from_secs(1),
            max: Duration::from_secs(3_600),
        },
        "15s",
        "How long nothing may move on such a connection while it is the client's turn; clients are \
         told half of it (Keep-Alive)",
    ),
    setting(
        "edge.max_handshakes",
        MANY,
        "256",
        "Handshakes in flight; further connections wait in the kernel's backlog",
    ),
    optional(
        "edge.max_sessions",
        MANY,
        "Most sessions on this node; beyond it, and beyond what open files allow in any case, 503. \
         One with a fallback transport counts as three",
    )
    .computed("as many as the process may open files for"),
    setting(
        "edge.unsent_bytes",
        Kind::Bytes {
            min: 1_024,
            max: 1 << 30,
        },
        "65536",
        "What the kernel takes for one session beyond what is on its way to it \
         (TCP_NOTSENT_LOWAT); the rest waits in the session's mailbox, under its slow policy",
    ),
    setting(
        "edge.operation_timeout",
        SPAN,
        "10s",
        "How long the broker or a key server may take over one command",
    ),
    setting(
        "edge.max_fragments",
        Kind::Count {
            min: 1,
            max: 65_536,
        },
        "64",
        "Most frames that one message may come in; more close with 1008",
    ),
];
