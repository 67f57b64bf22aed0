//! Times for people (RFC 3339) and in protobuf.

use prost_types::Timestamp;

/// A time as RFC 3339 in UTC, to the second; empty where there is none.
pub(super) fn show(time: Option<&Timestamp>) -> String {
    time.map_or_else(String::new, |time| {
        Timestamp {
            seconds: time.seconds,
            nanos: 0,
        }
        .to_string()
    })
}

/// Reads RFC 3339 or Unix seconds.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp { seconds, nanos: 0 });
    }
    text.parse()
        .map_err(|_| "expected Unix seconds or a time like 2026-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        let time = parse("2026-01-31T12:00:00Z").unwrap();
        assert_eq!(parse(&time.seconds.to_string()).unwrap(), time);
        assert_eq!(show(Some(&time)), "2026-01-31T12:00:00Z");
        assert_eq!(show(None), "");
        assert!(parse("yesterday").is_err());
    }
}
