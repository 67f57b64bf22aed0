//! The `caps` claim: which operations a token allows on which channels.

use serde_json::value::RawValue;

use super::json::{self, Object};
use crate::channel::Pattern;

/// Most patterns in a token's `caps`.
pub const MAX_CAPABILITIES: usize = 256;

/// An operation of a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Subscribe or bind, recover and rewind included.
    Subscribe,
    /// Publish from a session.
    Publish,
    /// See who is there without subscribing.
    Presence,
    /// Read history without subscribing.
    History,
}

impl Op {
    const fn bit(self) -> u8 {
        match self {
            Self::Subscribe => 1,
            Self::Publish => 2,
            Self::Presence => 4,
            Self::History => 8,
        }
    }
}

/// Patterns, each with the operations that it allows.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(Vec<(Pattern, u8)>);

impl Capabilities {
    /// Reads `{pattern: [op]}`; the error is what is wrong, as said of the claim.
    pub(crate) fn parse(value: &RawValue) -> Result<Self, &'static str> {
        let object = Object::parse(value.get()).ok_or("is not an object with unique names")?;
        let members = object.into_members();
        if members.len() > MAX_CAPABILITIES {
            return Err("holds more patterns than a token may");
        }
        let mut capabilities = Vec::with_capacity(members.len());
        for (pattern, ops) in members {
            let pattern = Pattern::parse(&pattern).map_err(|_| "holds a bad pattern")?;
            let ops =
                json::strings(ops).ok_or("holds operations that are not an array of strings")?;
            let bits = ops
                .iter()
                .map(|op| bits(op))
                .try_fold(0, |all, bits| Some(all | bits?));
            capabilities.push((pattern, bits.ok_or("names an unknown operation")?));
        }
        Ok(Self(capabilities))
    }

    /// Whether some pattern allows `op` on `channel`.
    pub fn allow(&self, op: Op, channel: &str) -> bool {
        self.0
            .iter()
            .any(|(pattern, ops)| ops & op.bit() != 0 && pattern.matches(channel))
    }
}

/// The operations that a name in a token stands for.
fn bits(name: &str) -> Option<u8> {
    match name {
        "subscribe" => Some(Op::Subscribe.bit()),
        "publish" => Some(Op::Publish.bit()),
        "presence" => Some(Op::Presence.bit()),
        "history" => Some(Op::History.bit()),
        "*" => Some(u8::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Capabilities, &'static str> {
        Capabilities::parse(&RawValue::from_string(json.into()).unwrap())
    }

    #[test]
    fn each_pattern_allows_its_operations_and_they_add_up() {
        let caps = parse(
            r#"{"room-*":["subscribe","publish"],"/posts/**":["*"],"room-1":["history"],"x":[]}"#,
        )
        .unwrap();
        for (op, channel, expected) in [
            (Op::Subscribe, "room-1", true),
            (Op::Publish, "room-1", true),
            (Op::History, "room-1", true),
            (Op::History, "room-2", false),
            (Op::Presence, "room-1", false),
            (Op::Subscribe, "room-1/a", false),
            (Op::Presence, "/posts/1/comments", true),
            (Op::History, "/posts", false),
            (Op::Subscribe, "x", false),
            (Op::Subscribe, "ROOM-1", false),
        ] {
            assert_eq!(caps.allow(op, channel), expected, "{op:?} {channel}");
        }
        assert!(!Capabilities::default().allow(Op::Subscribe, "x"));
    }

    #[test]
    fn anything_else_is_refused_whole() {
        for bad in [
            r#"["subscribe"]"#,
            r#""*""#,
            "null",
            r#"{"a":"subscribe"}"#,
            r#"{"a":["subscribe","admin"]}"#,
            r#"{"a":["Subscribe"]}"#,
            r#"{"a":["**"]}"#,
            r#"{"a":[1]}"#,
            r#"{"a":null}"#,
            r#"{"":["*"]}"#,
            r#"{"a b":["*"]}"#,
            r#"{"a":["subscribe"],"a":["*"]}"#,
            r#"{"a":["subscribe"],"\u0061":["*"]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!(r#""c{n}":["*"]"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(parse(&many(MAX_CAPABILITIES)).is_ok());
        assert!(parse(&many(MAX_CAPABILITIES + 1)).is_err());
    }
}
