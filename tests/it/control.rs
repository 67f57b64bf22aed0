//! The control plane over a node with the memory broker, on a real socket, with a worker that only
//! pretends to have sessions.

mod channels;
mod connections;
mod endpoints;
mod floods;
mod publisher;
mod revocations;
mod rig;
mod sessions;
mod subscribe;
mod tls;
mod transport;
mod watch;
