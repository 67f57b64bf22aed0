//! The gateway with a real hub, node, broker and cache, and an upstream on a real socket whose
//! answers the test holds back one by one.

mod access;
mod http;
mod reads;
mod rig;
mod upstream;
mod writes;
