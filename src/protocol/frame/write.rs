//! Frames to a client, whole and each in one exact allocation.

use bytes::Bytes;

use super::header::{COMPRESSED, MAX_CONTROL, Opcode, header};
use crate::code::CloseCode;

/// A close frame with `code`'s number and, as the reason, its name.
pub fn close_frame(code: CloseCode) -> Bytes {
    let (number, name) = code.wire();
    close_frame_of(number, name)
}

/// A close frame with this number and reason.
pub fn close_frame_of(number: u16, reason: &'static str) -> Bytes {
    frame(Opcode::Close, &[&number.to_be_bytes(), reason.as_bytes()])
}

/// The answer to a client's close frame: the same code (RFC 6455 section 5.5.1).
pub fn close_reply(code: Option<u16>) -> Bytes {
    match code {
        Some(number) => frame(Opcode::Close, &[&number.to_be_bytes()]),
        None => frame(Opcode::Close, &[]),
    }
}

/// A ping without a payload, which is all that is needed to hear a pong.
pub const fn ping_frame() -> Bytes {
    Bytes::from_static(&[0x80 | Opcode::Ping as u8, 0])
}

/// The answer to a ping with `payload` (at most 125 bytes, as every ping's is).
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, &[&payload[..payload.len().min(MAX_CONTROL)]])
}

/// The payload of one of our own frames.
pub fn payload(frame: &[u8]) -> &[u8] {
    let head = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

/// The twin of `plain`, a whole data frame of ours, with its payload compressed to `payload`.
pub fn compressed(plain: &[u8], payload: &[u8]) -> Bytes {
    let head = header(Opcode::Text, payload.len());
    let mut bytes = Vec::with_capacity(head.len() + payload.len());
    bytes.extend(plain.first().map(|first| first | COMPRESSED));
    bytes.extend_from_slice(&head[1..]);
    bytes.extend_from_slice(payload);
    bytes.into()
}

fn frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let head = header(opcode, length);
    let mut bytes = Vec::with_capacity(head.len() + length);
    bytes.extend_from_slice(&head);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.into()
}
