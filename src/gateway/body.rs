//! An upstream's body as a session gets it: JSON text.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;

/// The JSON text of a successful answer's body: empty: there is no body; none: it cannot be given
/// to a session.
pub(super) fn json(headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    if body.is_empty() {
        return Some(Bytes::new());
    }
    let kind = headers.get(CONTENT_TYPE);
    // Without a word on its kind it is what it looks like.
    let kind = kind.map_or(Some(""), |kind| kind.to_str().ok())?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let is_json = kind.is_empty() || kind == "application/json" || kind.ends_with("+json");
    // Some say `text/json`, and mean it.
    if is_json || kind == "text/json" {
        serde_json::from_slice::<&RawValue>(body).ok()?;
        return Some(body.clone());
    }
    if !kind.starts_with("text/") {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    Some(serde_json::to_vec(text).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Option<&'static str>, body: &'static str) -> Option<Bytes> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        json(&headers, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn json_stays_and_text_becomes_it() {
        for kind in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/hal+json"),
            Some("text/json"),
        ] {
            assert_eq!(
                of(kind, "{\"a\": 1}\n").unwrap(),
                "{\"a\": 1}\n",
                "{kind:?}"
            );
            assert_eq!(of(kind, "{\"a\": 1").as_deref(), None, "{kind:?}");
            assert_eq!(of(kind, "").unwrap(), "");
        }
        let text = of(Some("text/html; charset=utf-8"), "<a href=\"x\">\n").unwrap();
        assert_eq!(text, r#""<a href=\"x\">\n""#);
        assert_eq!(of(Some("text/plain"), "7").unwrap(), "\"7\"");
        assert_eq!(of(Some("image/png"), "{}").as_deref(), None);
        assert_eq!(of(Some("application/xml"), "<a/>").as_deref(), None);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(json(&headers, &Bytes::from_static(b"\xff")), None);
    }
}
