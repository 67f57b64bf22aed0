//! Patterns over channel names: `*` is any run without `/`, `**` any run.

use std::fmt;

use super::MAX_URI_BYTES;

/// Most wildcards in one pattern, so that matching stays cheap.
const MAX_WILDCARDS: usize = 16;

/// A checked pattern. Matching takes O(name × wildcards) and allocates nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing there.
    #[error("the pattern is empty")]
    Empty,
    /// Longer than the longest name.
    #[error("the pattern is longer than {MAX_URI_BYTES} bytes")]
    TooLong,
    /// White space or a control character, which no name holds.
    #[error("the pattern holds white space or a control character")]
    Character,
    /// More than 16 wildcards.
    #[error("the pattern holds more than {MAX_WILDCARDS} wildcards")]
    TooManyWildcards,
}

impl Pattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_URI_BYTES {
            return Err(PatternError::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(PatternError::Character);
        }
        if text.matches('*').count() > MAX_WILDCARDS * 2 {
            return Err(PatternError::TooManyWildcards);
        }
        Ok(Self(text.into()))
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text before the first wildcard: every name that matches starts with it.
    pub fn literal_prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Whether the pattern holds no wildcard, and so matches one name only.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` matches the whole pattern.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The greedy matcher with two points of return: after a mismatch the last `*` takes one byte
/// more, and where that would cross a `/`, the last `**` does. No later choice can ask for an
/// earlier one to be undone, so two points are enough.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut single: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        if pattern[p..].starts_with(b"**") {
            p += 2;
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            double = Some((p, n));
            single = None;
            continue;
        }
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            single = Some((p, n));
            continue;
        }
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        if let Some((back, at)) = single
            && at < name.len()
            && name[at] != b'/'
        {
            (p, n) = (back, at + 1);
            single = Some((back, at + 1));
            continue;
        }
        let Some((back, at)) = double else {
            return false;
        };
        if at >= name.len() {
            return false;
        }
        (p, n) = (back, at + 1);
        double = Some((back, at + 1));
        single = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        for (pattern, name, expected) in [
            ("**", "a/b/c", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("/posts/*", "/posts/1", true),
            ("/posts/*", "/posts/1/comments", false),
            ("/posts/**", "/posts/1/comments", true),
            ("/*/comments", "/posts/comments", true),
            ("/**/comments", "/posts/1/comments", true),
            ("/**/*.json", "/a/b/c.json", true),
            ("/**/*.json", "/a/b/c.jso", false),
            ("room-*", "room-", true),
            ("room-*-x", "room-a-x-b-x", true),
            ("a", "ab", false),
            ("**a*b", "x/a/ab", true),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} on {name}");
        }
    }

    /// The definition, in exponential time.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=name.len()).any(|i| slow(rest, &name[i..])),
            [b'*', rest @ ..] => (0..=name.len())
                .take_while(|i| !name[..*i].contains(&b'/'))
                .any(|i| slow(rest, &name[i..])),
            [c, rest @ ..] => name.first() == Some(c) && slow(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(pattern in "[ab/*]{1,10}", name in "[ab/]{1,12}") {
            let parsed = Pattern::parse(&pattern).unwrap();
            prop_assert_eq!(parsed.matches(&name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
