//! The other side of the wire: what the server writes, read, and what a client writes, written.
//! For who speaks for a client within this process; a peer on a network is never trusted so.

use bytes::{Buf, Bytes, BytesMut};

use super::Opcode;
use super::header::{COMPRESSED, MAX_CLIENT_HEADER, header};

/// A frame that the server wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A text message.
    Text(Bytes),
    /// It wants a pong.
    Ping,
    /// The end: the code, where there is one, and why.
    Close(Option<u16>, Box<str>),
    /// Nothing that a client acts on.
    Other,
}

/// Finds frames in what the server writes. Holds no more than what it was given and has not
/// handed out.
#[derive(Debug, Default)]
pub struct ServerFrames(BytesMut);

/// The server wrote what this reader does not know: a compressed or fragmented message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is none of a plain session's")]
pub struct Unknown;

impl ServerFrames {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// It is none that a session without extensions writes.
    pub fn take(&mut self) -> Result<Option<Outgoing>, Unknown> {
        let (Some(&first), Some(&second)) = (self.0.first(), self.0.get(1)) else {
            return Ok(None);
        };
        let long = |range| self.0.get(range).map(|bytes: &[u8]| bytes.iter());
        let number = |bytes: std::slice::Iter<'_, u8>| {
            bytes.fold(0_usize, |value, byte| value << 8 | usize::from(*byte))
        };
        let (head, length) = match second {
            126 => match long(2..4) {
                Some(bytes) => (4, number(bytes)),
                None => return Ok(None),
            },
            127 => match long(2..10) {
                Some(bytes) => (10, number(bytes)),
                None => return Ok(None),
            },
            short => (2, usize::from(short)),
        };
        if first & 0x80 == 0 || first & COMPRESSED != 0 || second & 0x80 != 0 {
            return Err(Unknown);
        }
        if self.0.len() - head < length {
            return Ok(None);
        }
        self.0.advance(head);
        let payload = self.0.split_to(length).freeze();
        Ok(Some(match first & 0x0f {
            nibble if nibble == Opcode::Text as u8 => Outgoing::Text(payload),
            nibble if nibble == Opcode::Ping as u8 => Outgoing::Ping,
            nibble if nibble == Opcode::Close as u8 => close(&payload),
            _ => Outgoing::Other,
        }))
    }
}

fn close(payload: &[u8]) -> Outgoing {
    match payload.split_first_chunk() {
        Some((&code, reason)) => Outgoing::Close(
            Some(u16::from_be_bytes(code)),
            String::from_utf8_lossy(reason).into(),
        ),
        None => Outgoing::Close(None, "".into()),
    }
}

/// Appends a client's frame to `out`. The mask is zero: it must be there, and here it hides
/// nothing from anybody.
pub fn put_client_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let head = header(opcode, payload.len());
    out.reserve(MAX_CLIENT_HEADER + payload.len());
    out.extend(head.iter().enumerate().map(|(at, byte)| match at {
        1 => byte | 0x80,
        _ => *byte,
    }));
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::super::{FrameReader, Incoming, Limits, close_frame, close_reply, ping_frame};
    use super::*;
    use crate::code::CloseCode;

    fn text(length: usize) -> Vec<u8> {
        [&header(Opcode::Text, length)[..], &vec![b'x'; length]].concat()
    }

    proptest! {
        #[test]
        fn frames_come_out_however_they_are_cut(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, 65_530..65_540_usize], 0..6),
            cut in 1..70_000_usize,
        ) {
            let mut wire: Vec<u8> = lengths.iter().flat_map(|length| text(*length)).collect();
            wire.extend_from_slice(&ping_frame());
            wire.extend_from_slice(&close_frame(CloseCode::Draining));
            let (mut frames, mut found) = (ServerFrames::default(), vec![]);
            for piece in wire.chunks(cut) {
                frames.push(piece);
                while let Some(frame) = frames.take().unwrap() {
                    found.push(frame);
                }
            }
            let mut wanted: Vec<_> = lengths
                .iter()
                .map(|length| Outgoing::Text(vec![b'x'; *length].into()))
                .collect();
            wanted.extend([Outgoing::Ping, Outgoing::Close(Some(4200), "draining".into())]);
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn the_server_understands_a_clients_frames(length in prop_oneof![0..300_usize, 65_500..65_536_usize]) {
            let said = "y".repeat(length);
            let mut wire = Vec::new();
            put_client_frame(&mut wire, Opcode::Text, said.as_bytes());
            put_client_frame(&mut wire, Opcode::Pong, b"");
            let mut reader = FrameReader::new(Arc::new(Limits::default()));
            let mut input = &mut wire[..];
            prop_assert_eq!(reader.next(&mut input, Instant::now()), Ok(Some(Incoming::Text(&said))));
            prop_assert_eq!(reader.next(&mut input, Instant::now()), Ok(Some(Incoming::Pong(&[][..]))));
        }
    }

    #[test]
    fn what_no_plain_session_writes_is_refused() {
        for first in [0x01, 0xc1] {
            let mut frames = ServerFrames::default();
            frames.push(&[first, 1, b'x']);
            assert_eq!(frames.take(), Err(Unknown));
        }
        let mut frames = ServerFrames::default();
        frames.push(&close_reply(None));
        assert_eq!(frames.take(), Ok(Some(Outgoing::Close(None, "".into()))));
    }
}
