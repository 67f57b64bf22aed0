//! Events as JSON text, with keys in full or as letters.

use bytes::Bytes;

use super::text::{self, Out, Write};
use crate::protocol::event::{Event, Member};
use crate::protocol::sink::{Key, MARK, Sink, letter};

/// The whole frame of `event`.
pub(in crate::protocol) fn encode<const COMPACT: bool>(event: &Event<'_>) -> Bytes {
    text::frame(&Whole::<COMPACT>(event))
}

/// The JSON text of `member`.
pub(in crate::protocol) fn member_data(member: Member<'_>) -> Bytes {
    text::bytes(&member)
}

struct Whole<'e, const COMPACT: bool>(&'e Event<'e>);

impl<const COMPACT: bool> Write for Whole<'_, COMPACT> {
    fn write<O: Out>(&self, out: &mut O) {
        self.0.write(&mut Json::<O, COMPACT>::new(out));
    }
}

impl Write for Member<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        Self::write(self, &mut Json::<O, false>::new(out));
    }
}

struct Json<'o, O, const COMPACT: bool> {
    out: &'o mut O,
    /// Nothing stands before what comes next, so that it needs no comma.
    first: bool,
    /// Outside of the envelope nothing is shortened.
    envelope: bool,
}

impl<'o, O: Out, const COMPACT: bool> Json<'o, O, COMPACT> {
    fn new(out: &'o mut O) -> Self {
        Self {
            out,
            first: true,
            envelope: true,
        }
    }

    #[inline]
    fn is_compact(&self) -> bool {
        COMPACT && self.envelope
    }
}

impl<O: Out, const COMPACT: bool> Sink for Json<'_, O, COMPACT> {
    #[inline]
    fn map(&mut self, fill: impl FnOnce(&mut Self)) {
        self.out.raw(b"{");
        self.first = true;
        fill(self);
        self.out.raw(b"}");
        self.first = false;
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.out.raw(b"[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.raw(b",");
            }
            each(self, item);
        }
        self.out.raw(b"]");
    }

    fn whole(&mut self, fill: impl FnOnce(&mut Self)) {
        let envelope = std::mem::replace(&mut self.envelope, false);
        fill(self);
        self.envelope = envelope;
    }

    #[inline]
    fn key(&mut self, key: Key) {
        let text = key.json(self.is_compact()).as_bytes();
        let comma = usize::from(std::mem::take(&mut self.first));
        self.out.raw(&text[comma..]);
    }

    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.first) {
            self.out.raw(b",");
        }
        self.out.raw(b"\"");
        self.out.raw(name.as_bytes());
        self.out.raw(b"\":");
    }

    #[inline]
    fn event(&mut self, event: &str) {
        if !self.is_compact() {
            return self.out.string(event);
        }
        match letter(event) {
            Some(letter) => self.out.string(letter),
            None => {
                self.out.raw(b"\"");
                self.out.raw(&[MARK as u8]);
                self.out.escaped(event.as_bytes());
                self.out.raw(b"\"");
            }
        }
    }

    fn status(&mut self, is_ok: bool) {
        self.out.raw(match (self.is_compact(), is_ok) {
            (false, true) => b"\"ok\"",
            (false, false) => b"\"error\"",
            (true, true) => b"0",
            (true, false) => b"1",
        });
    }

    #[inline]
    fn text(&mut self, text: &str) {
        self.out.string(text);
    }

    #[inline]
    fn number(&mut self, number: u64) {
        self.out.number(number);
    }

    #[inline]
    fn json(&mut self, text: &[u8]) {
        self.out.raw(text);
    }
}
