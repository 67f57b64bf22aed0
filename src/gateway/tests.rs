//! The gateway with a real hub, node, broker and cache, and an upstream on a real socket whose
//! answers the test holds back one by one.

mod access;
mod bound;
mod client;
mod http;
mod reads;
mod rechecks;
mod renewals;
mod rig;
mod tokens;
mod told;
mod upstream;
mod writes;
