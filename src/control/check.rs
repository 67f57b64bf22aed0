//! Checks a request's fields: all of them, so that a caller learns every mistake at once. What
//! leaves here is in the domain's own types.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use tonic::Status;
use tonic_types::FieldViolation;

use super::status;
use crate::channel::{self, ChannelName, Pattern};
use crate::limits::normalise_range;
use crate::publication::MAX_DATA_BYTES;

/// Longest span that is told from a longer one, so that every clock can hold its end.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<FieldViolation>,
}

/// Why data is not a publication's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    #[error("the data is longer than {MAX_DATA_BYTES} bytes")]
    TooLong,
    #[error("the data is not one JSON value in UTF-8")]
    NotJson,
}

impl Check {
    /// Notes that `field` is wrong.
    pub(super) fn refuse(&mut self, field: impl Display, why: impl Display) {
        self.violations
            .push(FieldViolation::new(field.to_string(), why.to_string()));
    }

    /// The value, or a note on why there is none.
    pub(super) fn take<T, E: Display>(
        &mut self,
        field: impl Display,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|why| self.refuse(field, why)).ok()
    }

    /// The name of a channel.
    pub(super) fn channel(&mut self, field: impl Display, name: &str) -> Option<ChannelName> {
        self.take(field, ChannelName::parse(name))
    }

    /// A pattern; empty: all.
    pub(super) fn pattern(&mut self, field: &str, text: &str) -> Option<Option<Pattern>> {
        if text.is_empty() {
            return Some(None);
        }
        self.take(field, Pattern::parse(text)).map(Some)
    }

    /// An event's name and its data.
    pub(super) fn event(&mut self, event: &str, data: &Bytes) {
        self.take("event", channel::check_event(event));
        self.take("data", check_data(data));
    }

    /// A span of time, more than zero.
    pub(super) fn ttl(&mut self, ttl: Option<&prost_types::Duration>) -> Option<Duration> {
        let ttl = ttl?;
        // The sign and size that the format asks for; a sum of odd parts is nobody's intent.
        if ttl.seconds < 0 || !(0..1_000_000_000).contains(&ttl.nanos) {
            self.refuse("ttl", "not a duration of more than zero");
            return None;
        }
        let span = Duration::try_from(*ttl).ok().filter(|span| !span.is_zero());
        if span.is_none() {
            self.refuse("ttl", "a ttl is more than zero");
        }
        span.map(|span| span.min(LONGEST))
    }

    /// How many of `field` there are.
    pub(super) fn count(&mut self, field: &str, count: usize, limit: usize) {
        if count == 0 {
            self.refuse(field, "at least one is needed");
        } else if count > limit {
            self.refuse(field, format_args!("{count} are too many: at most {limit}"));
        }
    }

    /// A text's length.
    pub(super) fn length(&mut self, field: &str, text: &str, limit: usize) {
        if text.len() > limit {
            self.refuse(field, format_args!("longer than {limit} bytes"));
        }
    }

    /// Ranges of addresses; a plain address is a range of its own.
    pub(super) fn ranges(&mut self, addresses: &[String], limit: usize) -> Vec<IpNet> {
        self.count("addresses", addresses.len(), limit);
        let texts = addresses.iter().take(limit).enumerate();
        texts
            .filter_map(|(i, text)| self.take(format_args!("addresses[{i}]"), range(text)))
            .collect()
    }

    /// Everything is right, or the refusal.
    pub(super) fn done(self) -> Result<(), Status> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(self.refusal())
        }
    }

    /// The refusal, where a value was missing.
    pub(super) fn refusal(self) -> Status {
        status::bad_request(self.violations)
    }
}

/// The text is neither an address nor a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or CIDR range")]
pub(super) struct RangeError;

/// A CIDR range or a plain address, in the one form in which clients' addresses are compared.
pub(super) fn range(text: &str) -> Result<IpNet, RangeError> {
    let range = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    range.map(normalise_range).map_err(|_| RangeError)
}

/// Whether `data` is one JSON value within the limit. It is read through without being built.
pub(super) fn check_data(data: &[u8]) -> Result<(), DataError> {
    if data.len() > MAX_DATA_BYTES {
        return Err(DataError::TooLong);
    }
    let text = std::str::from_utf8(data).map_err(|_| DataError::NotJson)?;
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    read.map(|_| ()).map_err(|_| DataError::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_one_json_value() {
        for good in [
            "null",
            " {\"a\":[1,2.5e300,\"\\u00e4\"]} ",
            "\"日本\"",
            "0",
            "1e999",
        ] {
            assert_eq!(check_data(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            "{",
            "{}{}",
            "nul",
            "'a'",
            "{a:1}",
            "[1,]",
            "01",
            "\"\u{1}\"",
            "NaN",
        ] {
            assert_eq!(check_data(bad.as_bytes()), Err(DataError::NotJson), "{bad}");
        }
        assert_eq!(check_data(b"\"\xff\""), Err(DataError::NotJson));
        let longest = format!("\"{}\"", "x".repeat(MAX_DATA_BYTES - 2));
        assert_eq!(check_data(longest.as_bytes()), Ok(()));
        assert_eq!(
            check_data(format!("{longest} ").as_bytes()),
            Err(DataError::TooLong)
        );
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(check_data(deep.as_bytes()), Ok(()));
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_data(text in ".{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(check_data(json.as_bytes()), Ok(()));
            let value: Result<serde_json::Value, _> = serde_json::from_str(&text);
            prop_assert_eq!(check_data(text.as_bytes()).is_ok(), value.is_ok());
        }
    }

    #[test]
    fn a_ttl_is_more_than_zero() {
        let seconds = |seconds, nanos| prost_types::Duration { seconds, nanos };
        for (ttl, expected) in [
            (None, None),
            (
                Some(seconds(1, 500_000_000)),
                Some(Duration::from_millis(1_500)),
            ),
            (Some(seconds(i64::MAX, 0)), Some(LONGEST)),
        ] {
            let mut check = Check::default();
            assert_eq!(check.ttl(ttl.as_ref()), expected);
            assert!(check.done().is_ok());
        }
        for bad in [
            seconds(0, 0),
            seconds(-1, 0),
            seconds(0, -1),
            seconds(1, -1),
            seconds(-1, 1),
            seconds(0, 1_000_000_000),
            seconds(i64::MIN, i32::MIN),
            seconds(i64::MAX, i32::MAX),
        ] {
            let mut check = Check::default();
            assert_eq!(check.ttl(Some(&bad)), None);
            assert!(check.done().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_written_one_way() {
        for (text, expected) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("10.0.0.7/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.7", "10.0.0.7/32"),
            ("::ffff:10.0.0.7/104", "10.0.0.0/8"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(range(text).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "example.com", "10.0.0.1 "] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let mut check = Check::default();
        check.channel("channels[1]", "a b");
        check.event("pogo:x", &Bytes::from_static(b"{"));
        check.count("requests", 0, 5);
        check.length("reason", "too long", 3);
        let status = check.done().unwrap_err();
        for field in ["channels[1]", "event", "data", "requests", "reason"] {
            assert!(status.message().contains(field), "{field}");
        }
    }
}
