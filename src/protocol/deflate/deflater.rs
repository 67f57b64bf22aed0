//! Compression of frames. A frame is compressed by whoever needs it first, with a codec of the
//! pool; there are never more codecs than threads that compress at one time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::{TAIL, WINDOW_BITS};
use crate::metrics::{Metrics, WhatLabel};
use crate::protocol::frame;

/// The fastest level that fits its Huffman codes to the data: level 1 takes less than half of the
/// time and leaves up to a half more bytes (docs/performance.md, "Compression").
const LEVEL: i32 = 2;
/// The codec's hash tables; more made nothing smaller.
const MEMORY_LEVEL: i32 = 5;

/// Compresses frames.
pub struct Deflater {
    min_bytes: usize,
    spare: Mutex<Vec<Deflate>>,
    before: Counter,
    after: Counter,
}

impl Deflater {
    /// One that leaves payloads below `min_bytes` alone.
    pub fn new(min_bytes: usize, metrics: &Metrics) -> Self {
        let counter = |what| {
            let label = WhatLabel { what };
            metrics.compression.get_or_create_owned(&label)
        };
        Self {
            min_bytes,
            spare: Mutex::default(),
            before: counter("publications_before"),
            after: counter("publications_after"),
        }
    }

    /// The compressed twin of `plain`, a whole data frame; itself where it is too short to try or
    /// would not get shorter.
    pub fn frame(&self, plain: &Bytes) -> Bytes {
        let payload = frame::payload(plain);
        if payload.len() < self.min_bytes {
            return plain.clone();
        }
        let spare = self.pool().pop();
        let mut codec = spare.unwrap_or_else(codec);
        let twin = compress(&mut codec, payload).map(|bytes| frame::compressed(plain, &bytes));
        self.pool().push(codec);
        let twin = twin.unwrap_or_else(|| plain.clone());
        self.before.inc_by(plain.len() as u64);
        self.after.inc_by(twin.len() as u64);
        twin
    }

    fn pool(&self) -> MutexGuard<'_, Vec<Deflate>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn codec() -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: LEVEL,
        // Negative: without zlib's header and checksum.
        window_bits: -i32::from(WINDOW_BITS),
        mem_level: MEMORY_LEVEL,
        ..DeflateConfig::default()
    })
}

/// `payload` compressed, if that is shorter.
fn compress(codec: &mut Deflate, payload: &[u8]) -> Option<Vec<u8>> {
    // With less room than this a flush that just fits could not be told from one cut off.
    let mut out = vec![0; payload.len() + TAIL.len()];
    codec.reset();
    codec
        .compress(payload, &mut out, DeflateFlush::SyncFlush)
        .ok()?;
    let length = usize::try_from(codec.total_out()).ok()?;
    let whole = codec.total_in() == payload.len() as u64 && length < out.len();
    out.truncate(length);
    if !whole || !out.ends_with(&TAIL) {
        return None;
    }
    out.truncate(length - TAIL.len());
    Some(out)
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("min_bytes", &self.min_bytes)
            .finish_non_exhaustive()
    }
}
