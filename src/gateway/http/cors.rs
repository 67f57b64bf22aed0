//! Which pages may read the answers (CORS), by `allowed_origins`. A page that counts as trusted may
//! send cookies along; any other that may connect at all may use a token that it holds itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    HeaderMap, ORIGIN, VARY,
};
use http::{HeaderValue, Response, StatusCode};

use super::{HttpBody, Visitor, whole};

/// What a client may say, beyond what any page may.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "Accept, Accept-Language, Authorization, Cache-Control, Content-Type, Idempotency-Key, \
     If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Prefer, Range",
);
/// What a page may read, beyond what any may.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Age, Allow, Cache-Status, Content-Location, Content-Range, Date, ETag, Link, \
     Location, Preference-Applied, Retry-After, Via",
);

/// The answer to `OPTIONS`.
pub(super) fn preflight(asked: &HeaderMap, methods: &str, visitor: Visitor) -> Response<HttpBody> {
    let mut answer = Response::new(whole(""));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    let Ok(methods) = HeaderValue::try_from(methods) else {
        return answer;
    };
    if visitor.may_read && asked.contains_key(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    headers.insert(ALLOW, methods);
    answer
}

/// Lets the page that asked read an answer with these headers, if it may.
pub(super) fn allow(asked: &HeaderMap, visitor: Visitor, headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = asked.get(ORIGIN).filter(|_| visitor.may_read) else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    if visitor.with_cookies {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}
