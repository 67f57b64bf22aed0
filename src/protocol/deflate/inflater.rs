//! Inflation of what clients send. One for all sockets of a worker; it owns nothing before the
//! first compressed message.

use std::fmt;

use prometheus_client::metrics::counter::Counter;
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::code::CloseCode;
use crate::metrics::{Metrics, WhatLabel};
use crate::protocol::Message;

/// What completes a message: the end of a flush, which clients leave out, and an empty last block,
/// by which a message that was cut short is told from a whole one.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// The largest window, since clients are not asked for a smaller one.
const WINDOW_BITS: u8 = 15;
/// The first room for a message; it doubles up to the cap.
const FIRST_ROOM: usize = 4 * 1024;
/// Room beyond it is not kept for the next message.
const SPARE_ROOM: usize = 64 * 1024;

/// Inflates messages, one after another.
pub struct Inflater {
    codec: Option<Inflate>,
    room: Vec<u8>,
    max_bytes: usize,
    before: Counter,
    after: Counter,
}

impl Inflater {
    /// One that inflates messages to at most `max_bytes`.
    pub fn new(max_bytes: usize, metrics: &Metrics) -> Self {
        let counter = |what| {
            let label = WhatLabel { what };
            metrics.compression.get_or_create_owned(&label)
        };
        Self {
            codec: None,
            room: Vec::new(),
            max_bytes,
            before: counter("commands_before"),
            after: counter("commands_after"),
        }
    }

    /// The message that `bytes` inflate to.
    ///
    /// # Errors
    /// [`CloseCode::TooBig`] as soon as it goes beyond the cap; [`CloseCode::ProtocolError`]: it
    /// is no whole compressed message; [`CloseCode::BadPayload`].
    pub fn message(&mut self, is_text: bool, bytes: &[u8]) -> Result<Message<'_>, CloseCode> {
        let bytes = self.inflate(bytes)?;
        if is_text {
            let text = std::str::from_utf8(bytes);
            text.map(Message::Text).map_err(|_| CloseCode::BadPayload)
        } else {
            Ok(Message::Binary(bytes))
        }
    }

    /// Bytes that it holds for a message.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.room.capacity()
    }

    fn inflate(&mut self, message: &[u8]) -> Result<&[u8], CloseCode> {
        if self.room.capacity() > SPARE_ROOM {
            self.room = Vec::new();
        }
        let codec = self
            .codec
            .get_or_insert_with(|| Inflate::new(false, WINDOW_BITS));
        codec.reset(false);
        let mut output = Output {
            room: &mut self.room,
            length: 0,
            max_bytes: self.max_bytes,
        };
        output.take(codec, message)?;
        let ended = output.take(codec, &END)?;
        let length = output.length;
        if !ended {
            return Err(CloseCode::ProtocolError);
        }
        self.before.inc_by(message.len() as u64);
        self.after.inc_by(length as u64);
        Ok(&self.room[..length])
    }
}

/// What a message inflates to.
struct Output<'a> {
    room: &'a mut Vec<u8>,
    length: usize,
    max_bytes: usize,
}

impl Output<'_> {
    /// Inflates all of `input`; true if it ends with a last block.
    fn take(&mut self, codec: &mut Inflate, mut input: &[u8]) -> Result<bool, CloseCode> {
        loop {
            self.make_room();
            let (used, made) = (codec.total_in(), codec.total_out());
            let status = codec
                .decompress(
                    input,
                    &mut self.room[self.length..],
                    InflateFlush::SyncFlush,
                )
                .map_err(|_| CloseCode::ProtocolError)?;
            input = &input[moved(used, codec.total_in())..];
            self.length += moved(made, codec.total_out());
            if self.length > self.max_bytes {
                return Err(CloseCode::TooBig);
            }
            match status {
                Status::StreamEnd if input.is_empty() => return Ok(true),
                // A last block in the middle of a message is allowed (RFC 7692, 7.2.3.4).
                Status::StreamEnd => codec.reset(false),
                // There may be more that only lacks room.
                _ if self.length == self.room.len() => {}
                _ if input.is_empty() => return Ok(false),
                _ => return Err(CloseCode::ProtocolError),
            }
        }
    }

    /// Sees to it that there is room for a byte at least: the one beyond the cap, if need be.
    fn make_room(&mut self) {
        if self.length == self.room.len() {
            let most = self.max_bytes + 1;
            let room = (2 * self.length).clamp(FIRST_ROOM.min(most), most);
            self.room.reserve_exact(room - self.length);
            self.room.resize(room, 0);
        }
    }
}

/// How far a codec's count has gone. One step never exceeds its buffers, which are in memory.
fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
