//! Why a token is refused. No variant holds text of the token, so an error can be logged.

use crate::code::ErrorCode;

/// Why a token is refused. The text is for operators; clients see only [`AuthError::code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Over 8 KiB: refused before anything is decoded.
    #[error("the token is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not a compact JWS (RFC 7515) with JSON objects inside.
    #[error("the token is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
    /// The header names an algorithm that the issuer's keys do not allow, or none that is known.
    #[error("the token's algorithm is not one that its issuer's keys allow")]
    Algorithm,
    /// A claim is missing or has a wrong form.
    #[error("the claim `{claim}` {why}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// No configured issuer takes this `iss`.
    #[error("no configured issuer matches the claim `iss`")]
    Issuer,
    /// No key of the issuer goes by the token's `kid`; or, without one, not exactly one key fits.
    #[error(
        "no key of the issuer has the token's `kid` (or, without one, more or fewer than one key fits its algorithm)"
    )]
    UnknownKey,
    /// The signature does not belong to the token and the issuer's keys.
    #[error("the signature is wrong")]
    Signature,
    /// `aud` does not name us.
    #[error("the claim `aud` does not name a configured audience")]
    Audience,
    /// Valid for longer than `max_token_lifetime`.
    #[error("the token lives for {seconds} s, longer than max_token_lifetime ({limit} s) allows")]
    Lifetime {
        /// Its lifetime.
        seconds: u64,
        /// What is allowed.
        limit: u64,
    },
    /// `nbf` or `iat` lies ahead.
    #[error("the claim `{claim}` lies {seconds} s ahead, beyond the leeway")]
    TooEarly {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// How far, rounded up.
        seconds: u64,
    },
    /// `exp` and the leeway have passed.
    #[error("the token expired {seconds} s ago")]
    Expired {
        /// How long ago `exp` was, rounded down.
        seconds: u64,
    },
    /// Revoked.
    #[error("the token is revoked")]
    Revoked,
    /// The issuer's keys could not be fetched, or are too old to be trusted.
    #[error("the issuer's keys cannot be had at present")]
    KeysUnavailable,
}

impl AuthError {
    /// What a client is told.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Expired { .. } => ErrorCode::TokenExpired,
            Self::Revoked => ErrorCode::TokenRevoked,
            Self::KeysUnavailable => ErrorCode::Unavailable,
            Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::Algorithm
            | Self::Claim { .. }
            | Self::Issuer
            | Self::UnknownKey
            | Self::Signature
            | Self::Audience
            | Self::Lifetime { .. }
            | Self::TooEarly { .. } => ErrorCode::Unauthenticated,
        }
    }
}
