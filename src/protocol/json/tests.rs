//! Commands as clients write them, well and badly.

mod errors;
mod events;
mod gateway;

use proptest::prelude::*;

use super::*;
use crate::code::CloseCode;
use crate::protocol::tests::any_json;
use crate::protocol::{Encoding, Message, decode as decode_message};

fn command(text: &str) -> Command<'_> {
    decode(text, false).unwrap_or_else(|| panic!("a command: {text}"))
}

fn number(text: &str) -> Option<RequestId<'_>> {
    Some(RequestId::Number(text.into()))
}

#[test]
fn an_ordinary_command_is_borrowed() {
    let text = r#"{"id":7,"event":"say","channel":"room","data":{"a":[1, 2.50]},"options":{"echo":false}}"#;
    let command = command(text);
    assert_eq!(command.id, number("7"));
    assert!(matches!(command.event, Cow::Borrowed("say")));
    assert!(matches!(command.channel, Some(Cow::Borrowed("room"))));
    assert_eq!(command.data.map(RawValue::get), Some(r#"{"a":[1, 2.50]}"#));
    assert_eq!(
        command.options.map(RawValue::get),
        Some(r#"{"echo":false}"#)
    );
    assert!(command.uri.is_none() && command.channels.is_none() && command.fault.is_none());
}

#[test]
fn every_part_but_the_event_may_be_missing_or_null() {
    let bare = command(r#" { "event" : "ping" } "#);
    assert!(bare.id.is_none() && bare.data.is_none() && bare.fault.is_none());
    let nulls = command(
        r#"{"event":"x","id":null,"channel":null,"uri":null,"channels":null,"options":null,"data":null}"#,
    );
    assert!(nulls.id.is_none() && nulls.channel.is_none() && nulls.channels.is_none());
    assert!(nulls.uri.is_none() && nulls.options.is_none() && nulls.fault.is_none());
    assert_eq!(
        nulls.data.map(RawValue::get),
        Some("null"),
        "data that is null is data"
    );
}

#[test]
fn ids_are_numbers_or_strings() {
    for id in ["0", "-1", "1.50", "1e400", "12345678901234567890123"] {
        let text = format!(r#"{{"event":"x","id":{id}}}"#);
        assert_eq!(command(&text).id, number(id), "the number's text is kept");
    }
    for (json, id) in [(r#""a""#, "a"), (r#""""#, ""), (r#""\u00e9\n\"""#, "é\n\"")] {
        let text = format!(r#"{{"event":"x","id":{json}}}"#);
        assert_eq!(command(&text).id, Some(RequestId::Text(id.into())));
    }
    for id in ["true", "[1]", "{}", r#""\ud800""#] {
        let text = format!(r#"{{"event":"x","id":{id}}}"#);
        let command = command(&text);
        assert!(command.id.is_none() && command.fault.is_some(), "{id}");
    }
}

#[test]
fn what_is_no_command() {
    let scratch = &mut String::new();
    for text in [
        "",
        " ",
        "null",
        "1",
        "\"event\"",
        "[]",
        r#"[{"event":"x"}]"#,
        "{}",
        r#"{"id":1}"#,
        r#"{"event":1}"#,
        r#"{"event":null}"#,
        r#"{"event":["x"]}"#,
        r#"{"event":"\ud800"}"#,
        r#"{"event":"x""#,
        r#"{"event":"x"}}"#,
        r#"{"event":"x"} {"event":"y"}"#,
        r#"{"event":"x",}"#,
        r#"{event:"x"}"#,
        r#"{'event':'x'}"#,
        "{\"event\":\"a\nb\"}",
        r#"{"event":"x","data":01}"#,
        r#"{"event":"x","data":nul}"#,
        r#"{"event":"x","data":[1,]}"#,
        r#"{"event":"x","data":"\x"}"#,
        r#"{"event":"x","other":NaN}"#,
        "\u{feff}{\"event\":\"x\"}",
    ] {
        assert!(decode(text, false).is_none(), "{text}");
        let message = decode_message(Encoding::Json, Message::Text(text), scratch);
        assert_eq!(message.map(|_| ()), Err(CloseCode::BadFrame), "{text}");
    }
    let binary = Message::Binary(br#"{"event":"x"}"#);
    let binary = decode_message(Encoding::Json, binary, scratch);
    assert_eq!(binary.map(|_| ()), Err(CloseCode::WrongKind));
}

#[test]
fn a_known_key_of_the_wrong_type_is_a_fault_beside_the_id() {
    for (key, value) in [
        ("channel", "1"),
        ("channel", "[\"a\"]"),
        ("channel", r#""\udc00""#),
        ("uri", "{}"),
        ("channels", "\"a\""),
        ("channels", "[1]"),
        ("channels", "[\"a\",null]"),
        ("channels", "{}"),
        ("options", "[]"),
        ("options", "\"x\""),
        ("options", "true"),
    ] {
        let text = format!(r#"{{"{key}":{value},"event":"x","id":3}}"#);
        let command = command(&text);
        assert_eq!(command.id, number("3"));
        let fault = command.fault.unwrap_or_else(|| panic!("{text}"));
        assert!(fault.to_string().contains(key), "{fault}");
    }
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let text = r#"{"event":1,"id":[],"channel":{},"event":"a","event":"b","id":1,"id":2,
        "channel":"x","channel":"y","data":1,"data":2,"options":[],"options":{"a":1}}"#;
    let all = command(text);
    assert_eq!((&*all.event, all.channel.as_deref()), ("b", Some("y")));
    assert_eq!(all.id, number("2"));
    assert_eq!(all.data.map(RawValue::get), Some("2"));
    assert_eq!(all.options.map(RawValue::get), Some(r#"{"a":1}"#));
    assert!(all.fault.is_none(), "what does not count does no harm");
    assert!(decode(r#"{"event":"a","event":1}"#, false).is_none());
    assert!(
        command(r#"{"event":"a","channel":"x","channel":1}"#)
            .fault
            .is_some()
    );
    assert!(
        command(r#"{"event":"a","channel":"x","channel":null}"#)
            .channel
            .is_none()
    );
}

#[test]
fn escapes_in_keys_and_names() {
    let text = r#"{"\u0065vent":"caf\u00e9","channel":"\ud83d\ude00","channels":["a","\u0062"]}"#;
    let command = command(text);
    assert_eq!(
        (&*command.event, command.channel.as_deref()),
        ("café", Some("😀"))
    );
    assert_eq!(command.channels, Some(vec!["a".into(), "b".into()]));
}

#[test]
fn unknown_keys_and_case() {
    let text = r#"{"Event":"no","event":"x","extra":{"event":"inner"},"":1,"EVENT":2}"#;
    assert_eq!(command(text).event, "x");
}

#[test]
fn nesting_is_harmless() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for key in ["data", "unknown"] {
        let text = format!(r#"{{"event":"x","{key}":{deep}}}"#);
        assert_eq!(command(&text).data.is_some(), key == "data");
    }
    for key in ["id", "channel", "channels", "options"] {
        let text = format!(r#"{{"event":"x","{key}":{deep}}}"#);
        assert!(command(&text).fault.is_some());
    }
    assert!(decode(&"[".repeat(100_000), false).is_none());
    assert!(
        decode(
            &format!(r#"{{"event":"x","data":{}"#, "{\"a\":".repeat(100_000)),
            false
        )
        .is_none()
    );
    let text = format!(r#"{{"event":"x","options":{{"recover":{deep},"rewind":{deep}}}}}"#);
    assert!(crate::protocol::options::Subscribe::parse(command(&text).options).is_err());
}

#[test]
fn a_token_does_not_show_in_debug_output() {
    let text = r#"{"event":"auth","data":{"token":"secret"},"options":{"x":"secret"}}"#;
    assert!(!format!("{:?}", command(text)).contains("secret"));
}

proptest! {
    #[test]
    fn any_text_is_decoded_or_refused(text in ".{0,200}") {
        let _ = decode(&text, false);
    }

    #[test]
    fn any_json_like_text_is_decoded_or_refused(
        text in r#"(\{|\}|\[|\]|,|:|"|\\|\\u[0-9a-f]{4}|"event"|"id"|"channels"|[0-9]|e|-|\.| |null){0,60}"#,
    ) {
        let accepted = decode(&text, false).is_some();
        // What is accepted is JSON in everyone's eyes (but for text that no one can hold).
        if accepted && !text.contains("\\u") {
            let everyone = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert!(everyone.is_ok());
        }
    }

    #[test]
    fn a_written_command_is_read_back(
        event in ".{0,20}", channel in ".{0,20}", data in any_json(), pretty: bool, id: i64,
        channels in prop::collection::vec(".{0,8}", 0..4),
    ) {
        let value = serde_json::json!({
            "id": id, "event": event, "channel": channel, "channels": channels, "data": data,
            "options": { "rewind": 3 },
        });
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let read = command(&text);
        prop_assert_eq!(read.id, Some(RequestId::Number(id.to_string().into())));
        prop_assert_eq!(&*read.event, &*event);
        prop_assert_eq!(read.channel.as_deref(), Some(&*channel));
        let expected: Vec<Cow<'_, str>> = channels.into_iter().map(Cow::Owned).collect();
        prop_assert_eq!(read.channels, Some(expected));
        let read_data: serde_json::Value = serde_json::from_str(read.data.unwrap().get()).unwrap();
        prop_assert_eq!(read_data, data);
        prop_assert!(read.fault.is_none());
    }
}
