//! Error and close codes: what a client sees and what it should do.

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each name is its own text; `message` explains it"
)]
pub enum ErrorCode {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    NoRoute,
    NotSubscribed,
    RateLimited,
    LimitExceeded,
    TooLarge,
    TokenExpired,
    TokenRevoked,
    Unavailable,
    Timeout,
    Internal,
    Conflict,
    Gone,
    PreconditionFailed,
    Invalid,
    UpstreamError,
    BadGateway,
}

impl ErrorCode {
    /// Every code, for metrics and tables.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::NoRoute,
        Self::NotSubscribed,
        Self::RateLimited,
        Self::LimitExceeded,
        Self::TooLarge,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::Invalid,
        Self::UpstreamError,
        Self::BadGateway,
    ];

    /// The code on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NoRoute => "no_route",
            Self::NotSubscribed => "not_subscribed",
            Self::RateLimited => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::TooLarge => "too_large",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::PreconditionFailed => "precondition_failed",
            Self::Invalid => "invalid",
            Self::UpstreamError => "upstream_error",
            Self::BadGateway => "bad_gateway",
        }
    }
}

/// Why a WebSocket is closed. The range is the advice: 4000–4099 do not reconnect unchanged,
/// 4100–4199 reconnect after a pause, 4200–4299 reconnect at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each name is its own text")]
pub enum CloseCode {
    Normal,
    ProtocolError,
    WrongKind,
    BadPayload,
    Policy,
    TooBig,
    BadFrame,
    Unauthenticated,
    Revoked,
    Forbidden,
    Overloaded,
    SlowConsumer,
    RateLimited,
    Draining,
    TokenExpired,
    Idle,
    /// Of Pusher sessions only: a version of the protocol that is not spoken.
    Unsupported,
    /// Of Pusher sessions only: a version that is none.
    NoVersion,
}

impl CloseCode {
    /// The code with this number.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.wire().0 == number)
    }

    /// Every code, for metrics and tables.
    pub const ALL: [Self; 18] = [
        Self::Normal,
        Self::ProtocolError,
        Self::WrongKind,
        Self::BadPayload,
        Self::Policy,
        Self::TooBig,
        Self::BadFrame,
        Self::Unauthenticated,
        Self::Revoked,
        Self::Forbidden,
        Self::Overloaded,
        Self::SlowConsumer,
        Self::RateLimited,
        Self::Draining,
        Self::TokenExpired,
        Self::Idle,
        Self::Unsupported,
        Self::NoVersion,
    ];

    /// The number on the wire and the name that goes with it as the close reason.
    pub const fn wire(self) -> (u16, &'static str) {
        match self {
            Self::Normal => (1000, ""),
            Self::ProtocolError => (1002, "protocol_error"),
            Self::WrongKind => (1003, "wrong_frame_kind"),
            Self::BadPayload => (1007, "bad_payload"),
            Self::Policy => (1008, "flood"),
            Self::TooBig => (1009, "too_big"),
            Self::BadFrame => (4000, "bad_frame"),
            Self::Unauthenticated => (4001, "unauthenticated"),
            Self::Revoked => (4002, "revoked"),
            Self::Forbidden => (4003, "forbidden"),
            Self::Overloaded => (4100, "overloaded"),
            Self::SlowConsumer => (4101, "slow_consumer"),
            Self::RateLimited => (4102, "rate_limited"),
            Self::Draining => (4200, "draining"),
            Self::TokenExpired => (4201, "token_expired"),
            Self::Idle => (4202, "idle"),
            Self::Unsupported => (4007, "unsupported_protocol"),
            Self::NoVersion => (4006, "bad_version"),
        }
    }

    /// The same on Pusher sessions: Pusher's number, whose range gives the same advice, and a
    /// sentence. 4000 is never sent there (it means TLS), nor is 4300 or beyond (clients take it
    /// for a refusal).
    pub const fn pusher(self) -> (u16, &'static str) {
        match self {
            Self::Unauthenticated => (4001, "There is no app of this key"),
            Self::Forbidden => (4003, "This address is denied"),
            Self::NoVersion => (4006, "The protocol's version is no number"),
            Self::Unsupported => (4007, "This version of the protocol is not supported"),
            Self::Revoked | Self::BadFrame => (4009, "The connection is not authorized any more"),
            Self::Overloaded | Self::SlowConsumer => (4100, "Over capacity"),
            Self::RateLimited => (4100, "Too many messages"),
            Self::Draining => (4200, "This server is going away: reconnect"),
            Self::TokenExpired => (4200, "The signature's token has ended: reconnect"),
            Self::Idle => (4201, "No pong came in time"),
            Self::Normal
            | Self::ProtocolError
            | Self::WrongKind
            | Self::BadPayload
            | Self::Policy
            | Self::TooBig => self.wire(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushers_codes_give_the_same_advice() {
        for code in CloseCode::ALL {
            let ((ours, _), (theirs, reason)) = (code.wire(), code.pusher());
            assert_eq!(ours / 100, theirs / 100, "{code:?}");
            assert!(theirs != 4000 && theirs < 4300 && reason.len() <= 123);
        }
    }
}
