//! A publication on its way to this node's sessions, encoded once for all of them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

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
    /// Counts what is encoded.
    encodings: Counter,
    _admission: Option<Admission>,
}

impl Delivery {
    /// Wraps `publication`; `admission` is given back when the last worker is done, and
    /// `encodings` counts how often it is encoded.
    pub fn new(
        publication: Publication,
        admission: Option<Admission>,
        deflater: Arc<Deflater>,
        encodings: Counter,
    ) -> Self {
        Self {
            publication,
            frames: Default::default(),
            deflater,
            encodings,
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
                self.encodings.inc();
                protocol::encode_publication(wire, &self.publication)
            }
        })
    }
}
