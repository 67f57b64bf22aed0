//! Requests to upstreams on behalf of sessions.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::upstream::{Asked, NoCredentials, RequestBody, UpstreamError};
use super::{Gateway, failure};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::resource::{CallOptions, Caller, Endpoint, Failure, FetchAs};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// With whose credentials a resource is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// Whose the endpoint says.
    Endpoint,
    /// The caller's, to see what he may.
    Caller,
}

impl Gateway {
    /// GET, with conditions if there are any.
    pub(super) async fn ask_for(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        path: &str,
        (conditions, whose, limit): (HeaderMap, As, usize),
    ) -> Result<Response<Bytes>, Failure> {
        let reads = whose == As::Endpoint;
        let service = reads && matches!(endpoint.fetch_as, FetchAs::Service(_));
        if !service {
            self.in_force(caller)?;
        }
        let mut headers = conditions;
        headers.insert(ACCEPT, JSON);
        let asked = Asked {
            method: Method::GET,
            path: path.to_owned(),
            headers,
            identity: self.identity(endpoint, caller, reads)?,
            body: RequestBody::empty(),
            idempotent: true,
            address: (!service).then_some(caller.address),
        };
        let answer = self.upstreams().fetch(endpoint, asked, limit).await;
        answer.map_err(|error| no_answer(&error))
    }

    /// A write: made once, unless its key lets it be made again.
    pub(super) async fn ask_to(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        asked: (Method, &str, Bytes),
        options: &CallOptions,
    ) -> Result<Response<Bytes>, Failure> {
        self.in_force(caller)?;
        let (method, path, body) = asked;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, JSON);
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let given = [
            (IF_MATCH, &options.if_match),
            (IDEMPOTENCY_KEY, &options.idempotency_key),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                let value = HeaderValue::try_from(&**value).map_err(|_| {
                    failure::plain(
                        ErrorCode::BadRequest,
                        "an option cannot be sent as a header",
                    )
                })?;
                headers.insert(name, value);
            }
        }
        let asked = Asked {
            method,
            path: path.to_owned(),
            headers,
            identity: self.identity(endpoint, caller, false)?,
            body: RequestBody::Whole(body),
            // What a client says of its key is its own word: the endpoint does not say yet that
            // its upstream knows keys.
            idempotent: false,
            address: Some(caller.address),
        };
        let limit = self.config().body_bytes;
        let answer = self.upstreams().fetch(endpoint, asked, limit).await;
        answer.map_err(|error| Failure {
            outcome_unknown: error.is_outcome_unknown(),
            ..no_answer(&error)
        })
    }

    /// Whether the caller's token still counts: its session may have ended while it was being
    /// asked for, and nothing else would stop what goes on.
    ///
    /// # Errors
    /// It has expired or was revoked.
    pub(super) fn in_force(&self, caller: &Caller) -> Result<(), Failure> {
        let Some(grant) = &caller.grant else {
            return Ok(());
        };
        let leeway = self.shared.settings.load().leeway;
        let end = Duration::from_secs(grant.expires_at).saturating_add(leeway);
        if end <= Now::read().unix {
            return Err(failure::plain(
                ErrorCode::TokenExpired,
                "The token has expired.",
            ));
        }
        if self.shared.revocations.refuses(grant) {
            return Err(failure::plain(
                ErrorCode::TokenRevoked,
                "The token was revoked.",
            ));
        }
        Ok(())
    }

    pub(super) fn identity(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        reads: bool,
    ) -> Result<HeaderMap, Failure> {
        let identity = self.upstreams().identity(endpoint, caller, reads);
        identity.map_err(|error| match error {
            NoCredentials::NotKept => failure::plain(
                ErrorCode::Unauthenticated,
                "The token was presented before this endpoint was there: send `auth` again.",
            ),
            NoCredentials::Subject => failure::plain(
                ErrorCode::Forbidden,
                "The token's subject cannot be shown to the upstream.",
            ),
            NoCredentials::Sign => failure::plain(
                ErrorCode::Internal,
                "No token could be made for the upstream.",
            ),
        })
    }
}

/// The one place that says what it means that nothing came back.
pub(super) fn no_answer(error: &UpstreamError) -> Failure {
    match error {
        UpstreamError::Timeout { .. } => failure::timeout(false),
        UpstreamError::Unavailable { why, retry_after } => Failure {
            message: why.to_string().into(),
            ..failure::unavailable("", *retry_after)
        },
        UpstreamError::BadAnswer { why, .. } => Failure {
            message: why.to_string().into(),
            ..failure::bad_answer("")
        },
        UpstreamError::Blocked => failure::unavailable("the upstream may not be reached", None),
        UpstreamError::Body => failure::plain(ErrorCode::BadRequest, "the body did not come whole"),
    }
}
