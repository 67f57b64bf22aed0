//! Who a client is and what it may do: tokens, keys, capabilities and revocations.
//!
//! What holds: an algorithm is fixed by its key and the configuration, never by the token; no
//! request follows from what a token says beyond refreshing a configured key set at a bounded
//! rate; without usable keys every token is refused; no error or log holds text of a token.

mod access;
mod api_key;
mod authenticator;
mod capabilities;
mod claims;
mod config;
mod error;
mod explain;
mod fetch;
mod grant;
mod json;
mod jwk;
mod jwks;
mod key;
pub mod pusher;
mod revocation;
mod sign;
mod token;

pub use access::may;
pub use api_key::SecretHash;
pub use authenticator::Authenticator;
pub use capabilities::{Capabilities, MAX_CAPABILITIES, Op};
pub use claims::MAX_TOKEN_CHANNELS;
pub use config::{ALGORITHM_NAMES, AuthConfigError, Config, IssuerConfig, JwksConfig, KeySource};
pub use error::AuthError;
pub use explain::Explanation;
pub use grant::{Fingerprint, Grant, Presented};
pub use jsonwebtoken::Algorithm;
pub use key::KeyError;
pub use revocation::{Revocation, RevocationTarget, Revocations};
pub use sign::{SignError, SigningKey, sign};
pub use token::MAX_TOKEN_BYTES;

#[cfg(test)]
mod fixture;
