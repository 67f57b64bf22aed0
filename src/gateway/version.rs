//! A resource's version, where its endpoint says where one is.

use http::HeaderMap;
use serde_json::Value;

use crate::resource::VersionAt;

/// The version that a body, or the headers that came with it, say.
pub(super) fn of(at: &VersionAt, headers: Option<&HeaderMap>, body: Option<&Value>) -> Option<u64> {
    match at {
        VersionAt::None => None,
        VersionAt::Body(pointer) => number(body?.pointer(pointer)?),
        VersionAt::Header(name) => headers?.get(&**name)?.to_str().ok()?.trim().parse().ok(),
    }
}

/// Whole numbers, written as such or as a string, as APIs do that are asked by JavaScript.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_whole_number_at_its_place() {
        let body = serde_json::json!({"v": 7, "s": "8", "f": 1.5, "n": -1, "in": {"v": 9}});
        let at = |pointer: &str| of(&VersionAt::Body(pointer.into()), None, Some(&body));
        assert_eq!(
            (at("/v"), at("/s"), at("/in/v")),
            (Some(7), Some(8), Some(9))
        );
        for pointer in ["/f", "/n", "/in", "/nothing", ""] {
            assert_eq!(at(pointer), None, "{pointer}");
        }
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-version"),
            http::HeaderValue::from_static("12"),
        )]);
        let header = |name: &str| of(&VersionAt::Header(name.into()), Some(&headers), Some(&body));
        assert_eq!((header("X-Version"), header("v")), (Some(12), None));
        assert_eq!(of(&VersionAt::None, Some(&headers), Some(&body)), None);
    }
}
