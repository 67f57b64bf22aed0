//! A publication on its way to this node's sessions, encoded once for all of them.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::protocol::{self, Wire};
use crate::publication::{Admission, Publication};

/// A publication shared by the workers. Each form on the wire is encoded when it is first needed
/// and then shared.
#[derive(Debug)]
pub struct Delivery {
    /// What is delivered.
    pub publication: Publication,
    frames: [OnceLock<Bytes>; Wire::COUNT],
    _admission: Option<Admission>,
}

impl Delivery {
    /// Wraps `publication`; `admission` is given back when the last worker is done.
    pub fn new(publication: Publication, admission: Option<Admission>) -> Self {
        Self {
            publication,
            frames: Default::default(),
            _admission: admission,
        }
    }

    /// The whole WebSocket frame for sessions that speak `wire`.
    pub fn frame(&self, wire: Wire) -> &Bytes {
        self.frames[wire.index()]
            .get_or_init(|| protocol::encode_publication(wire, &self.publication))
    }
}
