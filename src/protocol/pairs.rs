//! Names and values as they stand in a query or a form (`application/x-www-form-urlencoded`),
//! unescaped. What is no escape stays as it is; what is no UTF-8 makes the whole thing nothing.

/// Names and values, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

/// What a `+` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in a query.
    Itself,
    /// A space, as in a form.
    Space,
}

impl Pairs {
    /// Reads `text`; a `+` in it is `plus`. Empty parts are skipped: old pusher-js starts its
    /// bodies with `&`.
    pub fn read(text: &str, plus: Plus) -> Option<Self> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((unescape(name, plus)?, unescape(value, plus)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// The value of `name`, the first where there are several.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, v)| v)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// These and then those of `other`.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl FromIterator<(String, String)> for Pairs {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// `text` without its escapes; `None`: what they stand for is no UTF-8.
pub fn unescape(text: &str, plus: Plus) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        bytes.push(match (first, escaped) {
            (_, Some((high, low))) => {
                rest = &after[2..];
                high << 4 | low
            }
            (b'+', None) if plus == Plus::Space => b' ',
            (byte, None) => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_read_as_browsers_and_libraries_write_them() {
        let read = |text| Pairs::read(text, Plus::Space).unwrap();
        let pairs = read("&socket_id=1.2&channel_name=private-a%3Db+c&&x&y=");
        let expected = [
            ("socket_id", "1.2"),
            ("channel_name", "private-a=b c"),
            ("x", ""),
            ("y", ""),
        ];
        assert!(pairs.iter().eq(expected));
        assert_eq!(pairs.get("x"), Some(""));
        assert_eq!(pairs.get("z"), None);
        assert_eq!(read("a=1&a=2").get("a"), Some("1"));
        let literal = Pairs::read("a=b+c", Plus::Itself).unwrap();
        assert_eq!(literal.get("a"), Some("b+c"));
        assert_eq!(Pairs::read("a=%ff", Plus::Space), None);
        for odd in ["%", "%4", "%zz", "%%41"] {
            let expected = odd.replace("%41", "A");
            assert_eq!(unescape(odd, Plus::Space), Some(expected), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in ".{0,40}") {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(unescape(&escaped, Plus::Space), Some(text));
        }

        #[test]
        fn nothing_breaks_it(text in "[%a-f0-9+&=é]{0,40}") {
            let _ = Pairs::read(&text, Plus::Space);
        }
    }
}
