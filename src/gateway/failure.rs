//! What became of a request that did not succeed, in the words of the protocol. The one place that
//! knows which status is which code.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;

use crate::code::ErrorCode;
use crate::resource::Failure;

/// Longest body of an upstream's answer that a client is shown.
const MAX_DETAILS_BYTES: usize = 8 * 1024;

/// The code of an upstream's status that is no success; none: a status that no request of ours can
/// be answered with (1xx, 2xx, 3xx).
fn code_of(status: StatusCode) -> Option<ErrorCode> {
    Some(match status.as_u16() {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        409 => ErrorCode::Conflict,
        410 => ErrorCode::Gone,
        412 => ErrorCode::PreconditionFailed,
        413 => ErrorCode::TooLarge,
        422 => ErrorCode::Invalid,
        429 => ErrorCode::RateLimited,
        400..=499 => ErrorCode::BadRequest,
        500..=599 => ErrorCode::UpstreamError,
        _ => return None,
    })
}

/// The upstream said no: its status, and of a 4xx its JSON body.
pub(super) fn refused(status: StatusCode, retry_after: Option<Duration>, body: &Bytes) -> Failure {
    let Some(code) = code_of(status) else {
        return bad_answer("the upstream's answer is no answer to this request");
    };
    let message = status.canonical_reason().unwrap_or("the upstream refused");
    Failure {
        retry_after,
        http: Some(status.as_u16()),
        details: details(status, body),
        ..plain(code, message)
    }
}

/// A 5xx body is the upstream's own trouble: nobody is shown it.
fn details(status: StatusCode, body: &Bytes) -> Option<Bytes> {
    if !status.is_client_error() || body.is_empty() || body.len() > MAX_DETAILS_BYTES {
        return None;
    }
    serde_json::from_slice::<&RawValue>(body).ok()?;
    Some(body.clone())
}

/// The upstream's answer cannot be used.
pub(super) fn bad_answer(message: &'static str) -> Failure {
    plain(ErrorCode::BadGateway, message)
}

/// The upstream is not asked for the moment.
pub(super) fn unavailable(message: &'static str, retry_after: Option<Duration>) -> Failure {
    Failure {
        retry_after,
        ..plain(ErrorCode::Unavailable, message)
    }
}

/// No answer in time; `unknown`: it was a write that the upstream may have done.
pub(super) fn timeout(unknown: bool) -> Failure {
    Failure {
        outcome_unknown: unknown,
        ..plain(ErrorCode::Timeout, "the upstream did not answer in time")
    }
}

/// A failure that is the gateway's own.
pub(super) fn plain(code: ErrorCode, message: &'static str) -> Failure {
    Failure {
        code,
        message: message.into(),
        retry_after: None,
        http: None,
        details: None,
        outcome_unknown: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &'static str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        refused(status, None, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn each_status_has_its_code() {
        let table = [
            (400, "bad_request"),
            (401, "unauthenticated"),
            (402, "bad_request"),
            (403, "forbidden"),
            (404, "not_found"),
            (405, "bad_request"),
            (409, "conflict"),
            (410, "gone"),
            (412, "precondition_failed"),
            (413, "too_large"),
            (415, "bad_request"),
            (418, "bad_request"),
            (422, "invalid"),
            (429, "rate_limited"),
            (499, "bad_request"),
            (500, "upstream_error"),
            (503, "upstream_error"),
            (599, "upstream_error"),
        ];
        for (status, code) in table {
            let failure = of(status, "");
            assert_eq!((failure.code.name(), failure.http), (code, Some(status)));
        }
        for status in [100, 302, 304, 600] {
            let failure = of(status, "{}");
            assert_eq!((failure.code, failure.http), (ErrorCode::BadGateway, None));
        }
    }

    #[test]
    fn only_small_json_of_a_4xx_is_shown() {
        let shown = |status, body| of(status, body).details;
        assert_eq!(
            shown(422, r#"{"name":"taken"}"#).unwrap(),
            r#"{"name":"taken"}"#
        );
        for (status, body) in [(422, ""), (422, "<h1>no</h1>"), (422, "{} {}"), (500, "{}")] {
            assert_eq!(shown(status, body), None, "{status} {body}");
        }
        let text = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
        let shown = |bytes| details(StatusCode::CONFLICT, &text(bytes)).is_some();
        assert!(shown(MAX_DETAILS_BYTES) && !shown(MAX_DETAILS_BYTES + 1));
    }

    #[test]
    fn the_rest_is_ours() {
        let wait = Some(Duration::from_secs(5));
        let failure = unavailable("the breaker is open", wait);
        assert_eq!(
            (failure.code, failure.retry_after),
            (ErrorCode::Unavailable, wait)
        );
        assert!(timeout(true).outcome_unknown && !timeout(false).outcome_unknown);
    }
}
