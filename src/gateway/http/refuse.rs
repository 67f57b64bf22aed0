//! What a client gets instead of a resource: a status, and in JSON the code and words that a socket
//! would get.

use std::fmt::Display;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;

use super::{HttpBody, whole};
use crate::code::ErrorCode;
use crate::resource::Failure;

/// A refusal of the gateway's own.
pub(super) fn because(status: StatusCode, code: &str, says: &dyn Display) -> Response<HttpBody> {
    of_text(
        status,
        json!({"error": {"code": code, "message": says.to_string()}}).to_string(),
    )
}

/// What a call over a socket would have failed with.
pub(super) fn of(failure: &Failure) -> Response<HttpBody> {
    let status = failure
        .http
        .and_then(|http| StatusCode::from_u16(http).ok());
    let status = status.unwrap_or_else(|| status_of(failure.code));
    let mut error = json!({"code": failure.code.name(), "message": failure.message});
    if let Some(details) = &failure.details
        && let Ok(details) = serde_json::from_slice::<&RawValue>(details)
    {
        error["details"] = json!(details);
    }
    if failure.outcome_unknown {
        error["outcome"] = json!("unknown");
    }
    let mut answer = of_text(status, json!({"error": error}).to_string());
    if let Some(wait) = failure.retry_after {
        // Whole seconds, rounded up: one who obeys is let in.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    answer
}

fn of_text(status: StatusCode, text: String) -> Response<HttpBody> {
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(CONTENT_TYPE, json);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired | ErrorCode::TokenRevoked => {
            StatusCode::UNAUTHORIZED
        }
        ErrorCode::Forbidden | ErrorCode::NotSubscribed => StatusCode::FORBIDDEN,
        ErrorCode::NotFound | ErrorCode::NoRoute => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::Gone => StatusCode::GONE,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited | ErrorCode::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::UpstreamError | ErrorCode::BadGateway => StatusCode::BAD_GATEWAY,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}
