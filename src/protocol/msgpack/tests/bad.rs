//! What is refused, and what must do no harm.

use super::*;
use crate::code::CloseCode;
use crate::protocol::{Encoding, Message, decode};

fn verdict(bytes: &[u8]) -> Result<(), CloseCode> {
    let scratch = &mut String::new();
    decode(Encoding::MsgPack, Message::Binary(bytes), scratch).map(|_| ())
}

#[test]
fn what_is_no_messagepack_closes_with_1007() {
    let good = rmp_serde::to_vec(&json!({
        "id": 70_000, "event": "say", "channel": "a".repeat(40), "data": [1.5, -3, null, {"a": "b"}],
    }))
    .unwrap();
    assert_eq!(verdict(&good), Ok(()));
    for length in 0..good.len() {
        let cut = verdict(&good[..length]);
        assert_eq!(cut, Err(CloseCode::BadPayload), "cut at {length}");
    }
    let event = b"\xa5event\xa1x";
    let with = |rest: &[u8]| [b"\x82", &event[..], rest].concat();
    assert_eq!(verdict(&with(b"\xa1a\xc0")), Ok(()));
    for (what, message) in [
        ("trailing bytes", [&good[..], b"\xc0"].concat()),
        ("a key that is no string", with(b"\x01\xc0")),
        ("a key that is bytes", with(b"\xc4\x01a\xc0")),
        ("a key within data", with(b"\xa4data\x81\xc0\xc0")),
        ("invalid UTF-8", with(b"\xa1a\xa1\xff")),
        ("invalid UTF-8 in a key", with(b"\xa1\xff\xc0")),
        ("half a surrogate", with(b"\xa4data\xa3\xed\xa0\x80")),
        ("bytes beside data", with(b"\xa1a\xc4\x00")),
        (
            "bytes in the options",
            with(b"\xa7options\x81\xa4data\xc4\x00"),
        ),
        ("a timestamp beside data", with(b"\xa1a\xd6\xff\0\0\0\0")),
        ("an extension", with(b"\xa4data\xd4\x01\0")),
        ("a long extension", with(b"\xa4data\xc7\x00\x01")),
        ("a short timestamp", with(b"\xa4data\xd4\xff\0")),
        ("the byte that nothing uses", with(b"\xa4data\xc1")),
        (
            "a list of four billion",
            with(b"\xa4data\xdd\xff\xff\xff\xff\xc0"),
        ),
        (
            "a map of four billion",
            with(b"\xa4data\xdf\xff\xff\xff\xff\xa0\xc0"),
        ),
        (
            "a string of four billion",
            with(b"\xa4data\xdb\xff\xff\xff\xff\xa0"),
        ),
        (
            "bytes of four billion",
            with(b"\xa4data\xc6\xff\xff\xff\xff\xa0"),
        ),
    ] {
        assert_eq!(verdict(&message), Err(CloseCode::BadPayload), "{what}");
    }
}

#[test]
fn what_is_no_command_closes_with_4000() {
    for message in [
        &b"\xc0"[..],
        b"\x01",
        b"\xa5event",
        b"\x91\x81\xa5event\xa1x",
        b"\x80",
        b"\x81\xa5event\x01",
        b"\x81\xa1e\xa4ping",
        b"\x82\xa5event\xa1x\xa5event\xc0",
    ] {
        assert_eq!(verdict(message), Err(CloseCode::BadFrame));
    }
}

#[test]
fn a_message_nests_64_deep_and_no_deeper() {
    // The message's own map is one of them.
    for (depth, expected) in [(63, true), (64, false), (60_000, false)] {
        let lists = [vec![0x91; depth], vec![0xc0]].concat();
        assert_eq!(data(&lists).is_some(), expected, "{depth} lists");
        let maps = [b"\x81\xa1a".repeat(depth), vec![0xc0]].concat();
        assert_eq!(data(&maps).is_some(), expected, "{depth} maps");
        let empty = [vec![0x91; depth - 1], vec![0x90]].concat();
        assert_eq!(
            data(&empty).is_some(),
            expected,
            "{depth}, the last one empty"
        );
    }
}

#[test]
fn json_may_nest_as_it_likes() {
    let depth = 100_000;
    let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut expected = vec![0x91; depth - 1];
    expected.push(0x90);
    assert_eq!(packed(&text), expected);
}

#[test]
fn the_wrong_kind_of_message_closes_with_1003() {
    for encoding in Encoding::ALL {
        let binary = matches!(encoding, Encoding::MsgPack | Encoding::CompactMsgPack);
        let message = if binary {
            Message::Text("{\"event\":\"ping\"}")
        } else {
            Message::Binary(b"\x81\xa5event\xa4ping")
        };
        let decoded = decode(encoding, message, &mut String::new()).map(|_| ());
        assert_eq!(decoded, Err(CloseCode::WrongKind));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_json_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for bytes in [bytes.clone(), with_data(&bytes)] {
            if let Some(text) = to_json(&bytes, "data") {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn a_message_with_a_byte_changed_is_json_or_refused(value in any_json(), at: prop::sample::Index, byte: u8) {
        let mut bytes = with_data(&rmp_serde::to_vec(&value).unwrap());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(text) = to_json(&bytes, "data") {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn text_that_is_no_json_does_no_harm(text in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = Vec::new();
        put_json(&mut bytes, &text);
        prop_assert!(!bytes.is_empty());
    }

    #[test]
    fn nor_does_text_that_is_nearly_json(
        text in r#"(\{|\}|\[|\]|,|:|"|\\|\\u[0-9a-f]{0,4}|"a"|[0-9]|e|-|\.| |null|tr|f){0,40}"#,
    ) {
        prop_assert!(!packed(&text).is_empty());
    }
}
