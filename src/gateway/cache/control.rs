//! `Cache-Control` as the cache reads it: names without regard to case, quoted values, and what is
//! said twice counts as its stricter half.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// The directives of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    directives: Vec<(String, Option<String>)>,
}

impl Control {
    /// Those in all lines of `name`.
    pub(super) fn read(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut directives = vec![];
        for line in headers.get_all(name) {
            let text = String::from_utf8_lossy(line.as_bytes());
            for part in split(&text) {
                let (key, value) = match part.split_once('=') {
                    Some((key, value)) => (key.trim(), Some(unquote(value.trim()))),
                    None => (part, None),
                };
                if !key.is_empty() {
                    directives.push((key.to_ascii_lowercase(), value));
                }
            }
        }
        Self { directives }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.directives.is_empty()
    }

    /// Without the directives that name their addressee (`max-age=60;somebody`).
    pub(super) fn for_all(mut self) -> Self {
        self.directives.retain(|(key, value)| {
            let texts = [Some(key), value.as_ref()];
            !texts.into_iter().flatten().any(|text| text.contains(';'))
        });
        self
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.directives.iter().any(|(key, _)| key == name)
    }

    /// A directive's seconds: the least of those given; none: absent or not a number.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        self.directives
            .iter()
            .filter(|(key, _)| key == name)
            .filter_map(|(_, value)| seconds(value.as_deref()?))
            .min()
    }

    /// One line, each directive once, for a reader that is less tolerant than this one.
    pub(super) fn plain(&self) -> String {
        let mut line = String::new();
        for (at, (key, value)) in self.directives.iter().enumerate() {
            if self.directives[..at].iter().any(|(other, _)| other == key) {
                continue;
            }
            if !line.is_empty() {
                line.push_str(", ");
            }
            line.push_str(key);
            let lifetime = matches!(key.as_str(), "max-age" | "s-maxage");
            match self.seconds(key) {
                Some(least) => line.push_str(&format!("={}", least.as_secs())),
                // A lifetime that nobody can read is none.
                None if lifetime => line.push_str("=0"),
                None if value.is_some() => line.push_str("=x"),
                None => {}
            }
        }
        line
    }
}

/// Whole seconds; more than a clock holds is a long time.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let most = 1 << 31;
    Some(Duration::from_secs(
        text.parse().map_or(most, |n: u64| n.min(most)),
    ))
}

/// The parts of a list, commas in quotes left alone.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c| {
        let ends = c == ',' && !quoted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        ends
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn unquote(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;

    use super::*;

    fn control(lines: &[&str]) -> Control {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().unwrap());
        }
        Control::read(&headers, &CACHE_CONTROL)
    }

    #[test]
    fn names_have_no_case_and_quotes_no_commas() {
        let read = control(&["Max-Age=\"60\", no-cache=\"a, b\" ,, FOO"]);
        assert_eq!(read.seconds("max-age"), Some(Duration::from_secs(60)));
        assert!(read.has("no-cache") && read.has("foo") && !read.has("b\""));
        assert_eq!(read.plain(), "max-age=60, no-cache=x, foo");
    }

    #[test]
    fn of_two_lifetimes_the_shorter_counts() {
        let read = control(&["max-age=60", "max-age=5"]);
        assert_eq!(read.plain(), "max-age=5");
    }

    #[test]
    fn a_lifetime_that_is_no_number_is_none() {
        for bad in [
            "max-age=abc",
            "max-age=-1",
            "max-age",
            "max-age=1.5",
            "max-age=",
        ] {
            assert_eq!(control(&[bad]).plain(), "max-age=0", "{bad}");
        }
        assert_eq!(seconds("99999999999999999999999"), seconds("2147483648"));
    }
}
