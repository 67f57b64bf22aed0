//! Events as MessagePack, each value in its shortest form.

use bytes::{Buf, Bytes};
use rmp::encode::{write_array_len, write_str_len, write_uint};

use super::from_json::put_json;
use crate::protocol::event::Event;
use crate::protocol::frame::{MAX_SERVER_HEADER, Opcode, header};
use crate::protocol::sink::{Key, MARK, Sink, letter};

/// What an envelope rarely exceeds.
const ENVELOPE: usize = 128;

/// The whole frame of `event`.
pub(in crate::protocol) fn encode(event: &Event<'_>, compact: bool) -> Bytes {
    let data = match event {
        Event::Push { data, .. } => data.len(),
        _ => 0,
    };
    let mut bytes = Vec::with_capacity(MAX_SERVER_HEADER + ENVELOPE + data);
    bytes.resize(MAX_SERVER_HEADER, 0);
    let mut out = MsgPack {
        bytes,
        entries: 0,
        compact,
    };
    event.write(&mut out);
    let mut bytes = out.bytes;
    // The header's length is known only now; it ends where the payload begins.
    let head = header(Opcode::Binary, bytes.len() - MAX_SERVER_HEADER);
    let start = MAX_SERVER_HEADER - head.len();
    bytes[start..MAX_SERVER_HEADER].copy_from_slice(&head);
    let mut frame = Bytes::from(bytes.into_boxed_slice());
    frame.advance(start);
    frame
}

/// Writes `text` with its length.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put_text_len(bytes, text.len());
    bytes.extend_from_slice(text);
}

// A vector takes everything, so these have no error to report.
pub(super) fn put_text_len(bytes: &mut Vec<u8>, length: usize) {
    let _ = write_str_len(bytes, count(length));
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

struct MsgPack {
    bytes: Vec<u8>,
    /// Of the map that is being written.
    entries: u8,
    compact: bool,
}

impl Sink for MsgPack {
    fn map(&mut self, fill: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.entries);
        let at = self.bytes.len();
        self.bytes.push(rmp::Marker::FixMap(0).to_u8());
        fill(self);
        let entries = std::mem::replace(&mut self.entries, outer);
        self.bytes[at] = rmp::Marker::FixMap(entries).to_u8();
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        let _ = write_array_len(&mut self.bytes, count(items.len()));
        for item in items {
            each(self, item);
        }
    }

    fn whole(&mut self, fill: impl FnOnce(&mut Self)) {
        let compact = std::mem::take(&mut self.compact);
        fill(self);
        self.compact = compact;
    }

    fn key(&mut self, key: Key) {
        self.name(key.text(self.compact));
    }

    fn name(&mut self, name: &'static str) {
        self.entries += 1;
        self.text(name);
    }

    fn event(&mut self, event: &str) {
        let letter = if self.compact { letter(event) } else { None };
        match letter {
            Some(letter) => self.text(letter),
            None if self.compact => {
                put_text_len(&mut self.bytes, event.len() + MARK.len_utf8());
                self.bytes.push(MARK as u8);
                self.bytes.extend_from_slice(event.as_bytes());
            }
            None => self.text(event),
        }
    }

    fn status(&mut self, is_ok: bool) {
        match (self.compact, is_ok) {
            (false, true) => self.text("ok"),
            (false, false) => self.text("error"),
            (true, is_ok) => self.number((!is_ok).into()),
        }
    }

    fn text(&mut self, text: &str) {
        put_text(&mut self.bytes, text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        let _ = write_uint(&mut self.bytes, number);
    }

    fn json(&mut self, text: &[u8]) {
        put_json(&mut self.bytes, text);
    }
}
