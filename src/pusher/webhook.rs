//! Webhooks: what happens on channels, told to the apps' services by signed HTTP requests.
//!
//! Notices come from the hub (channels and members, in the order in which they come and go), the
//! node (client events) and Pusher sessions (cache misses, subscription counts), by the bounded
//! queue of [`crate::notice`]. Apps are credentials, not tenants: every app's webhooks are told of
//! every channel.
//!
//! Invariants: nothing here is ever waited for by delivery; each queue is bounded and what is lost
//! is counted; one webhook gets its events in order and one request at a time; a request goes to
//! an address that was checked, and to no other; no log line holds a secret, nor a URL's user or
//! query.
//!
//! A node knows of its own subscribers only. With several nodes, what they tell must be put
//! together before it is sent: a channel is occupied when its first node says so and vacated when
//! its last does, so the node that sees this change at the broker (a count of nodes a channel, as
//! for presence) has to tell; a member's push reaches every node, so only the one that handed it to
//! the broker may; a subscription count is a sum; who comes back within the delay may come back on
//! another node, so departures are to be held back at the broker. Client events and cache misses
//! are told by the node where they happen, once, and need nothing.

mod config;

pub use config::{Config, Hook, Target, TargetError};
