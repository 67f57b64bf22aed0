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
mod told;
mod tokens;
mod upstream;
mod writes;
