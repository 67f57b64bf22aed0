//! The control plane: tonic services over a [`Node`](crate::node::Node). Wire types stop here.

pub mod proto;
