//! One binary for everything that needs the whole: the house rules, and a real server on real
//! sockets. One file a topic; what they share is in `support`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and says why on its output"
)]

mod attacks;
mod bench;
mod channels;
mod cli;
mod control;
mod deflate;
mod drain;
mod encodings;
mod expiry;
mod fallback;
mod gateway;
mod gateway_http;
mod handshake;
mod limits;
mod native;
mod presence;
mod process;
mod proxies;
mod pusher_api;
mod pusher_auth;
mod pusher_live;
mod pusher_session;
mod race;
mod sessions;
mod slow;
mod support;
mod tidy;
mod tls;
mod tokens;
mod ttl;
mod vectors;
mod webhooks;
mod wire;
