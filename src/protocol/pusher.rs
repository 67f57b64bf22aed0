//! Pusher's wire protocol (version 7, which every client understands): frames in both directions.
//!
//! Invariant: `data` is sent as a string that holds JSON, but for `pusher:error`,
//! `pusher:signin_success` and clients' own events, which have it as it is.

mod encode;
#[cfg(test)]
mod tests;

pub use encode::encode_publication;
