//! permessage-deflate (RFC 7692) without context takeover: each message is compressed on its own.
//! So a publication is compressed once for all sessions that negotiated it, and a session owns
//! nothing but a flag. Where that does not make it smaller, a frame stays as it is.
//!
//! Invariants: what is inflated never takes more than the longest message; a compressed frame
//! is shorter than its plain twin; codecs are reset before each message.

mod deflater;
mod inflater;
#[cfg(test)]
mod tests;

pub use deflater::Deflater;
pub use inflater::Inflater;

/// The window that publications are compressed with, in bits: 4 KiB. More made 16 KiB of JSON
/// hardly smaller, and clients that are short of memory ask for this much (RFC 7692, 7.1.2.1).
pub const WINDOW_BITS: u8 = 12;

/// What a flush ends with. It is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
