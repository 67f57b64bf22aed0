//! RFC 6455 as the server sees it, without I/O.
//!
//! A worker reads into a scratch buffer that all its sockets share and hands it to the socket's
//! [`FrameReader`]. A message that is whole in the scratch is unmasked in place and handed out
//! without a copy; only what is unfinished is copied, into a buffer that lives until the message
//! is done. An idle reader owns no heap memory. Nothing is reserved because a client says it will
//! send it: memory follows the bytes that have come.

mod header;
mod mask;
mod partial;
mod server;
mod write;

pub use header::{FrameHeader, MAX_SERVER_HEADER, Opcode, header};
pub use mask::unmask;
pub use server::{Outgoing, ServerFrames, Unknown, put_client_frame};
pub use write::{
    close_frame, close_frame_of, close_reply, compressed, payload, ping_frame, pong_frame,
};

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::code::CloseCode;
use header::Header;
use partial::Partial;

/// What a client may send.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest message in bytes, all fragments together.
    pub max_message_bytes: usize,
    /// Most frames that one message may come in.
    pub max_fragments: u32,
    /// Control frames a second in the long run.
    pub control_per_second: u32,
    /// Control frames at once.
    pub control_burst: u32,
    /// How long a message (or a lone control frame) may stay unfinished.
    pub unfinished_deadline: Duration,
    /// Whether permessage-deflate was negotiated: messages may be compressed.
    pub deflate: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 65_536,
            max_fragments: 64,
            control_per_second: 10,
            control_burst: 20,
            unfinished_deadline: Duration::from_secs(10),
            deflate: false,
        }
    }
}

/// What came from the client. After a close nothing that follows counts: answer it with
/// [`close_reply`], feed the reader no more and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A message that is compressed still.
    Deflated {
        /// Of text, which may turn out to be none.
        is_text: bool,
        /// What the client sent.
        bytes: &'a [u8],
    },
    /// To be answered with [`pong_frame`].
    Ping(&'a [u8]),
    /// Answers a ping, or none.
    Pong(&'a [u8]),
    /// The client closes, with a code if it gave one.
    Close(Option<u16>),
}

/// Finds messages in what one client sends.
pub struct FrameReader {
    limits: Arc<Limits>,
    partial: Option<Box<Partial>>,
    /// When the control frames so far will have been paid for.
    control_paid: Option<Instant>,
}

/// One step through the input.
enum Step<'s> {
    /// The input is used up.
    More,
    /// A frame was taken in, but nothing is done yet.
    Again,
    /// Done, and whole in the input.
    Direct(Header, &'s mut [u8]),
    /// Done, in the partial's buffers; with the message's first header.
    Buffered(Header),
}

impl FrameReader {
    /// A reader for one connection.
    pub const fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            partial: None,
            control_paid: None,
        }
    }

    /// Takes the next message off the front of `input`, which it changes in place. Call it until
    /// it answers `None`: then all of `input` is used, and the buffer of the last message free.
    ///
    /// # Errors
    /// The code to close with. The reader is of no use after that.
    pub fn next<'a, 's: 'a>(
        &'a mut self,
        input: &mut &'s mut [u8],
        now: Instant,
    ) -> Result<Option<Incoming<'a>>, CloseCode> {
        self.release();
        loop {
            match self.step(input, now)? {
                Step::Again => {}
                Step::Direct(head, payload) => return incoming(head, payload).map(Some),
                Step::Buffered(head) => {
                    let partial = self.partial.as_ref();
                    let payload = partial.map_or(&[][..], |partial| partial.payload(head.opcode));
                    return incoming(head, payload).map(Some);
                }
                Step::More if self.deadline().is_some_and(|deadline| deadline <= now) => {
                    return Err(CloseCode::Policy);
                }
                Step::More => return Ok(None),
            }
        }
    }

    /// When what is unfinished must be done; close with [`CloseCode::Policy`] if it is not.
    /// `None`: nothing is unfinished.
    pub fn deadline(&self) -> Option<Instant> {
        let partial = self.partial.as_ref().filter(|partial| !partial.is_idle())?;
        Some(partial.since + self.limits.unfinished_deadline)
    }

    /// Bytes that are held for what is unfinished.
    pub fn buffered(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.buffered())
    }

    /// Frees what the last message was in.
    fn release(&mut self) {
        if self
            .partial
            .as_mut()
            .is_some_and(|partial| partial.release())
        {
            self.partial = None;
        }
    }

    fn step<'s>(&mut self, input: &mut &'s mut [u8], now: Instant) -> Result<Step<'s>, CloseCode> {
        if let Some(partial) = &mut self.partial
            && partial.has_frame()
        {
            return partial.take_payload(input);
        }
        if input.is_empty() {
            return Ok(Step::More);
        }
        let Some(head) = self.take_header(input, now)? else {
            return Ok(Step::More);
        };
        self.admit(head, now)?;
        let is_alone = head.opcode.is_control() || (head.is_final && !self.is_inside());
        if is_alone && input.len() >= head.length {
            let payload = split(input, head.length);
            unmask(payload, head.mask);
            return Ok(Step::Direct(head, payload));
        }
        self.partial(now).begin(head);
        Ok(Step::Again)
    }

    /// Takes a header off the input; `None` if that does not hold all of it yet.
    fn take_header(
        &mut self,
        input: &mut &mut [u8],
        now: Instant,
    ) -> Result<Option<Header>, CloseCode> {
        let limits = &*self.limits;
        if let Some(partial) = &mut self.partial {
            return partial.take_header(input, limits);
        }
        let whole = Header::parse(input, limits.max_message_bytes, limits.deflate)?;
        if let Some((head, length)) = whole {
            split(input, length);
            return Ok(Some(head));
        }
        let partial = self.partial.insert(Box::new(Partial::new(now)));
        partial.take_header(input, limits)
    }

    /// Checks a frame against what came before it.
    fn admit(&mut self, head: Header, now: Instant) -> Result<(), CloseCode> {
        if head.opcode.is_control() {
            return self.admit_control(now);
        }
        if (head.opcode == Opcode::Continuation) != self.is_inside() {
            return Err(CloseCode::ProtocolError);
        }
        let fragments = self.partial.as_ref().map_or(0, |partial| partial.fragments);
        if fragments >= self.limits.max_fragments {
            return Err(CloseCode::Policy);
        }
        Ok(())
    }

    /// A leaky bucket in one instant: each control frame pays for its share of a second.
    fn admit_control(&mut self, now: Instant) -> Result<(), CloseCode> {
        let share = Duration::from_secs(1) / self.limits.control_per_second.max(1);
        let paid = self.control_paid.map_or(now, |paid| paid.max(now)) + share;
        if paid - now > share * self.limits.control_burst.max(1) {
            return Err(CloseCode::Policy);
        }
        self.control_paid = Some(paid);
        Ok(())
    }

    /// Whether a message has begun and not ended.
    fn is_inside(&self) -> bool {
        self.partial
            .as_ref()
            .is_some_and(|partial| partial.is_inside())
    }

    fn partial(&mut self, now: Instant) -> &mut Partial {
        self.partial
            .get_or_insert_with(|| Box::new(Partial::new(now)))
    }
}

// By hand: the buffer holds what the client sent, which may be a token.
impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

/// Takes the first `length` bytes (at most what is there) off the front of `input`.
fn split<'s>(input: &mut &'s mut [u8], length: usize) -> &'s mut [u8] {
    let all = std::mem::take(input);
    let (front, rest) = all.split_at_mut(length.min(all.len()));
    *input = rest;
    front
}

/// What a whole message says.
fn incoming(head: Header, payload: &[u8]) -> Result<Incoming<'_>, CloseCode> {
    match head.opcode {
        _ if head.compressed => Ok(Incoming::Deflated {
            is_text: head.opcode == Opcode::Text,
            bytes: payload,
        }),
        Opcode::Text => match std::str::from_utf8(payload) {
            Ok(text) => Ok(Incoming::Text(text)),
            Err(_) => Err(CloseCode::BadPayload),
        },
        Opcode::Binary | Opcode::Continuation => Ok(Incoming::Binary(payload)),
        Opcode::Ping => Ok(Incoming::Ping(payload)),
        Opcode::Pong => Ok(Incoming::Pong(payload)),
        Opcode::Close => close(payload).map(Incoming::Close),
    }
}

/// The code in a close frame's payload (RFC 6455 sections 5.5.1 and 7.4).
fn close(payload: &[u8]) -> Result<Option<u16>, CloseCode> {
    let Some((&number, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(CloseCode::ProtocolError)
        };
    };
    let number = u16::from_be_bytes(number);
    // 1004 to 1006 and 1015 are never sent; below 3000 the rest is not defined.
    if !matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(CloseCode::ProtocolError);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(number)),
        Err(_) => Err(CloseCode::BadPayload),
    }
}

#[cfg(test)]
mod tests;
