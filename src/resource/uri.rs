//! How the uri of a resource is written. Two spellings of one resource come out as one text, and
//! what comes out can be sent to an upstream as it is: no segment of it is empty, leads up or
//! hides a slash, whatever a server behind it decodes.

use std::borrow::Cow;
use std::fmt::Write;

use crate::channel::{ChannelName, MAX_URI_BYTES};

/// Why a text is not the uri of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// An absolute URL, a relative path or `//`.
    #[error("a uri is an absolute path: it starts with one `/`")]
    NotAbsolute,
    /// Over the limit, as it came or as it is written here.
    #[error("the uri is longer than {MAX_URI_BYTES} bytes")]
    TooLong,
    /// White space, a control character, `*` or `\`, or an encoded control character.
    #[error("the uri holds white space, a control character, `*` or `\\`")]
    Character,
    /// Fragments stay with clients.
    #[error("the uri holds a fragment")]
    Fragment,
    /// `//` within the path, or `/` at its end.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%00`, `%2f` or `%5c`, even twice encoded.
    #[error("the path has an encoded slash, backslash or zero")]
    EncodedSlash,
    /// `%` without two hexadecimal digits.
    #[error("the uri has a `%` without two hexadecimal digits")]
    Escape,
    /// What is decoded is no text.
    #[error("the uri is not UTF-8")]
    Utf8,
    /// A key that the endpoint does not take.
    #[error("this endpoint takes no query key `{0}`")]
    QueryKey(Box<str>),
}

/// Octets that are written as they are in a path: RFC 3986's `pchar` without `*`, which no name
/// holds, and `;`, behind which some servers see parameters that are no part of the segment.
fn in_path(byte: u8) -> bool {
    unreserved(byte) || b"!$&'()+,=:@".contains(&byte)
}

/// Octets that are written as they are in a query's keys and values.
fn in_query(byte: u8) -> bool {
    unreserved(byte) || b"!$'(),/:?@".contains(&byte)
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn encode(out: &mut String, text: &str, literal: fn(u8) -> bool) {
    for &byte in text.as_bytes() {
        if literal(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Appends `/` and the segment that stands for `text`.
pub(super) fn push_segment(out: &mut String, text: &str) {
    out.push('/');
    encode(out, text, in_path);
}

/// `path` and `query` of a text, without the `?`.
pub(super) fn split(uri: &str) -> (&str, Option<&str>) {
    match uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (uri, None),
    }
}

/// Refuses what may stand nowhere in a uri.
pub(super) fn check_text(uri: &str) -> Result<(), UriError> {
    if uri.len() > MAX_URI_BYTES {
        return Err(UriError::TooLong);
    }
    for char in uri.chars() {
        match char {
            '#' => return Err(UriError::Fragment),
            '*' | '\\' => return Err(UriError::Character),
            _ if char.is_whitespace() || char.is_control() => return Err(UriError::Character),
            _ => {}
        }
    }
    Ok(())
}

/// The text that a segment of a path stands for.
pub(super) fn decode_segment(raw: &str) -> Result<Cow<'_, str>, UriError> {
    let text = unescape(raw, false)?;
    check_value(&text)?;
    Ok(text)
}

/// Whether a segment may stand for `text`.
pub(super) fn check_value(text: &str) -> Result<(), UriError> {
    if text.is_empty() {
        return Err(UriError::EmptySegment);
    }
    let name = text.split(';').next().unwrap_or_default();
    if matches!(name, "." | "..") {
        return Err(UriError::DotSegment);
    }
    if text.contains(['/', '\\', '\0']) {
        return Err(UriError::EncodedSlash);
    }
    if text.chars().any(char::is_control) {
        return Err(UriError::Character);
    }
    twice_encoded(text)
}

/// A server that decodes twice must not find what was refused at first sight.
fn twice_encoded(text: &str) -> Result<(), UriError> {
    if !text.contains('%') {
        return Ok(());
    }
    let bytes = text.as_bytes();
    let hidden = (0..bytes.len())
        .filter_map(|at| escape_at(bytes, at))
        .find_map(|byte| match byte {
            0 | b'/' | b'\\' => Some(UriError::EncodedSlash),
            b'.' => Some(UriError::DotSegment),
            b'%' => Some(UriError::Escape),
            _ => None,
        });
    hidden.map_or(Ok(()), Err)
}

/// The octet that `%xx` at `at` stands for.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let &[b'%', high, low] = bytes.get(at..at + 3)? else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Decodes `%xx`, and `+` as a space where `form` says so.
fn unescape(raw: &str, form: bool) -> Result<Cow<'_, str>, UriError> {
    let plain = |byte: &u8| *byte != b'%' && !(form && *byte == b'+');
    if raw.as_bytes().iter().all(plain) {
        return Ok(Cow::Borrowed(raw));
    }
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                out.push(escape_at(bytes, at).ok_or(UriError::Escape)?);
                at += 2;
            }
            b'+' if form => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    let text = String::from_utf8(out).map_err(|_| UriError::Utf8)?;
    Ok(Cow::Owned(text))
}

/// Whether some segment of `path` is, or decodes to, `.` or `..`. Allocates nothing.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let dots = |segment: &str| {
        let bytes = segment.as_bytes();
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            if bytes[at] == b'.' {
                at += 1;
            } else if escape_at(bytes, at) == Some(b'.') {
                at += 3;
            } else {
                return false;
            }
            count += 1;
        }
        count == 1 || count == 2
    };
    path.split('/').any(dots)
}

/// Appends `?` and the query in its one order, if anything is in it. A key without `=` is one
/// with an empty value; the values of one key keep their order.
pub(super) fn push_query(
    out: &mut String,
    query: &str,
    allowed: &[Box<str>],
) -> Result<(), UriError> {
    let mut pairs = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (unescape(key, true)?, unescape(value, true)?);
        if key.contains('\0') || value.contains('\0') {
            return Err(UriError::EncodedSlash);
        }
        if !allowed.iter().any(|name| **name == *key) {
            return Err(UriError::QueryKey(shown(&key)));
        }
        pairs.push((key, value));
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (index, (key, value)) in pairs.iter().enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        encode(out, key, in_query);
        out.push('=');
        encode(out, value, in_query);
    }
    Ok(())
}

/// A key as an error names it: nothing that would spoil a line.
fn shown(key: &str) -> Box<str> {
    let clean = key.chars().take(64);
    let clean = clean.map(|char| if char.is_control() { '\u{fffd}' } else { char });
    clean.collect::<String>().into()
}

/// `text`, which is written as it should be, as a name.
pub(super) fn named(text: &str) -> Result<ChannelName, UriError> {
    ChannelName::parse(text).map_err(|_| UriError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(raw: &str) -> Result<String, UriError> {
        let mut out = String::new();
        push_segment(&mut out, &decode_segment(raw)?);
        Ok(out)
    }

    #[test]
    fn segments_have_one_spelling() {
        for (raw, written) in [
            ("a", "/a"),
            ("%61%2D%7e", "/a-~"),
            ("a%3ab", "/a:b"),
            ("a;b", "/a%3Bb"),
            ("日", "/%E6%97%A5"),
            ("%e6%97%a5", "/%E6%97%A5"),
            ("%20", "/%20"),
            ("a+b", "/a+b"),
            ("100%25", "/100%25"),
            ("...", "/..."),
            ("%2a", "/%2A"),
        ] {
            assert_eq!(segment(raw).as_deref(), Ok(written), "{raw}");
        }
    }

    #[test]
    fn segments_that_are_traps_are_refused() {
        for (raw, why) in [
            ("", UriError::EmptySegment),
            (".", UriError::DotSegment),
            ("..", UriError::DotSegment),
            ("%2e", UriError::DotSegment),
            (".%2E", UriError::DotSegment),
            ("..;a", UriError::DotSegment),
            ("..%3ba", UriError::DotSegment),
            ("%252e%252e", UriError::DotSegment),
            ("a%2fb", UriError::EncodedSlash),
            ("a%5Cb", UriError::EncodedSlash),
            ("a%00b", UriError::EncodedSlash),
            ("a%252fb", UriError::EncodedSlash),
            ("a%25252fb", UriError::Escape),
            ("a%0ab", UriError::Character),
            ("a%c2%85b", UriError::Character),
            ("a%", UriError::Escape),
            ("a%4", UriError::Escape),
            ("a%zz", UriError::Escape),
            ("%+1", UriError::Escape),
            ("%ff", UriError::Utf8),
            ("%c0%ae", UriError::Utf8),
        ] {
            assert_eq!(segment(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn queries_have_one_order_and_one_spelling() {
        let allowed = ["page", "q", "tag"].map(Box::from);
        let written = |query: &str| {
            let mut out = String::new();
            push_query(&mut out, query, &allowed).map(|()| out)
        };
        for (query, expected) in [
            ("", ""),
            ("&&", ""),
            ("page=2", "?page=2"),
            ("tag=b&page=2&tag=a", "?page=2&tag=b&tag=a"),
            ("q=a+b", "?q=a%20b"),
            ("q=a%20b", "?q=a%20b"),
            ("q=a%2bb", "?q=a%2Bb"),
            ("%71", "?q="),
            ("q", "?q="),
            ("q=", "?q="),
            ("q=a=b", "?q=a%3Db"),
            ("q=%2fa%0a", "?q=/a%0A"),
        ] {
            assert_eq!(written(query).as_deref(), Ok(expected), "{query}");
        }
        assert_eq!(written("a=1"), Err(UriError::QueryKey("a".into())));
        assert_eq!(written("q=%00"), Err(UriError::EncodedSlash));
        assert_eq!(written("q=%f"), Err(UriError::Escape));
        assert_eq!(written("q=%ff"), Err(UriError::Utf8));
    }

    #[test]
    fn dot_segments_are_seen_without_decoding() {
        for path in ["/a/../b", "/%2e%2E/b", "/a/.", "/.%2e/"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/a/...", "/a.b/.c", "/", "/a%2eb", "//"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
