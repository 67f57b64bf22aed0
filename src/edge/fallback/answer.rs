//! The answers of the fallback transports: nothing may keep them, hold them back or change them,
//! and pages of any allowed origin may read them.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONNECTION, CONTENT_TYPE,
    HeaderMap, HeaderName, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use super::receiver::{Family, Receiver};
use super::session::Receiving;
use crate::edge::response::{Answer, Body};

/// Of what is for scripts and people.
pub(super) const PLAIN: &str = "text/plain; charset=UTF-8";
/// Asks a proxy to pass on what comes when it comes.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How long a browser may remember that it may ask, in seconds.
const MAX_AGE: &str = "86400";

/// `body` with `status`.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::from(body.into()));
    *answer.status_mut() = status;
    uncached(answer.headers_mut(), kind);
    answer
}

/// What `receiving` brings, as it comes.
pub(super) fn live(receiver: &Receiver, receiving: Receiving) -> Answer {
    let mut answer = Response::new(Body::Live(receiving));
    uncached(answer.headers_mut(), receiver.content_type());
    answer
}

/// What was asked for is done.
pub(super) fn done() -> Answer {
    let mut answer = whole(StatusCode::NO_CONTENT, PLAIN, Bytes::new());
    answer.headers_mut().remove(CONTENT_TYPE);
    answer
}

/// The answer to a browser that asks whether it may ask.
pub(super) fn preflight() -> Answer {
    let mut answer = done();
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, GET, POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Content-Type, X-Requested-With",
        ),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        (CACHE_CONTROL, "public, max-age=86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn uncached(headers: &mut HeaderMap, kind: &'static str) {
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (
            CACHE_CONTROL,
            "no-store, no-cache, no-transform, must-revalidate, max-age=0",
        ),
        (CONNECTION, "close"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (BUFFERING, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Lets the page that asked read `answer`. `listed`: only certain origins may.
///
/// SockJS's clients ask with credentials, for which a browser wants its origin repeated; none are
/// looked at here, so that it says nothing about who the client is.
pub(super) fn readable(answer: &mut Answer, asked: &HeaderMap, family: Family, listed: bool) {
    let headers = answer.headers_mut();
    let origin = asked.get(ORIGIN).filter(|origin| !origin.is_empty());
    match origin {
        Some(origin) if listed || family == Family::SockJs => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(VARY, HeaderValue::from_static("Origin"));
            if family == Family::SockJs {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        _ => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
}
