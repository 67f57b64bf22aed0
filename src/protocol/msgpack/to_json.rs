//! MessagePack as JSON text. What comes from a client is bounded by its frame: a declared length
//! reserves nothing, nesting ends at [`MAX_DEPTH`], and what is not well formed, or cannot be
//! JSON, is refused as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmp::Marker;

use super::time;
use crate::protocol::json::text::Out;

/// Most maps and lists within each other, the message's own map included.
const MAX_DEPTH: usize = 64;
/// The type of the one extension that is known.
const TIMESTAMP: i8 = -1;

/// The one value that `bytes` are. Byte strings, as base64, and timestamps, as RFC 3339, may only
/// stand in the value of the outermost map's `data_key`.
pub(in crate::protocol) fn to_json(bytes: &[u8], data_key: &str) -> Option<String> {
    let mut reader = Reader {
        rest: bytes,
        json: Vec::with_capacity(bytes.len() + bytes.len() / 4),
        data_key,
    };
    reader.value(0, false)?;
    if !reader.rest.is_empty() {
        return None;
    }
    String::from_utf8(reader.json).ok()
}

struct Reader<'a> {
    rest: &'a [u8],
    json: Vec<u8>,
    data_key: &'a str,
}

impl<'a> Reader<'a> {
    /// Writes the next value, which stands within `depth` others; `None` if it is none.
    fn value(&mut self, depth: usize, in_data: bool) -> Option<()> {
        let [marker] = self.array()?;
        match Marker::from_u8(marker) {
            Marker::FixMap(count) => return self.map(count.into(), depth, in_data),
            Marker::Map16 => {
                let count = u16::from_be_bytes(self.array()?);
                return self.map(count.into(), depth, in_data);
            }
            Marker::Map32 => {
                let count = u32::from_be_bytes(self.array()?);
                return self.map(count, depth, in_data);
            }
            Marker::FixArray(count) => return self.list(count.into(), depth, in_data),
            Marker::Array16 => {
                let count = u16::from_be_bytes(self.array()?);
                return self.list(count.into(), depth, in_data);
            }
            Marker::Array32 => {
                let count = u32::from_be_bytes(self.array()?);
                return self.list(count, depth, in_data);
            }
            Marker::Null => self.json.raw(b"null"),
            Marker::True => self.json.raw(b"true"),
            Marker::False => self.json.raw(b"false"),
            marker => {
                return self
                    .text(marker)
                    .map(|text| self.json.string(text))
                    .or_else(|| self.number(marker))
                    .or_else(|| in_data.then(|| self.data_only(marker))?);
            }
        }
        Some(())
    }

    fn map(&mut self, count: u32, depth: usize, in_data: bool) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        self.json.raw(b"{");
        for index in 0..count {
            if index > 0 {
                self.json.raw(b",");
            }
            let [marker] = self.array()?;
            let key = self.text(Marker::from_u8(marker))?;
            self.json.string(key);
            self.json.raw(b":");
            let is_data = depth == 0 && key == self.data_key;
            self.value(depth + 1, in_data || is_data)?;
        }
        self.json.raw(b"}");
        Some(())
    }

    fn list(&mut self, count: u32, depth: usize, in_data: bool) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        self.json.raw(b"[");
        for index in 0..count {
            if index > 0 {
                self.json.raw(b",");
            }
            self.value(depth + 1, in_data)?;
        }
        self.json.raw(b"]");
        Some(())
    }

    /// The string that `marker` begins; `None`, with nothing read, if it begins none.
    fn text(&mut self, marker: Marker) -> Option<&'a str> {
        let length = match marker {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.array().map(u8::from_be_bytes)?.into(),
            Marker::Str16 => self.array().map(u16::from_be_bytes)?.into(),
            Marker::Str32 => self.array().map(u32::from_be_bytes)?,
            _ => return None,
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Writes the number that `marker` begins.
    fn number(&mut self, marker: Marker) -> Option<()> {
        let signed = match marker {
            Marker::FixPos(number) => number.into(),
            Marker::FixNeg(number) => number.into(),
            Marker::U8 => self.array().map(u8::from_be_bytes)?.into(),
            Marker::U16 => self.array().map(u16::from_be_bytes)?.into(),
            Marker::U32 => self.array().map(u32::from_be_bytes)?.into(),
            Marker::I8 => self.array().map(i8::from_be_bytes)?.into(),
            Marker::I16 => self.array().map(i16::from_be_bytes)?.into(),
            Marker::I32 => self.array().map(i32::from_be_bytes)?.into(),
            Marker::I64 => self.array().map(i64::from_be_bytes)?,
            Marker::U64 => {
                let number = u64::from_be_bytes(self.array()?);
                self.json.number(number);
                return Some(());
            }
            Marker::F32 => {
                let number = f32::from_be_bytes(self.array()?);
                return self.float(number.into());
            }
            Marker::F64 => {
                let number = f64::from_be_bytes(self.array()?);
                return self.float(number);
            }
            _ => return None,
        };
        if signed < 0 {
            self.json.raw(b"-");
        }
        self.json.number(signed.unsigned_abs());
        Some(())
    }

    /// The fewest digits that tell it from other doubles. What is no number in JSON (an infinity,
    /// say) is `null`, as browsers write it.
    fn float(&mut self, number: f64) -> Option<()> {
        serde_json::to_writer(&mut self.json, &number).ok()
    }

    /// Writes what may stand in data and nowhere else, if `marker` begins that.
    fn data_only(&mut self, marker: Marker) -> Option<()> {
        let length = match marker {
            Marker::Bin8 => self.array().map(u8::from_be_bytes)?.into(),
            Marker::Bin16 => self.array().map(u16::from_be_bytes)?.into(),
            Marker::Bin32 => self.array().map(u32::from_be_bytes)?,
            marker => return self.timestamp(marker),
        };
        let text = STANDARD.encode(self.take(length)?);
        self.json.string(&text);
        Some(())
    }

    fn timestamp(&mut self, marker: Marker) -> Option<()> {
        let length = match marker {
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::Ext8 => self.array().map(u8::from_be_bytes)?.into(),
            _ => return None,
        };
        if self.array().map(i8::from_be_bytes)? != TIMESTAMP {
            return None;
        }
        let (seconds, nanoseconds) = match length {
            4 => (self.array().map(u32::from_be_bytes)?.into(), 0),
            8 => {
                let both = u64::from_be_bytes(self.array()?);
                let seconds = i64::try_from(both & ((1 << 34) - 1)).ok()?;
                (seconds, u32::try_from(both >> 34).ok()?)
            }
            12 => {
                let nanoseconds = u32::from_be_bytes(self.array()?);
                (i64::from_be_bytes(self.array()?), nanoseconds)
            }
            _ => return None,
        };
        let text = time::rfc3339(seconds, nanoseconds)?;
        self.json.string(&text);
        Some(())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}
