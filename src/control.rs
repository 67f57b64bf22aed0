//! The control plane: tonic services over a [`Node`](crate::node::Node). Wire types stop here.

mod caller;
mod config;
pub mod proto;

pub use caller::{Key, Scope, ScopeError};
pub use config::{Config, Limits, Tls};
