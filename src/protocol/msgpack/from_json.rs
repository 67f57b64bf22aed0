//! JSON text as MessagePack. The text has been checked by whoever took it, and is read twice: to
//! count what each list and map holds, which MessagePack says first, and to write. Nothing
//! recurses, so nesting is harmless; text that is no JSON does no harm either.

use rmp::encode::{
    write_array_len, write_bool, write_f32, write_f64, write_map_len, write_nil, write_sint,
    write_uint,
};

use super::encode::{put_text, put_text_len};

/// How much of a long string is looked at in one go.
const CHUNK: usize = 32;

/// Appends the JSON value that `text` is.
pub(super) fn put_json(bytes: &mut Vec<u8>, text: &[u8]) {
    let start = bytes.len();
    let mut counts = counts(text).into_iter();
    for token in Tokens(text) {
        // A vector takes everything, so the writers have no error to report.
        let _ = match token {
            Token::Map => write_map_len(bytes, counts.next().unwrap_or(0) / 2).is_ok(),
            Token::List => write_array_len(bytes, counts.next().unwrap_or(0)).is_ok(),
            Token::End => true,
            Token::Null => write_nil(bytes).is_ok(),
            Token::Bool(value) => write_bool(bytes, value).is_ok(),
            Token::Number(text) => put_number(bytes, text),
            Token::Text(text) => put_escaped(bytes, text),
        };
    }
    if bytes.len() == start {
        let _ = write_nil(bytes);
    }
}

/// How many values each list and map holds, in the order in which they begin; a map's keys count.
fn counts(text: &[u8]) -> Vec<u32> {
    let (mut counts, mut open) = (Vec::<u32>::new(), Vec::<usize>::new());
    for token in Tokens(text) {
        if matches!(token, Token::End) {
            open.pop();
            continue;
        }
        if let Some(&list) = open.last() {
            counts[list] += 1;
        }
        if matches!(token, Token::Map | Token::List) {
            open.push(counts.len());
            counts.push(0);
        }
    }
    counts
}

/// The shortest form that holds all of it: whole numbers of 64 bits, else a float.
fn put_number(bytes: &mut Vec<u8>, text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or_default();
    if let Ok(number) = text.parse::<u64>() {
        return write_uint(bytes, number).is_ok();
    }
    match text.parse::<i64>() {
        // A zero below zero is a float's.
        Ok(number) if number != 0 => return write_sint(bytes, number).is_ok(),
        _ => {}
    }
    let number = text.parse::<f64>().unwrap_or(f64::NAN);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "taken only where nothing is lost"
    )]
    let short = number as f32;
    if f64::from(short).to_bits() == number.to_bits() {
        write_f32(bytes, short).is_ok()
    } else {
        write_f64(bytes, number).is_ok()
    }
}

/// A string, from what stands between its quotes.
fn put_escaped(bytes: &mut Vec<u8>, text: &[u8]) -> bool {
    if !text.contains(&b'\\') {
        put_text(bytes, text);
        return true;
    }
    let mut length = 0;
    unescape(text, |part| length += part.len());
    put_text_len(bytes, length);
    unescape(text, |part| bytes.extend_from_slice(part));
    true
}

/// Hands over `text` without its escapes, piece by piece. Half of a surrogate pair is U+FFFD.
fn unescape(mut text: &[u8], mut put: impl FnMut(&[u8])) {
    while let Some(at) = text.iter().position(|&byte| byte == b'\\') {
        put(&text[..at]);
        let (escape, rest) = text[at..].split_at(2.min(text.len() - at));
        text = rest;
        let plain = match escape.get(1) {
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => code_point(&mut text),
            Some(&byte) => byte.into(),
            None => return,
        };
        put(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    put(text);
}

/// What follows `\u`, with the other half of the pair if it takes two.
fn code_point(text: &mut &[u8]) -> char {
    let first = unit(text);
    let high = first.wrapping_sub(0xd800);
    if high < 0x400
        && let Some(mut rest) = text.strip_prefix(b"\\u")
    {
        let low = unit(&mut rest).wrapping_sub(0xdc00);
        if low < 0x400 {
            *text = rest;
            return char::from_u32(0x1_0000 + (high << 10 | low)).unwrap_or('\u{fffd}');
        }
    }
    char::from_u32(first).unwrap_or('\u{fffd}')
}

fn unit(text: &mut &[u8]) -> u32 {
    let (digits, rest) = text.split_at(4.min(text.len()));
    *text = rest;
    let digits = std::str::from_utf8(digits).ok();
    let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    value.unwrap_or(0xfffd)
}

/// A piece of JSON text; commas and colons say nothing new.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Map,
    List,
    End,
    Null,
    Bool(bool),
    Number(&'a [u8]),
    /// A string or key: what stands between its quotes.
    Text(&'a [u8]),
}

/// The pieces of a JSON text; ends early where it is none.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        let start = self.0.iter().position(|byte| !blank(byte))?;
        let text = &self.0[start..];
        let (token, length) = match text[0] {
            b'{' => (Token::Map, 1),
            b'[' => (Token::List, 1),
            b'}' | b']' => (Token::End, 1),
            b'"' => {
                let length = closing_quote(&text[1..])?;
                (Token::Text(&text[1..=length]), length + 2)
            }
            b'n' => (Token::Null, 4),
            b't' => (Token::Bool(true), 4),
            b'f' => (Token::Bool(false), 5),
            _ => {
                let part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = text.iter().take_while(|byte| part(byte)).count();
                (Token::Number(&text[..length]), length)
            }
        };
        if length == 0 {
            return None;
        }
        self.0 = text.get(length..).unwrap_or_default();
        Some(token)
    }
}

/// Where the quote is that ends a string.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += quote_or_escape(text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn quote_or_escape(text: &[u8]) -> Option<usize> {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\');
    // Whole chunks are looked at all at once, without a way out in between, which is much faster.
    let plain = |chunk: &&[u8]| {
        !chunk
            .iter()
            .fold(false, |found, byte| found | special(byte))
    };
    let start = CHUNK * text.chunks_exact(CHUNK).take_while(plain).count();
    let at = text[start..].iter().position(special)?;
    Some(start + at)
}
