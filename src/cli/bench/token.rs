//! The tokens of the clients.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::auth::{self, SigningKey};
use crate::cli::error::CliError;
use crate::clock::Now;

/// How long a token is valid: longer than any run.
const LIFETIME: Duration = Duration::from_secs(6 * 3_600);

/// Where tokens come from.
#[derive(Clone)]
pub(super) enum Tokens {
    /// Clients stay anonymous.
    None,
    /// All have this one.
    Given(Arc<str>),
    /// Each has one of its own, signed with this secret.
    Signed(Arc<str>),
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Fails where the secret signs nothing.
    pub(super) fn check(&self) -> Result<(), CliError> {
        match self {
            Self::Signed(secret) => sign(secret, 0).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The token of client `index`.
    pub(super) fn of(&self, index: usize) -> Option<String> {
        match self {
            Self::None => None,
            Self::Given(token) => Some(token.to_string()),
            Self::Signed(secret) => sign(secret, index).ok(),
        }
    }
}

fn sign(secret: &str, index: usize) -> Result<String, CliError> {
    let now = Now::read().unix.as_secs();
    let claims = json!({
        "sub": format!("bench-{index}"),
        "jti": format!("bench-{index}"),
        "iat": now,
        "exp": now + LIFETIME.as_secs(),
        "caps": {"bench-**": ["subscribe"]},
    });
    auth::sign(
        &claims.to_string(),
        SigningKey::Secret(secret.as_bytes()),
        None,
        None,
    )
    .map_err(|error| CliError::Failed(error.to_string()))
}
