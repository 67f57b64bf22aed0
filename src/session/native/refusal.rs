//! Why a command is refused, in words that say what to do. No text holds a token.

use std::borrow::Cow;
use std::time::Duration;

use crate::auth::Op;
use crate::channel::NameError;
use crate::code::ErrorCode;
use crate::protocol::Fault;

/// A command's error reply before it is encoded.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub(super) fn rate_limited(retry_after: Duration) -> Self {
        Self {
            code: ErrorCode::RateLimited,
            message: "Too many commands; wait for `retry_after_ms`, then go on more slowly.".into(),
            retry_after: Some(retry_after),
        }
    }

    /// A field of the wrong type.
    pub(super) fn fault(fault: Fault) -> Self {
        let mut message = format!("{fault}.");
        if let Some(first) = message.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::bad_request(message)
    }

    /// A name that is no channel's.
    pub(super) fn name(error: NameError) -> Self {
        Self::bad_request(format!("The channel cannot be used: {error}."))
    }

    /// Too little right for `op`. Without a token one might help, so the code says which is
    /// missing: the token, or the right.
    pub(super) fn denied(op: Op, anonymous: bool) -> Self {
        let (verb, name) = match op {
            Op::Subscribe => ("subscribing", "subscribe"),
            Op::Publish => ("publishing", "publish"),
            Op::Presence => ("seeing who is there", "presence"),
            Op::History => ("reading history", "history"),
        };
        if anonymous {
            return Self::new(
                ErrorCode::Unauthenticated,
                format!("This channel does not allow {verb} without a token; send `auth` first."),
            );
        }
        Self::new(
            ErrorCode::Forbidden,
            format!(
                "This channel does not allow {verb}; use a token whose `caps` grant `{name}` on it."
            ),
        )
    }

    /// A rule that no token changes.
    pub(super) fn closed(op: Op) -> Self {
        let verb = if op == Op::Publish {
            "publish"
        } else {
            "subscribe"
        };
        Self::new(
            ErrorCode::Forbidden,
            format!(
                "The channel's rule lets nobody {verb}, whatever the token; use another channel."
            ),
        )
    }

    pub(super) fn too_many_channels(limit: usize) -> Self {
        Self::new(
            ErrorCode::LimitExceeded,
            format!("A session may be on {limit} channels; unsubscribe from one first."),
        )
    }

    /// An operation that failed outside the session.
    pub(super) fn of(code: ErrorCode) -> Self {
        Self::new(
            code,
            match code {
                ErrorCode::BadRequest => "The command cannot be understood; check its fields.",
                ErrorCode::Unauthenticated => {
                    "The token is not valid here; check its signature, `iss`, `aud`, `exp` and `nbf`."
                }
                ErrorCode::Forbidden => "The token does not allow this; use another token.",
                ErrorCode::NotFound => "There is nothing of this name; check the name.",
                ErrorCode::NoRoute => "No endpoint covers this uri; check the uri.",
                ErrorCode::NotSubscribed => "The session is not subscribed to this channel.",
                ErrorCode::RateLimited => "Too much at once; wait a moment, then try again.",
                ErrorCode::LimitExceeded => "A store of the server is full; try again later.",
                ErrorCode::TooLarge => "This is too large; send less.",
                ErrorCode::TokenExpired => "The token has expired; fetch a fresh one.",
                ErrorCode::TokenRevoked => "The token has been revoked; sign in again.",
                ErrorCode::Unavailable => {
                    "The server cannot do this at the moment; try again in a second."
                }
                ErrorCode::Timeout => "The server took too long over this; try again in a second.",
                ErrorCode::Conflict => "The resource has changed meanwhile; fetch it again.",
                ErrorCode::Gone => "The resource is gone for good.",
                ErrorCode::PreconditionFailed => {
                    "The resource is not what `if_match` says; fetch it again."
                }
                ErrorCode::Invalid => "The service found the data invalid; see `details`.",
                ErrorCode::UpstreamError => "The service behind this uri failed; try again later.",
                ErrorCode::BadGateway => {
                    "The service behind this uri gave an answer that is none; try again later."
                }
                ErrorCode::Internal => {
                    "The server failed at this; try again, and report it if it stays."
                }
            },
        )
    }
}
