//! The replica: the state of one canonical uri for one audience on this node, for as long as
//! somebody is bound to it. It orders snapshots and events, so that what its subscribers are told
//! starts at their answer, never goes back, and ends where a fresh GET would be.
//!
//! The core ([`Replica`]) does no I/O, has no clock and takes no lock: inputs and the time go in,
//! outputs come out, to be carried out in their order.

mod carry;
mod core;
mod driver;
mod fetch;
mod fetcher;
mod follow;
mod hold;
mod moving;
mod pending;
mod ring;
mod state;
mod tell;
#[cfg(test)]
mod tests;
mod words;

pub use core::Replica;
pub use driver::{Bound, Replicas};
pub use fetcher::{Fetcher, Request, Resource};
pub use words::{
    Ask, Attach, Bounds, Event, Fetched, ItemUri, Moment, Need, Output, Push, Settings, Snapshot,
    To,
};
