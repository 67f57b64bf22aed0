//! Why something is refused: a `pusher:error`, and for subscriptions a
//! `pusher:subscription_error` too. The texts that Pusher is known to send are kept.

use std::borrow::Cow;

use crate::auth::pusher::SignatureError;
use crate::channel::NameError;
use crate::code::ErrorCode;
use crate::protocol::pusher::{Event, Malformed, excerpt};

/// Pusher's number for client events over the rate.
const TOO_MANY_EVENTS: u16 = 4301;
/// Pusher's number for a watchlist that is too long.
const LONG_WATCHLIST: u16 = 4302;

/// So much of what was to be signed is repeated, in bytes, and of a channel's name.
const MAX_TEXT: usize = 1024;
/// So much of a signature, which has 64.
const MAX_SIGNATURE: usize = 128;

/// A refusal.
#[derive(Debug)]
pub(super) struct Denial {
    /// For metrics.
    pub(super) code: ErrorCode,
    /// What a client reads.
    number: Option<u16>,
    message: Cow<'static, str>,
    /// Of a subscription: what pusher-js calls the kind of error.
    kind: &'static str,
    status: u16,
}

impl Denial {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let (kind, status) = match code {
            ErrorCode::Unauthenticated => ("AuthError", 401),
            ErrorCode::Forbidden | ErrorCode::TokenRevoked | ErrorCode::TokenExpired => {
                ("AuthError", 403)
            }
            ErrorCode::LimitExceeded => ("LimitReached", 4004),
            ErrorCode::BadRequest => ("BadRequest", 400),
            ErrorCode::TooLarge => ("BadRequest", 413),
            ErrorCode::Unavailable | ErrorCode::Timeout => ("Unavailable", 503),
            _ => ("ServerError", 500),
        };
        Self {
            code,
            number: None,
            message: message.into(),
            kind,
            status,
        }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub(super) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub(super) fn event(&self) -> Event<'_> {
        Event::Error {
            code: self.number,
            message: &self.message,
        }
    }

    /// That `channel` was not subscribed to.
    pub(super) fn of_channel<'a>(&'a self, channel: &'a str) -> Event<'a> {
        Event::NotSubscribed {
            channel: excerpt(channel, MAX_TEXT),
            kind: self.kind,
            error: &self.message,
            status: self.status,
        }
    }

    pub(super) fn unknown_event() -> Self {
        Self::bad_request("Unknown event: clients' own events start with `client-`")
    }

    pub(super) fn too_fast() -> Self {
        Self {
            number: Some(TOO_MANY_EVENTS),
            ..Self::new(
                ErrorCode::RateLimited,
                "Too many messages: wait a moment, then go on more slowly",
            )
        }
    }

    pub(super) fn too_many_events(most: u32) -> Self {
        Self {
            number: Some(TOO_MANY_EVENTS),
            ..Self::new(
                ErrorCode::RateLimited,
                format!(
                    "The client has exceeded the rate limit for client events: {most} messages per second"
                ),
            )
        }
    }

    pub(super) fn long_watchlist(most: usize) -> Self {
        Self {
            number: Some(LONG_WATCHLIST),
            ..Self::new(
                ErrorCode::LimitExceeded,
                format!("The watchlist has more than {most} users: the others are left out"),
            )
        }
    }

    pub(super) fn name(error: NameError) -> Self {
        Self::bad_request(format!("Invalid channel name: {error}"))
    }

    /// Of the signature for `what`; `text` was to be signed, and `shown` came.
    pub(super) fn signature(
        error: SignatureError,
        what: &str,
        (text, shown): (&str, &str),
    ) -> Self {
        let message = match error {
            SignatureError::Mismatch => {
                let signature = shown.split_once(':').map_or(shown, |(_, rest)| rest);
                let signature = excerpt(signature, MAX_SIGNATURE);
                let text = excerpt(text, MAX_TEXT);
                format!(
                    "Invalid signature: Expected HMAC SHA256 hex digest of {text}, but got {signature}"
                )
            }
            error => {
                let what = excerpt(what, MAX_TEXT);
                format!("Auth value for {what} is invalid: {error}")
            }
        };
        Self::new(ErrorCode::Unauthenticated, message)
    }

    /// An operation that failed outside the session.
    pub(super) fn of(code: ErrorCode) -> Self {
        Self::new(
            code,
            match code {
                ErrorCode::LimitExceeded => "A store of the server is full: try again later",
                ErrorCode::Unavailable | ErrorCode::Timeout => {
                    "The server cannot do this at the moment: try again in a second"
                }
                _ => "The server failed at this: try again",
            },
        )
    }
}

impl From<Malformed> for Denial {
    fn from(malformed: Malformed) -> Self {
        Self::bad_request(format!("Invalid message: {malformed}"))
    }
}
