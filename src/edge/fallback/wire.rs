//! Frames of SockJS and of Pusher's xhr transports, which are the same: `o`, `a[…]`, `h`, `c[…]`,
//! and the JSON arrays of texts that clients send. No I/O.

use std::fmt::Write;

/// What a heartbeat says.
pub(super) const HEARTBEAT: &str = "h";

/// What a client sent that is no array of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON array of texts")]
pub(super) struct NoMessages;

/// The messages in a request's body.
pub(super) fn messages(body: &[u8]) -> Result<Vec<String>, NoMessages> {
    serde_json::from_slice(body).map_err(|_| NoMessages)
}

/// The same where one message may also stand alone, as over a SockJS WebSocket.
pub(super) fn messages_or_one(text: &str) -> Result<Vec<String>, NoMessages> {
    match messages(text.as_bytes()) {
        Err(NoMessages) => serde_json::from_str(text)
            .map(|one| vec![one])
            .map_err(|_| NoMessages),
        many => many,
    }
}

/// `a["…","…"]`: messages for the client.
pub(super) fn array<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::from("a[");
    for (at, message) in messages.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        put_text(&mut out, message);
    }
    out.push(']');
    out
}

/// `c[code,"reason"]`: the end.
pub(super) fn close(code: u16, reason: &str) -> String {
    let mut out = format!("c[{code},");
    put_text(&mut out, reason);
    out.push(']');
    out
}

/// Appends `text` as a JSON text.
pub(super) fn put_text(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(must_be_escaped) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut letters = tail.chars();
        let letter = letters.next().unwrap_or_default();
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a String does not fail.
            letter => drop(write!(out, "\\u{:04x}", u32::from(letter))),
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// What JSON does not allow in a text, and what old browsers lose from a response or take for the
/// end of a line in a script. All of it lies in the basic plane.
fn must_be_escaped(letter: char) -> bool {
    matches!(
        letter,
        '"' | '\\'
            | '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{600}'..='\u{604}'
            | '\u{70f}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{200c}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_framed_is_read_again(texts in prop::collection::vec("(?s).*", 0..5)) {
            let framed = array(texts.iter().map(String::as_str));
            prop_assert!(!framed.contains(must_be_kept_out));
            let back: Vec<String> = serde_json::from_str(&framed[1..]).unwrap();
            prop_assert_eq!(&back, &texts);
            prop_assert_eq!(messages(&framed.as_bytes()[1..]), Ok(texts));
        }
    }

    fn must_be_kept_out(letter: char) -> bool {
        !matches!(letter, '"' | '\\') && must_be_escaped(letter)
    }

    #[test]
    fn frames_are_spelled_as_clients_expect() {
        assert_eq!(array([]), "a[]");
        assert_eq!(array(["x\"", "\u{2028}\n"]), r#"a["x\"","\u2028\u000a"]"#);
        assert_eq!(close(3000, "Go away!"), r#"c[3000,"Go away!"]"#);
    }

    #[test]
    fn only_arrays_of_texts_are_taken() {
        assert_eq!(messages(b"[]"), Ok(vec![]));
        assert_eq!(
            messages(br#" ["a", "b"] "#),
            Ok(vec!["a".into(), "b".into()])
        );
        for bad in [
            &b""[..],
            b"[1]",
            b"[null]",
            b"\"a\"",
            b"[\"a\"",
            b"[\"\xff\"]",
            b"{}",
        ] {
            assert_eq!(messages(bad), Err(NoMessages), "{bad:?}");
        }
        assert_eq!(messages_or_one("\"a\""), Ok(vec!["a".into()]));
        assert_eq!(messages_or_one("a"), Err(NoMessages));
    }
}
