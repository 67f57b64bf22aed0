//! The frame reader on any bytes: it never panics, holds no more than its limits allow, and gives
//! the same answer however the bytes are cut. The first input byte is the size of the pieces,
//! the second says whether permessage-deflate was negotiated.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use pogo::code::CloseCode;
use pogo::protocol::frame::{FrameReader, Incoming, Limits};

const MAX_MESSAGE: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let [size, flags, bytes @ ..] = input else { return };
    let deflate = flags & 1 == 1;
    let whole = read(bytes, bytes.len().max(1), deflate);
    let cut = read(bytes, usize::from(*size).max(1), deflate);
    assert_eq!(whole, cut);
});

fn read(bytes: &[u8], size: usize, deflate: bool) -> (Vec<(u8, Vec<u8>)>, Option<CloseCode>) {
    let now = Instant::now();
    let limits = Limits { max_message_bytes: MAX_MESSAGE, deflate, ..Limits::default() };
    let mut reader = FrameReader::new(Arc::new(limits));
    let mut messages = Vec::new();
    for chunk in bytes.chunks(size) {
        let mut scratch = chunk.to_vec();
        let mut input = &mut scratch[..];
        loop {
            match reader.next(&mut input, now) {
                Ok(Some(incoming)) => messages.push(owned(incoming)),
                Ok(None) => break,
                Err(code) => return (messages, Some(code)),
            }
        }
        assert!(input.is_empty());
        assert!(reader.buffered() <= 2 * MAX_MESSAGE);
        assert!(reader.deadline().is_some() || reader.buffered() == 0);
    }
    (messages, None)
}

fn owned(incoming: Incoming<'_>) -> (u8, Vec<u8>) {
    match incoming {
        Incoming::Text(text) => (1, text.into()),
        Incoming::Binary(bytes) => (2, bytes.into()),
        Incoming::Deflated { is_text, bytes } => (if is_text { 3 } else { 4 }, bytes.into()),
        Incoming::Close(code) => (8, code.unwrap_or(0).to_be_bytes().into()),
        Incoming::Ping(bytes) => (9, bytes.into()),
        Incoming::Pong(bytes) => (10, bytes.into()),
    }
}
