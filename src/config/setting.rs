//! What a setting is: its kind, its default, whether it can change live. The table of all of
//! them (`table/`) is the one source of the reader, the docs, the schema and `config default`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Origin;
use super::value::{self, Node, Value};
use crate::channel::Pattern;

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its full key; `[]` stands for every element of a list of tables.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Fallback,
    /// Whether a reload puts a new value in force.
    pub(super) live: bool,
    /// What it means: a sentence without a full stop.
    pub(super) about: &'static str,
}

/// What holds when a setting is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// Nothing: the feature is off.
    Unset,
    /// The element that holds it is refused.
    Required,
    /// This, as it would stand on the right of `--set key=`.
    Value(&'static str),
    /// Computed at start, as described.
    Computed(&'static str),
}

/// The kind of value a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Text,
    /// A text that is never shown; `<key>_file` names a file that holds it.
    Secret,
    Path,
    Url,
    Flag,
    Count {
        min: u64,
        max: u64,
    },
    Bytes {
        min: u64,
        max: u64,
    },
    Span {
        min: Duration,
        max: Duration,
    },
    Address,
    Network,
    Pattern,
    Choice(&'static [&'static str]),
    List(&'static Kind),
    /// A part of a whole: over 0, at most 1.
    Part,
}

impl Kind {
    /// From `min` to `max` seconds.
    pub(super) const fn seconds(min: u64, max: u64) -> Self {
        Self::Span {
            min: Duration::from_secs(min),
            max: Duration::from_secs(max),
        }
    }

    /// What `raw` says, given outside a file, where texts need no quotes and lists no brackets.
    pub(super) fn interpret(&self, raw: &str, origin: &Origin) -> Node {
        let text = || Node {
            value: Value::Text(raw.to_owned()),
            origin: origin.clone(),
        };
        let quoted = raw.starts_with(['"', '\'']);
        match self {
            Self::Flag | Self::Count { .. } | Self::Bytes { .. } | Self::Part => {
                value::parse_value(raw, origin).unwrap_or_else(text)
            }
            Self::List(_) if raw.starts_with('[') => {
                value::parse_value(raw, origin).unwrap_or_else(text)
            }
            Self::List(item) => {
                let parts = raw
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                let items = parts.map(|part| item.interpret(part, origin)).collect();
                Node {
                    value: Value::List(items),
                    origin: origin.clone(),
                }
            }
            _ if quoted => value::parse_value(raw, origin).unwrap_or_else(text),
            _ => text(),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, for people.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let expected = || format!("expected {}, found {}", self.describe(), value.kind());
        match (self, value) {
            (Self::Flag, Value::Flag(_)) => Ok(()),
            (Self::Part, value) => match part(value) {
                Some(_) => Ok(()),
                None => Err(expected()),
            },
            (Self::Count { min, max } | Self::Bytes { min, max }, Value::Integer(number)) => {
                match u64::try_from(*number) {
                    Ok(n) if (*min..=*max).contains(&n) => Ok(()),
                    _ => Err(format!(
                        "{number} is out of range: expected {}",
                        self.describe()
                    )),
                }
            }
            (Self::List(item), Value::List(items)) => {
                items.iter().try_for_each(|node| item.check(&node.value))
            }
            (Self::Flag | Self::Count { .. } | Self::Bytes { .. } | Self::List(_), _) => {
                Err(expected())
            }
            (_, Value::Text(text)) => self.check_text(text),
            _ => Err(expected()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        let expected = || format!("`{text}` is not {}", self.describe());
        match self {
            Self::Span { min, max } => match duration(text) {
                Some(span) if (*min..=*max).contains(&span) => Ok(()),
                Some(_) => Err(format!(
                    "{text} is out of range: expected {}",
                    self.describe()
                )),
                None => Err(expected()),
            },
            Self::Address => text.parse::<SocketAddr>().map(drop).map_err(|_| expected()),
            Self::Network => network(text).map(drop).ok_or_else(expected),
            Self::Pattern => Pattern::parse(text)
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Choice(choices) if choices.contains(&text) => Ok(()),
            Self::Choice(_) => Err(expected()),
            // Says nothing of the text: it is a secret, or may hold one.
            Self::Url if !url(text) => Err(format!("the text is not {}", self.describe())),
            Self::Secret if text.is_empty() => Err("the secret is empty".into()),
            Self::Text if text.is_empty() => Err("the text is empty".into()),
            Self::Path if Path::new(text).as_os_str().is_empty() => Err("the path is empty".into()),
            _ => Ok(()),
        }
    }

    /// In words, for messages and docs.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Secret => "text (a secret)".into(),
            Self::Path => "a path".into(),
            Self::Url => "an http or https URL".into(),
            Self::Flag => "true or false".into(),
            Self::Count { min, max } => format!("a number from {min} to {max}"),
            Self::Bytes { min, max } => format!("a number of bytes from {min} to {max}"),
            Self::Span { min, max } => {
                format!(
                    "a duration like \"25s\" from {} to {}",
                    spell(*min),
                    spell(*max)
                )
            }
            Self::Address => "an address with a port like \"127.0.0.1:8080\"".into(),
            Self::Network => "an address or a range like \"10.0.0.0/8\"".into(),
            Self::Pattern => "a channel pattern like \"room-*\"".into(),
            Self::Choice(choices) => {
                let quoted: Vec<_> = choices
                    .iter()
                    .map(|choice| format!("\"{choice}\""))
                    .collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::List(item) => format!("a list: {}", item.describe()),
            Self::Part => "a number over 0, at most 1".into(),
        }
    }
}

/// The part that a value says, over 0 and at most 1.
pub(super) fn part(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Float(number) => *number,
        Value::Integer(1) => 1.0,
        _ => return None,
    };
    (number > 0.0 && number <= 1.0).then_some(number)
}

/// Reads `500ms`, `25s`, `5m`, `12h` or `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// The shortest text that [`duration`] reads back.
pub fn spell(span: Duration) -> String {
    let seconds = span.as_secs();
    if span.subsec_millis() > 0 || seconds == 0 {
        return format!("{}ms", span.as_millis());
    }
    let (each, unit) = [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(each, _)| seconds.is_multiple_of(*each))
        .unwrap_or((1, "s"));
    format!("{}{unit}", seconds / each)
}

/// Reads a range of addresses; an address alone is a range of one.
pub fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok();
    net.or_else(|| {
        text.parse()
            .ok()
            .map(|address: std::net::IpAddr| IpNet::from(address))
    })
}

fn url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_by_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("25s", 25_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5min",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_spelled_reads_back(ms in 0u64..10_000_000_000) {
            let span = Duration::from_millis(ms);
            prop_assert_eq!(duration(&spell(span)), Some(span));
        }
    }

    #[test]
    fn networks_take_single_addresses_too() {
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(
            network("2001:db8::/32").unwrap().to_string(),
            "2001:db8::/32"
        );
        assert!(network("10.0.0.0/33").is_none());
    }
}
