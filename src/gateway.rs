//! The REST gateway: what sessions ask of resources, fetched from upstreams, kept in the cache and
//! followed by whoever is bound.
//!
//! Parts: `upstream` asks, `cache` keeps, `replica` orders what the bound are told; this module
//! joins them behind [`crate::resource::Calls`] (sessions) and [`crate::publication::Deliver`]
//! (the broker).
//!
//! Invariants: every call is answered exactly once; nobody's data reaches another unless the
//! endpoint's audience is shared; caches are invalidated before anybody is told of a change; no
//! lock is held over an await.

mod access;
mod body;
pub mod cache;
mod config;
mod events;
mod failure;
pub mod replica;
pub mod upstream;
mod version;

pub use config::Config;
