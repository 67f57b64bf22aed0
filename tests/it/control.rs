//! The control plane over a node with the memory broker, on a real socket, with a worker that only
//! pretends to have sessions.

mod channels;
mod publisher;
mod rig;
mod sessions;
mod subscribe;
mod tls;
mod transport;
mod watch;
