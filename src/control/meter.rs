//! Counts the HTTP/2 frames that ask for work and carry no call: PING, SETTINGS, PRIORITY and
//! those of unknown types. The HTTP/2 library answers or drops any number of them. Sans-IO: it is
//! shown the bytes as they are read, and remembers no more than a frame's head.

use std::time::{Duration, Instant};

/// The client's preface, before the first frame (RFC 9113, 3.4), in bytes.
const PREFACE_BYTES: usize = 24;
/// A frame's head: length, type, flags, stream (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The peer sends more of them than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many PING, SETTINGS, PRIORITY or unknown frames")]
pub(super) struct Flood;

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct Meter {
    /// Bytes to pass over before the next head.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    filled: usize,
    /// So many a second, and at once after a quiet second.
    limit: u32,
    /// When the frames so far will have been paid for.
    paid: Option<Instant>,
}

impl Meter {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            filled: 0,
            limit: limit.max(1),
            paid: None,
        }
    }

    /// Takes note of what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let part = bytes.len().min(HEAD_BYTES - self.filled);
            self.head[self.filled..self.filled + part].copy_from_slice(&bytes[..part]);
            self.filled += part;
            bytes = &bytes[part..];
            if self.filled < HEAD_BYTES {
                return Ok(());
            }
            self.filled = 0;
            let [high, middle, low, kind, ..] = self.head;
            self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
            // The others are bounded by streams, windows and the library's own counts.
            if !matches!(
                kind,
                DATA | HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION
            ) {
                self.count(now)?;
            }
        }
    }

    /// A leaky bucket in one instant: each frame pays for its share of a second.
    fn count(&mut self, now: Instant) -> Result<(), Flood> {
        let second = Duration::from_secs(1);
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + second / self.limit;
        if paid - now > second {
            return Err(Flood);
        }
        self.paid = Some(paid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        frame.extend(vec![PING; length.into()]);
        frame
    }

    /// How many of `frames` are taken, read in pieces of `piece` bytes.
    fn taken(frames: &[u8], limit: u32, piece: usize) -> bool {
        let mut meter = Meter::new(limit);
        let stream = [&[0; PREFACE_BYTES][..], frames].concat();
        let now = Instant::now();
        stream
            .chunks(piece)
            .all(|piece| meter.read(piece, now).is_ok())
    }

    proptest! {
        /// However the bytes are cut, the frames that count are counted and no others.
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec((0..12_u8, 0..40_u8), 1..60),
            piece in 1..100_usize,
        ) {
            let counted = [2, 4, 5, 6, 7, 10, 11];
            let many = frames.iter().filter(|(kind, _)| counted.contains(kind)).count();
            let bytes: Vec<u8> = frames.iter().flat_map(|&(kind, length)| frame(kind, length)).collect();
            let many = u32::try_from(many).unwrap();
            prop_assert!(taken(&bytes, many.max(1), piece));
            if many > 1 {
                prop_assert!(!taken(&bytes, many - 1, piece));
            }
        }
    }

    #[test]
    fn a_pause_pays_for_more() {
        let mut meter = Meter::new(10);
        let mut now = Instant::now();
        meter.read(&[0; PREFACE_BYTES], now).unwrap();
        for _ in 0..3 {
            meter.read(&frame(PING, 8).repeat(10), now).unwrap();
            now += Duration::from_secs(1);
        }
        meter.read(&frame(PING, 8).repeat(10), now).unwrap();
        assert_eq!(meter.read(&frame(PING, 8), now), Err(Flood));
    }
}
