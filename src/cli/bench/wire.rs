//! The little of WebSocket and of both protocols that a load generator needs: frames of a client,
//! heads of a server's frames, and a publication's data with its number and time in a fixed place.

use std::io::Write;

/// A text frame's opcode.
pub(super) const TEXT: u8 = 1;
/// A close frame's opcode.
pub(super) const CLOSE: u8 = 8;
/// A ping's opcode.
pub(super) const PING: u8 = 9;
/// A pong's opcode.
pub(super) const PONG: u8 = 10;

/// What a publication's number follows.
const MARK: &[u8] = b"~b:";
/// Digits of the number, and of the time.
const DIGITS: usize = 16;
/// The data of a publication is at least so long: quotes, mark, two numbers and a colon.
pub(super) const MIN_SIZE: usize = 2 + MARK.len() + 2 * DIGITS + 1;

/// A frame from a server, without its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    /// By permessage-deflate.
    pub(super) compressed: bool,
    pub(super) payload: &'a [u8],
    /// With its head.
    pub(super) length: usize,
}

/// The first frame in `bytes`, or `None` where it is not whole yet.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, at): (usize, usize) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            4,
        ),
        127 => {
            let length = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            (usize::try_from(length).ok()?, 10)
        }
        short => (usize::from(short), 2),
    };
    let end = at.checked_add(length)?;
    Some(Frame {
        opcode: first & 0x0f,
        compressed: first & 0x40 != 0,
        payload: bytes.get(at..end)?,
        length: end,
    })
}

/// Appends a client's final frame. The mask is zero: it is there, as the RFC wants it, and costs
/// nobody anything.
pub(super) fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(0x80 | short),
        (_, Ok(medium)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A publication's data: a JSON text of `size` bytes in all that holds `number` and `nanos`.
pub(super) fn data(number: u64, nanos: u64, size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size.max(MIN_SIZE));
    // Writing to a vector does not fail.
    let _ = write!(data, "\"~b:{number:016}:{nanos:016}");
    data.resize(size.max(MIN_SIZE) - 1, b'x');
    data.push(b'"');
    data
}

/// The same as records, as services send them, with a text at the end that fills up to `size`.
pub(super) fn records(number: u64, nanos: u64, size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size);
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let _ = write!(data, "[\"~b:{number:016}:{nanos:016}\"");
    loop {
        let side = ["buy", "sell"][usize::from(roll(2) == 0)];
        let symbol = ["AAPL", "MSFT", "TSLA", "AMZN", "NVDA"][usize::from(roll(5) as u8)];
        let record = format!(
            r#",{{"id":{},"symbol":"{symbol}","price":{}.{:02},"amount":{},"side":"{side}"}}"#,
            roll(100_000_000),
            roll(1_000),
            roll(100),
            roll(10_000)
        );
        // Comma, quotes and bracket stand behind it.
        if data.len() + record.len() + 4 > size {
            break;
        }
        data.extend_from_slice(record.as_bytes());
    }
    data.extend_from_slice(b",\"");
    data.resize((size.max(data.len() + 2)) - 2, b'x');
    data.extend_from_slice(b"\"]");
    data
}

/// Finds publications in messages. Their place hardly ever moves, so it is tried first.
#[derive(Debug, Default)]
pub(super) struct Finder {
    place: usize,
}

impl Finder {
    /// The number and the time in `message`, if it is one of our publications.
    pub(super) fn find(&mut self, message: &[u8]) -> Option<(u64, u64)> {
        if !message.get(self.place..)?.starts_with(MARK) {
            self.place = message
                .windows(MARK.len())
                .position(|window| window == MARK)
                .unwrap_or_default();
            if self.place == 0 {
                return None;
            }
        }
        let number = self.place + MARK.len();
        let time = number + DIGITS + 1;
        Some((
            digits(message.get(number..number + DIGITS)?)?,
            digits(message.get(time..time + DIGITS)?)?,
        ))
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_found_again() {
        for size in [0, 64, 128, 70_000] {
            let data = data(42, 1_234_567, size);
            assert_eq!(data.len(), size.max(MIN_SIZE));
            assert!(serde_json::from_slice::<String>(&data).is_ok());
            let records = records(42, 1_234_567, size);
            assert!(size < 64 || records.len() == size, "{}", records.len());
            assert!(serde_json::from_slice::<serde_json::Value>(&records).is_ok());
            assert_eq!(
                Finder::default().find(&[b"{", &records[..]].concat()),
                Some((42, 1_234_567))
            );
            let text = String::from_utf8(data).unwrap();
            let mut finder = Finder::default();
            for channel in ["a", "longer", "a"] {
                let push = format!(r#"{{"event":"e","channel":"{channel}","data":{text}}}"#);
                assert_eq!(finder.find(push.as_bytes()), Some((42, 1_234_567)));
            }
            assert_eq!(finder.find(b"{}"), None);
        }
    }

    #[test]
    fn heads_of_every_length() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
            let mut bytes = Vec::new();
            put_frame(&mut bytes, TEXT, &vec![b'x'; length]);
            let head = bytes.len() - length - 4;
            assert_ne!(bytes[1] & 0x80, 0);
            // As the server writes it: no mask.
            bytes.drain(head..head + 4);
            bytes[1] &= 0x7f;
            for cut in [0, 1, head.saturating_sub(1), bytes.len() - 1] {
                assert_eq!(frame(&bytes[..cut]), None);
            }
            let whole = frame(&bytes).unwrap();
            assert_eq!((whole.opcode, whole.length), (TEXT, bytes.len()));
            assert_eq!(whole.payload.len(), length);
        }
    }
}
