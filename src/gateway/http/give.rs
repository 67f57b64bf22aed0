//! An answer to GET or HEAD on its way out: conditions and ranges of the client's, where it comes
//! from and how old it is.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName,
    VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::range::{Condition, Part, conditions, part};
use super::{HttpBody, refuse, whole};
use crate::clock::Now;
use crate::gateway::cache::{Body, Content, Entry, Fetched, Got, How, clean};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The answer to a client that asked with `asked`.
pub(super) fn answer(got: Got, asked: &HeaderMap) -> Response<HttpBody> {
    let how = got.how;
    match got.content {
        Content::Kept(entry) => kept(&entry, how, asked),
        Content::Passed(fetched) => passed(fetched, asked),
    }
}

fn kept(entry: &Entry, how: How, asked: &HeaderMap) -> Response<HttpBody> {
    let now = Now::read();
    let mut headers = entry.headers.clone();
    let from_store = matches!(
        how,
        How::Hit | How::Negative | How::Stale | How::Revalidated
    );
    let age = entry.age(now).as_secs();
    if from_store || age > 0 {
        headers.insert(AGE, HeaderValue::from(age));
    }
    let status = match how {
        How::Hit | How::Negative => format!("pogo; hit; ttl={}", entry.ttl(now).as_secs()),
        How::Stale => "pogo; hit; fwd=stale".to_owned(),
        How::Revalidated => "pogo; fwd=stale; fwd-status=304".to_owned(),
        How::Miss => format!("pogo; fwd=uri-miss; fwd-status={}", entry.status.as_u16()),
        How::Joined => "pogo; fwd=uri-miss; collapsed".to_owned(),
        How::Pass => format!("pogo; fwd=bypass; fwd-status={}", entry.status.as_u16()),
    };
    say(&mut headers, &status);
    if entry.status != StatusCode::OK {
        return give(entry.status, headers, whole(entry.body.clone()));
    }
    match conditions(asked, &headers) {
        Condition::Same => return unchanged(headers),
        Condition::Failed => return failed(),
        Condition::Met => {}
    }
    ranged(entry.body.clone(), headers, asked)
}

fn ranged(body: Bytes, mut headers: HeaderMap, asked: &HeaderMap) -> Response<HttpBody> {
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let length = body.len();
    match part(asked, &headers, length) {
        Part::All => give(StatusCode::OK, headers, whole(body)),
        Part::Of(range) => {
            let says = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            if let Ok(says) = HeaderValue::try_from(says) {
                headers.insert(CONTENT_RANGE, says);
            }
            give(
                StatusCode::PARTIAL_CONTENT,
                headers,
                whole(body.slice(range)),
            )
        }
        Part::Beyond => {
            headers.remove(CONTENT_TYPE);
            if let Ok(says) = HeaderValue::try_from(format!("bytes */{length}")) {
                headers.insert(CONTENT_RANGE, says);
            }
            give(StatusCode::RANGE_NOT_SATISFIABLE, headers, whole(""))
        }
    }
}

/// What was fetched for this client alone.
fn passed(fetched: Fetched, asked: &HeaderMap) -> Response<HttpBody> {
    let (status, mut headers) = (fetched.status, fetched.headers);
    clean(&mut headers);
    say(
        &mut headers,
        &format!("pogo; fwd=bypass; fwd-status={}", status.as_u16()),
    );
    if status == StatusCode::OK {
        match conditions(asked, &headers) {
            Condition::Same => return unchanged(headers),
            Condition::Failed => return failed(),
            Condition::Met => {}
        }
    }
    match fetched.body {
        Body::Whole(body) if status == StatusCode::OK => {
            headers.remove(CONTENT_LENGTH);
            ranged(body, headers, asked)
        }
        Body::Whole(body) => give(status, headers, whole(body)),
        Body::Stream(body) => give(status, headers, body),
    }
}

/// 304, with the headers that may have changed.
fn unchanged(mut headers: HeaderMap) -> Response<HttpBody> {
    for name in [CONTENT_LENGTH, CONTENT_TYPE] {
        headers.remove(name);
    }
    give(StatusCode::NOT_MODIFIED, headers, whole(""))
}

fn failed() -> Response<HttpBody> {
    refuse::because(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        &"the resource is not what the condition says",
    )
}

fn give(status: StatusCode, headers: HeaderMap, body: HttpBody) -> Response<HttpBody> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Adds what this cache did to what others say they did.
fn say(headers: &mut HeaderMap, status: &str) {
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.append(CACHE_STATUS, status);
    }
}

/// Keeps an answer that is one client's from other caches, and from his own when he is another.
pub(super) fn keep_private(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Authorization, Cookie"));
    headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
}
