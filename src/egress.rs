//! Connections to the outside that Pogo makes for somebody: webhooks and upstreams. The name is
//! resolved for each connection, its addresses are checked, and the connection goes to one that
//! passed: what a name means cannot change in between.

mod connect;
mod guard;
mod link;

pub use connect::{ConnectError, Connector, is_blocked, is_unconnected, tls};
pub use guard::{Guard, Reach};
pub use link::{Link, serves_again};
