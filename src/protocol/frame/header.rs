//! Frame headers (RFC 6455 section 5.2). A rule is checked as soon as its byte is there, so that
//! nothing waits for the rest of what will be refused anyway.

use std::ops::Deref;

use crate::code::CloseCode;

/// The longest header from a client: 2 bytes, 8 of length, 4 of mask.
pub(super) const MAX_CLIENT_HEADER: usize = 14;
/// The longest header of a server's frame, which has no mask.
pub const MAX_SERVER_HEADER: usize = 10;
/// The longest payload of a control frame.
pub(super) const MAX_CONTROL: usize = 125;

/// RSV1: this message is compressed (RFC 7692, 6).
pub(super) const COMPRESSED: u8 = 0x40;
/// RSV2 and RSV3: nobody has given them a meaning.
const RESERVED: u8 = 0x30;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a fragmented message.
    Continuation = 0,
    /// Starts a text message.
    Text = 1,
    /// Starts a binary message.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl Opcode {
    /// Whether it may come between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }

    const fn of(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A client's frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    /// Of a message's first frame: all of it is compressed.
    pub(super) compressed: bool,
    /// At most what `parse` was told there is room for.
    pub(super) length: usize,
    pub(super) mask: [u8; 4],
}

impl Header {
    /// Reads a header from the start of `bytes`: it and its length, or `None` if more bytes are
    /// needed. `room` is the most that a data frame may still bring;
    /// `deflate`: messages may be compressed.
    pub(super) fn parse(
        bytes: &[u8],
        room: usize,
        deflate: bool,
    ) -> Result<Option<(Self, usize)>, CloseCode> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let is_final = first & 0x80 != 0;
        let opcode = Opcode::of(first & 0x0f).ok_or(CloseCode::ProtocolError)?;
        let compressed = first & COMPRESSED != 0;
        let may_compress = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        let wrong = first & RESERVED != 0
            || (compressed && !may_compress)
            || (opcode.is_control() && !is_final);
        if wrong {
            return Err(CloseCode::ProtocolError);
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let short = second & 0x7f;
        if second & 0x80 == 0 || (opcode.is_control() && usize::from(short) > MAX_CONTROL) {
            return Err(CloseCode::ProtocolError);
        }
        let (length, at) = match short {
            126 => {
                let Some(&long) = bytes[2..].first_chunk() else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(long)), 4)
            }
            127 => {
                let Some(&long) = bytes[2..].first_chunk() else {
                    return Ok(None);
                };
                (u64::from_be_bytes(long), 10)
            }
            short => (u64::from(short), 2),
        };
        let is_minimal = match at {
            4 => length >= 126,
            10 => length > u64::from(u16::MAX) && length >> 63 == 0,
            _ => true,
        };
        if !is_minimal {
            return Err(CloseCode::ProtocolError);
        }
        let length = usize::try_from(length).map_err(|_| CloseCode::TooBig)?;
        if !opcode.is_control() && length > room {
            return Err(CloseCode::TooBig);
        }
        let Some(&mask) = bytes[at..].first_chunk() else {
            return Ok(None);
        };
        Ok(Some((
            Self {
                is_final,
                opcode,
                compressed,
                length,
                mask,
            },
            at + 4,
        )))
    }
}

/// The header of a frame from the server: unmasked, at most 10 bytes.
#[derive(Debug, Clone, Copy)]
pub struct FrameHeader {
    bytes: [u8; 10],
    length: u8,
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The header of a final frame with a payload of `length` bytes.
pub fn header(opcode: Opcode, length: usize) -> FrameHeader {
    let mut bytes = [0; MAX_SERVER_HEADER];
    bytes[0] = 0x80 | opcode as u8;
    let used = if let Ok(short @ ..126) = u8::try_from(length) {
        bytes[1] = short;
        2
    } else if let Ok(medium) = u16::try_from(length) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&medium.to_be_bytes());
        4
    } else {
        bytes[1] = 127;
        bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
        10
    };
    FrameHeader {
        bytes,
        length: used,
    }
}
