//! Answers: JSON as Pusher's libraries expect it to the byte, and refusals in a line of text.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::limits;
use crate::protocol::pusher::excerpt;

/// Longest text of a refusal in bytes: it may repeat what came.
const MAX_TEXT: usize = 1024;
/// When what is unavailable may be there again.
const RETRY: Duration = Duration::from_secs(5);

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) says: Cow<'static, str>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, says: impl Into<Cow<'static, str>>) -> Self {
        let mut says = says.into();
        if says.len() > MAX_TEXT {
            says = excerpt(&says, MAX_TEXT).to_owned().into();
        }
        Self {
            status,
            says,
            retry_after: None,
            allow: None,
        }
    }

    pub(super) fn bad(says: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, says)
    }

    pub(super) fn unauthorized(says: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, says)
    }

    pub(super) fn forbidden(says: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, says)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Nothing here")
    }

    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("Use {allow}"))
        }
    }

    pub(super) fn too_many(says: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, says)
        }
    }

    pub(super) fn unavailable(says: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after: Some(RETRY),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, says)
        }
    }

    pub(super) fn answer(self) -> Response<Bytes> {
        let text = format!("{}\n", self.says);
        let mut answer = respond(self.status, "text/plain; charset=utf-8", text.into());
        let headers = answer.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(limits::retry_seconds(wait)));
        }
        answer
    }
}

/// 200 with this value.
pub(super) fn json(value: &Value) -> Response<Bytes> {
    respond(StatusCode::OK, "application/json", value.to_string().into())
}

pub(super) fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers: [(HeaderName, &'static str); 3] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
