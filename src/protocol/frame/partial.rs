//! What is unfinished: part of a header, a frame or a fragmented message.

use std::time::Instant;

use super::header::{Header, MAX_CLIENT_HEADER};
use super::{Limits, Opcode, Step, split, unmask};
use crate::code::CloseCode;

/// The unfinished part of one client's stream.
pub(super) struct Partial {
    /// When it began.
    pub(super) since: Instant,
    /// Frames of the message so far.
    pub(super) fragments: u32,
    /// The start of a header.
    head: [u8; MAX_CLIENT_HEADER],
    head_length: usize,
    /// A frame whose payload is not all there: `length` is what is missing, and the mask is
    /// turned to its first byte.
    frame: Option<Header>,
    /// The header of the unfinished message's first frame: what the message is.
    first: Option<Header>,
    /// Its payload so far.
    message: Vec<u8>,
    /// How much of that is known to be UTF-8.
    checked: usize,
    /// The payload so far of a control frame.
    control: Vec<u8>,
    /// Something has been handed out from here and is to be freed.
    done: bool,
}

impl Partial {
    pub(super) const fn new(since: Instant) -> Self {
        Self {
            since,
            fragments: 0,
            head: [0; MAX_CLIENT_HEADER],
            head_length: 0,
            frame: None,
            first: None,
            message: Vec::new(),
            checked: 0,
            control: Vec::new(),
            done: false,
        }
    }

    pub(super) const fn has_frame(&self) -> bool {
        self.frame.is_some()
    }

    pub(super) const fn is_inside(&self) -> bool {
        self.first.is_some()
    }

    /// Whether nothing is awaited.
    pub(super) const fn is_idle(&self) -> bool {
        self.frame.is_none() && self.first.is_none() && self.head_length == 0
    }

    pub(super) const fn buffered(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Frees what was handed out; true if nothing is left.
    pub(super) fn release(&mut self) -> bool {
        if std::mem::take(&mut self.done) {
            self.control = Vec::new();
        }
        self.is_idle()
    }

    /// The payload of what is done.
    pub(super) fn payload(&self, opcode: Opcode) -> &[u8] {
        if opcode.is_control() {
            &self.control
        } else {
            &self.message
        }
    }

    /// Takes header bytes off the input until the header is whole.
    pub(super) fn take_header(
        &mut self,
        input: &mut &mut [u8],
        limits: &Limits,
    ) -> Result<Option<Header>, CloseCode> {
        let held = self.head_length;
        let new = input.len().min(MAX_CLIENT_HEADER - held);
        self.head[held..held + new].copy_from_slice(&input[..new]);
        let room = limits.max_message_bytes.saturating_sub(self.message.len());
        let Some((head, length)) = Header::parse(&self.head[..held + new], room, limits.deflate)?
        else {
            self.head_length += new;
            split(input, new);
            return Ok(None);
        };
        split(input, length - held);
        self.head_length = 0;
        Ok(Some(head))
    }

    /// Starts on a frame's payload.
    pub(super) fn begin(&mut self, head: Header) {
        if !head.opcode.is_control() {
            self.fragments += 1;
            self.first = self.first.or(Some(head));
        }
        self.frame = Some(head);
    }

    /// Takes the frame's payload off the input, as far as it is there.
    pub(super) fn take_payload<'s>(
        &mut self,
        input: &mut &'s mut [u8],
    ) -> Result<Step<'s>, CloseCode> {
        let Some(frame) = &mut self.frame else {
            return Ok(Step::Again);
        };
        let part = split(input, frame.length);
        unmask(part, frame.mask);
        frame.mask.rotate_left(part.len() & 3);
        let buffer = if frame.opcode.is_control() {
            &mut self.control
        } else {
            &mut self.message
        };
        grow(buffer, part.len(), frame.length);
        buffer.extend_from_slice(part);
        frame.length -= part.len();
        let frame = *frame;
        let ends = frame.length == 0;
        if !frame.opcode.is_control() {
            self.check_text(ends && frame.is_final)?;
        }
        if !ends {
            return Ok(Step::More);
        }
        self.frame = None;
        if frame.opcode.is_control() {
            return Ok(self.finish(frame));
        }
        match self.first {
            Some(first) if frame.is_final => {
                self.first = None;
                Ok(self.finish(first))
            }
            _ => Ok(Step::Again),
        }
    }

    fn finish<'s>(&mut self, first: Header) -> Step<'s> {
        self.done = true;
        Step::Buffered(first)
    }

    /// Checks the new part of a text, so that what is wrong fails at once and not at the end.
    fn check_text(&mut self, is_last: bool) -> Result<(), CloseCode> {
        let is_text = |first: Header| first.opcode == Opcode::Text && !first.compressed;
        if !self.first.is_some_and(is_text) {
            return Ok(());
        }
        match std::str::from_utf8(&self.message[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            // A character may be cut in two, but not at the end.
            Err(error) if error.error_len().is_none() && !is_last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(CloseCode::BadPayload),
        }
        Ok(())
    }
}

/// Makes room for `part` bytes: doubling, but never beyond the `awaited` bytes of the frame.
fn grow(buffer: &mut Vec<u8>, part: usize, awaited: usize) {
    if buffer.capacity() - buffer.len() < part {
        buffer.reserve_exact(part.max(awaited.min(buffer.len())));
    }
}
