//! Pogo makes an API realtime: WebSocket sessions in front, a gRPC control plane behind.
//!
//! The map of the code, from the bottom up; a module may import only from the rows above it
//! (`tests/it/tidy.rs` checks):
//!
//! | layer | modules |
//! |---|---|
//! | vocabulary | [`channel`], [`publication`], [`session_id`], [`code`], [`clock`], [`event_log`], [`notice`], [`metrics`] |
//! | leaves | [`protocol`] bytes ↔ commands, [`auth`] who may do what, [`limits`] how much, [`egress`] where to |
//! | resources | [`resource`] the uris of REST APIs, and what is asked of them |
//! | state | [`hub`] who is subscribed on which worker, [`broker`] order, history, presence |
//! | logic | [`session`] what one client may do next, [`node`] hub + broker |
//! | gateway | [`gateway`] REST APIs behind sessions: fetched, cached, followed |
//! | doors | [`edge`] sockets and plain HTTP, [`control`] gRPC, [`pusher`] Pusher's HTTP API and webhooks, [`admin`] health and metrics |
//! | root | [`config`], then [`server`], then [`cli`] |

#![forbid(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod broker;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod code;
pub mod config;
pub mod control;
pub mod edge;
pub mod egress;
pub mod event_log;
pub mod gateway;
pub mod hub;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod notice;
pub mod protocol;
pub mod publication;
pub mod pusher;
pub mod resource;
pub mod server;
pub mod session;
pub mod session_id;
