//! Writing JSON text twice: once to count, once into an allocation of exactly that size.

use crate::protocol::frame::{self, Opcode};
use bytes::Bytes;

/// Where JSON text goes.
pub(in crate::protocol) trait Out {
    /// Appends `bytes` as they are.
    fn raw(&mut self, bytes: &[u8]);

    /// Appends `text` as a JSON string.
    fn string(&mut self, text: &str) {
        self.quoted(text.as_bytes());
    }

    /// Appends UTF-8 as a JSON string.
    fn quoted(&mut self, text: &[u8]) {
        self.raw(b"\"");
        self.escaped(text);
        self.raw(b"\"");
    }

    /// Appends UTF-8 as the inside of a JSON string.
    fn escaped(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
            self.raw(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.raw(rest);
    }

    /// Appends the escape of `byte`, which [`needs_escape`].
    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' => self.raw(b"\\\""),
            b'\\' => self.raw(b"\\\\"),
            b'\n' => self.raw(b"\\n"),
            b'\r' => self.raw(b"\\r"),
            b'\t' => self.raw(b"\\t"),
            byte => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                self.raw(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }

    /// Appends `number` in decimal.
    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.raw(&digits[at..]);
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

impl Out for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts instead of writing.
struct Count(usize);

impl Out for Count {
    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Something that can be written as JSON text, the same each time.
pub(in crate::protocol) trait Write {
    /// Appends it.
    fn write<O: Out>(&self, out: &mut O);
}

/// A text frame with the JSON text of `what`.
pub(in crate::protocol) fn frame(what: &impl Write) -> Bytes {
    let mut count = Count(0);
    what.write(&mut count);
    let head = frame::header(Opcode::Text, count.0);
    let mut bytes = Vec::with_capacity(head.len() + count.0);
    bytes.extend_from_slice(&head);
    what.write(&mut bytes);
    bytes.into()
}

/// The JSON text of `what`.
pub(in crate::protocol) fn bytes(what: &impl Write) -> Bytes {
    let mut count = Count(0);
    what.write(&mut count);
    let mut bytes = Vec::with_capacity(count.0);
    what.write(&mut bytes);
    bytes.into()
}
