//! A publication on its way to this node's sessions, encoded once for all of them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::protocol::deflate::Deflater;
use crate::protocol::{self, Wire};
use crate::publication::{Admission, Publication};

/// A publication shared by the workers. Each form on the wire is encoded when it is first needed
/// and then shared.
#[derive(Debug)]
pub struct Delivery {
    /// What is delivered.
    pub publication: Publication,
    frames: [OnceLock<Bytes>; Wire::COUNT],
    deflater: Arc<Deflater>,
    _admission: Option<Admission>,
}

impl Delivery {
    /// Wraps `publication`; `admission` is given back when the last worker is done.
    pub fn new(
        publication: Publication,
        admission: Option<Admission>,
        deflater: Arc<Deflater>,
    ) -> Self {
        Self {
            publication,
            frames: Default::default(),
            deflater,
            _admission: admission,
        }
    }

    /// The whole WebSocket frame for sessions that speak `wire`.
    pub fn frame(&self, wire: Wire) -> &Bytes {
        self.frames[wire.index()].get_or_init(|| {
            if wire.deflate {
                let deflate = false;
                self.deflater.frame(self.frame(Wire { deflate, ..wire }))
            } else {
                protocol::encode_publication(wire, &self.publication)
            }
        })
    }
}
