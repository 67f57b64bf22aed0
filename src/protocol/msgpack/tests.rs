//! MessagePack against JSON, with `rmp-serde` as the judge.

mod bad;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::from_json::put_json;
use super::*;
use crate::protocol::tests::any_json;

/// `text` as MessagePack.
fn packed(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_json(&mut bytes, text.as_bytes());
    bytes
}

/// A message with `value` as its data.
fn with_data(value: &[u8]) -> Vec<u8> {
    [b"\x81\xa4data", value].concat()
}

/// The JSON text of `value`, as data.
fn data(value: &[u8]) -> Option<String> {
    let text = to_json(&with_data(value), "data")?;
    let value = text.strip_prefix("{\"data\":")?.strip_suffix('}')?;
    Some(value.to_owned())
}

#[test]
fn each_value_has_its_shortest_form_and_comes_back() {
    for (text, bytes) in [
        ("null", &b"\xc0"[..]),
        ("true", b"\xc3"),
        ("false", b"\xc2"),
        ("0", b"\x00"),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("65535", b"\xcd\xff\xff"),
        ("65536", b"\xce\x00\x01\x00\x00"),
        ("4294967296", b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        (
            "18446744073709551615",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("-1", b"\xff"),
        ("-32", b"\xe0"),
        ("-33", b"\xd0\xdf"),
        ("-32768", b"\xd1\x80\x00"),
        ("-2147483648", b"\xd2\x80\x00\x00\x00"),
        (
            "-9223372036854775808",
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
        ),
        ("1.5", b"\xca\x3f\xc0\x00\x00"),
        ("-0.0", b"\xca\x80\x00\x00\x00"),
        ("0.1", b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
        ("1e+300", b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c"),
        ("\"\"", b"\xa0"),
        ("\"é\"", b"\xa2\xc3\xa9"),
        ("\"\\n\\\"\"", b"\xa2\n\""),
        ("[]", b"\x90"),
        ("{}", b"\x80"),
        (
            "[1,[2,{}],{\"a\":[]}]",
            b"\x93\x01\x92\x02\x80\x81\xa1a\x90",
        ),
    ] {
        assert_eq!(packed(text), bytes, "{text}");
        assert_eq!(data(bytes).as_deref(), Some(text));
    }
}

#[test]
fn what_json_spells_in_other_ways() {
    for (text, same) in [
        (" { \"a\" :\n[ 1 ,\t2 ] } ", "{\"a\":[1,2]}"),
        ("1.50", "1.5"),
        ("1E2", "100.0"),
        ("-0", "-0.0"),
        (
            "\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\t\\r\"",
            "\"é😀/\\u0008\\u000c\\t\\r\"",
        ),
        ("\"\\ud800\"", "\"\u{fffd}\""),
        ("\"\\ud800\\u0041\"", "\"\u{fffd}A\""),
        ("\"\\udc00\\ud800\\udc00\"", "\"\u{fffd}𐀀\""),
        // Beyond 64 bits it is the nearest double, beyond that an infinity, which JSON lacks.
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("1e400", "null"),
    ] {
        assert_eq!(data(&packed(text)).as_deref(), Some(same), "{text}");
    }
}

#[test]
fn lengths_take_as_many_bytes_as_they_need() {
    for (length, head) in [
        (31, &b"\xbf"[..]),
        (32, b"\xd9\x20"),
        (255, b"\xd9\xff"),
        (256, b"\xda\x01\x00"),
        (65_536, b"\xdb\x00\x01\x00\x00"),
    ] {
        let text = format!("\"{}\"", "x".repeat(length));
        let bytes = packed(&text);
        assert_eq!(&bytes[..bytes.len() - length], head);
        assert_eq!(data(&bytes), Some(text));
    }
    for (length, list, map) in [
        (15, &b"\x9f"[..], &b"\x8f"[..]),
        (16, b"\xdc\x00\x10", b"\xde\x00\x10"),
        (65_536, b"\xdd\x00\x01\x00\x00", b"\xdf\x00\x01\x00\x00"),
    ] {
        let text = format!("[{}]", vec!["1"; length].join(","));
        let bytes = packed(&text);
        assert_eq!(&bytes[..list.len()], list);
        assert_eq!(data(&bytes), Some(text));
        let text = format!("{{{}}}", vec!["\"a\":1"; length].join(","));
        let bytes = packed(&text);
        assert_eq!(&bytes[..map.len()], map);
        assert_eq!(data(&bytes), Some(text), "every key is there, doubles too");
    }
}

#[test]
fn other_forms_are_read_as_well() {
    for (bytes, text) in [
        (&b"\xcd\x00\x07"[..], "7"),
        (b"\xd3\x00\x00\x00\x00\x00\x00\x00\x07", "7"),
        (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xf9", "-7"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        // A float of 32 bits keeps its value, which is not quite a tenth.
        (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xca\xff\x80\x00\x00", "null"),
        (b"\xd9\x01a", "\"a\""),
        (b"\xdb\x00\x00\x00\x01a", "\"a\""),
        (b"\xdc\x00\x01\x01", "[1]"),
        (b"\xdf\x00\x00\x00\x01\xa1a\x01", "{\"a\":1}"),
        (b"\xc4\x03\x00\xff\x10", "\"AP8Q\""),
        (b"\xc5\x00\x01\x00", "\"AA==\""),
        (b"\xc6\x00\x00\x00\x00", "\"\""),
        (b"\x91\xc4\x00", "[\"\"]"),
    ] {
        assert_eq!(data(bytes).as_deref(), Some(text));
    }
}

#[test]
fn timestamps_are_rfc_3339() {
    let long = |seconds: i64, nanoseconds: u32| {
        let mut bytes = vec![0xc7, 12, 0xff];
        bytes.extend(nanoseconds.to_be_bytes());
        bytes.extend(seconds.to_be_bytes());
        data(&bytes)
    };
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (1_767_225_599, "2025-12-31T23:59:59Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (-62_167_219_200, "0000-01-01T00:00:00Z"),
    ] {
        assert_eq!(long(seconds, 0), Some(format!("\"{text}\"")));
    }
    for (seconds, nanoseconds) in [
        (253_402_300_800, 0),
        (-62_167_219_201, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (0, 1_000_000_000),
    ] {
        assert_eq!(long(seconds, nanoseconds), None);
    }
    let half = "\"1970-01-01T00:00:01.5Z\"";
    assert_eq!(long(1, 500_000_000).as_deref(), Some(half));
    let both = (500_000_000_u64 << 34 | 1).to_be_bytes();
    let short = [&b"\xd7\xff"[..], &both].concat();
    assert_eq!(data(&short).as_deref(), Some(half));
    assert_eq!(
        data(b"\xd6\xff\xff\xff\xff\xff").as_deref(),
        Some("\"2106-02-07T06:28:15Z\""),
    );
}

proptest! {
    #[test]
    fn any_json_is_what_others_read(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let bytes = packed(&text.unwrap());
        prop_assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), value);
    }

    #[test]
    fn what_others_write_is_read(value in any_json()) {
        let bytes = rmp_serde::to_vec(&value).unwrap();
        let text = data(&bytes).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn any_number_survives(number: f64, signed: i64, unsigned: u64, short: f32) {
        for value in [json!(number), json!(signed), json!(unsigned), json!(short)] {
            let text = value.to_string();
            prop_assert_eq!(data(&packed(&text)), Some(text.clone()));
            prop_assert_eq!(rmp_serde::from_slice::<Value>(&packed(&text)).unwrap(), value);
        }
        let bytes = rmp_serde::to_vec(&short).unwrap();
        let text = data(&bytes).unwrap();
        prop_assert!(!short.is_finite() || text.parse::<f64>().unwrap() == f64::from(short));
    }

    #[test]
    fn any_escapes_mean_the_same(units in prop::collection::vec(any::<u16>(), 0..12)) {
        let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let expected = String::from_utf16_lossy(&units);
        let bytes = packed(&format!("\"{text}\""));
        prop_assert_eq!(rmp_serde::from_slice::<String>(&bytes).unwrap(), expected);
    }
}
