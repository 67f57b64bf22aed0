//! Which pages may read the answers (CORS). A page that counts as trusted may send cookies along;
//! any other that may connect at all may use a token that it holds itself.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap,
    ORIGIN, VARY,
};
use http::{HeaderValue, Response, StatusCode};

use super::super::Visitor;

/// The answer to `OPTIONS`.
pub(super) fn preflight(asked: &HeaderMap, visitor: Visitor) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if visitor.may_read {
        let headers = answer.headers_mut();
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        // Applications add headers of their own; none of them means anything here.
        if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    answer
}

/// Lets the page read `answer`, if it may.
pub(super) fn allow(asked: &HeaderMap, visitor: Visitor, answer: &mut Response<Bytes>) {
    let headers = answer.headers_mut();
    headers.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Headers"),
    );
    let Some(origin) = asked.get(ORIGIN).filter(|_| visitor.may_read) else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if visitor.with_cookies {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}
