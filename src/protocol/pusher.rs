//! Pusher's wire protocol (version 7, which every client understands): frames in both directions.
//!
//! Invariant: `data` is sent as a string that holds JSON, but for `pusher:error`,
//! `pusher:signin_success` and clients' own events, which have it as it is. What clients send is
//! taken in either form.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Frame, Identity, Malformed, SignIn, Subscribe, User};
pub use encode::{Event, encode, encode_close, encode_publication};

/// The beginning of `text`, at most `most` bytes: what an answer repeats of what a client sent.
pub fn excerpt(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
