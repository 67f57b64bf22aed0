//! Upstreams on real sockets, as bytes: what they get, and what is made of what they say.

mod answers;
mod balancing;
mod identity;
mod rig;
mod timing;
