//! Why there was no answer, from what the HTTP client says.

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy;

use super::{BadAnswer, Unasked, UpstreamError};
use crate::egress::{is_blocked, is_unconnected};

/// What went wrong with a request; `sent`: it had a connection.
pub(super) fn of_client(error: &legacy::Error, sent: bool) -> UpstreamError {
    if is_blocked(error) {
        return UpstreamError::Blocked;
    }
    if error.is_connect() {
        return if is_unconnected(error) {
            unasked(Unasked::Unreachable, None)
        } else {
            unsent(BadAnswer::Tls)
        };
    }
    let hyper = error.source().and_then(|source| source.downcast_ref());
    if hyper.is_some_and(hyper::Error::is_user) {
        return UpstreamError::Body;
    }
    UpstreamError::BadAnswer {
        why: BadAnswer::Http,
        sent,
    }
}

/// Whether the connection was closed, and not a byte of it was wrong.
pub(super) fn is_closed(error: &legacy::Error) -> bool {
    let hyper: Option<&hyper::Error> = error.source().and_then(|source| source.downcast_ref());
    !error.is_connect() && hyper.is_some_and(|hyper| !hyper.is_parse() && !hyper.is_user())
}

/// Whether it tells against the upstream.
pub(super) fn is_ill(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Timeout { .. }
        | UpstreamError::Unavailable {
            why: Unasked::Unreachable,
            ..
        } => true,
        UpstreamError::BadAnswer { why, .. } => matches!(why, BadAnswer::Http | BadAnswer::Tls),
        _ => false,
    }
}

pub(super) fn bad(why: BadAnswer) -> UpstreamError {
    UpstreamError::BadAnswer { why, sent: true }
}

pub(super) fn unsent(why: BadAnswer) -> UpstreamError {
    UpstreamError::BadAnswer { why, sent: false }
}

pub(super) fn unasked(why: Unasked, retry_after: Option<Duration>) -> UpstreamError {
    UpstreamError::Unavailable { why, retry_after }
}
