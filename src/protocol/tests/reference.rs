//! `docs/protocol.md` says what the code does: its examples are decoded, its tables compared.

use serde_json::Value;

use crate::code::CloseCode;
use crate::protocol::frame::Limits;
use crate::protocol::{json, options};

pub(super) const REFERENCE: &str = include_str!("../../../docs/protocol.md");

/// The examples in `language` that start with `arrow`.
pub(super) fn examples(language: &str, arrow: &str) -> impl Iterator<Item = &'static str> {
    let blocks = REFERENCE.split("\n```").skip(1).step_by(2);
    blocks
        .filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
        .flat_map(str::lines)
        .filter_map(move |line| line.strip_prefix(arrow))
}

#[test]
fn every_command_in_the_reference_is_one() {
    let mut seen = 0;
    for text in examples("json", "→ ") {
        let command = json::decode(text, false).expect(text);
        assert!(command.fault.is_none() && command.id.is_some(), "{text}");
        let read = match (&*command.event, &command.channels) {
            ("auth", _) => options::token(command.data).map(|_| ()),
            ("channel:history", _) => options::History::parse(command.options).map(|_| ()),
            (_, Some(_)) => options::SubscribeMany::parse(command.options).map(|_| ()),
            _ => options::Subscribe::parse(command.options).map(|_| ()),
        };
        assert_eq!(read, Ok(()), "{text}");
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn every_frame_of_the_server_in_the_reference_is_json_of_its_shape() {
    let mut seen = 0;
    for text in examples("json", "← ") {
        let frame: Value = serde_json::from_str(text).expect(text);
        let is_push = frame["event"].is_string() && frame.get("data").is_some();
        let is_ok = frame["status"] == "ok" && !frame["id"].is_null();
        let is_error = frame["status"] == "error" && frame["error"]["code"].is_string();
        assert!(is_push || is_ok || is_error, "{text}");
        seen += 1;
    }
    assert!(seen > 20);
}

#[test]
fn the_close_codes_are_all_there() {
    let native = |code: &CloseCode| !matches!(code, CloseCode::Unsupported | CloseCode::NoVersion);
    for code in CloseCode::ALL.into_iter().filter(native) {
        let (number, name) = code.wire();
        let row = if name.is_empty() {
            format!("| {number} | |")
        } else {
            format!("| {number} | `{name}` |")
        };
        assert!(REFERENCE.contains(&row), "{row}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let limits = Limits::default();
    for row in [
        format!("| fragments of a message | {} |", limits.max_fragments),
        format!(
            "| control frames | {} a second, {} at once |",
            limits.control_per_second, limits.control_burst
        ),
        format!(
            "| an unfinished message | {} s ",
            limits.unfinished_deadline.as_secs()
        ),
    ] {
        assert!(REFERENCE.contains(&row), "{row}");
    }
    assert_eq!(limits.max_message_bytes, 65_536);
}
