//! JSON read strictly: an object's names are unique, an integer is written as one, and no member
//! is converted to what it is not.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members, unparsed, by name. Bounded by the text that they borrow from.
#[derive(Debug)]
pub(super) struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads an object; `None`: the text is something else, or gives a name twice.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The member `name`.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// Whether there is a member `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The members in order of name.
    pub(super) fn into_members(self) -> impl ExactSizeIterator<Item = (String, &'a RawValue)> {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose names are unique")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key()? {
                    if members.insert(name, map.next_value()?).is_some() {
                        return Err(A::Error::custom("a name is given twice"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Object)
    }
}

/// The text of a JSON string.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of a JSON array.
pub(super) fn array(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// An array of strings.
pub(super) fn strings(value: &RawValue) -> Option<Vec<String>> {
    serde_json::from_str(value.get()).ok()
}

/// A number written as an integer that is not negative: no sign, fraction or exponent.
pub(super) fn integer(value: &RawValue) -> Option<u64> {
    let digits = value.get();
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_twice_is_no_object_however_it_is_spelled() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"exp":1,"e\u0078p":2}"#,
            r#"{"a":1} {"a":1}"#,
            r#"{"a":1,}"#,
            r#"[["a",1]]"#,
            "null",
            "",
            "\u{feff}{}",
            "{'a':1}",
            r#"{"a":tru}"#,
        ] {
            assert!(Object::parse(bad).is_none(), "{bad}");
        }
        let object = Object::parse(" {\"b\" : [ 1 ] , \"a\":{\"x\":1,\"x\":2}}\n").unwrap();
        assert_eq!(object.get("b").unwrap().get(), "[ 1 ]");
        assert!(object.has("a") && !object.has("x"));
        assert_eq!(
            object
                .into_members()
                .map(|(name, _)| name)
                .collect::<String>(),
            "ab"
        );
    }

    #[test]
    fn integers_are_digits_only() {
        let value = |text: &str| RawValue::from_string(text.into()).unwrap();
        assert_eq!(integer(&value("0")), Some(0));
        assert_eq!(integer(&value("18446744073709551615")), Some(u64::MAX));
        for bad in [
            "18446744073709551616",
            "-1",
            "-0",
            "1.0",
            "1e3",
            "1E3",
            "1e300",
            "\"1\"",
            "null",
            "[1]",
            "true",
        ] {
            assert_eq!(integer(&value(bad)), None, "{bad}");
        }
    }

    #[test]
    fn strings_must_be_whole() {
        let value = |text: &str| RawValue::from_string(text.into()).unwrap();
        assert_eq!(
            string(&value(r#""a\u0000\u202e\n""#)).unwrap(),
            "a\0\u{202e}\n"
        );
        assert_eq!(string(&value(r#""\ud800""#)), None);
        assert_eq!(string(&value("1")), None);
        assert_eq!(strings(&value(r#"["a","b"]"#)).unwrap(), ["a", "b"]);
        assert_eq!(strings(&value(r#"["a",1]"#)), None);
        assert_eq!(strings(&value(r#""a""#)), None);
    }
}
