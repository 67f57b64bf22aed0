//! What a checked token grants.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Capabilities;
use crate::channel::ChannelName;

/// The first half of the SHA-256 of what a token's issuer signed, its header and claims: names the
/// token without holding it, and also when the signature has been written another way.
pub type Fingerprint = [u8; 16];

/// What a checked token says.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `sub`, byte for byte.
    pub subject: Option<Arc<str>>,
    /// `jti`.
    pub token_id: Option<Arc<str>>,
    /// `iat`, Unix seconds.
    pub issued_at: Option<u64>,
    /// `exp`, Unix seconds.
    pub expires_at: u64,
    /// Subscribed when the token is taken.
    pub channels: Vec<ChannelName>,
    /// What the token allows beyond the channel rules.
    pub capabilities: Capabilities,
    /// Shown in presence; JSON.
    pub info: Option<Box<RawValue>>,
    /// Names the token itself.
    pub fingerprint: Fingerprint,
    /// What the gateway shows upstreams of it; kept where there are endpoints only.
    pub presented: Option<Arc<Presented>>,
}

/// A token as it was presented. Its text is shown to upstreams that ask for it and to nobody else.
pub struct Presented {
    /// The token itself.
    pub token: Box<str>,
    /// All its claims, JSON text.
    pub claims: Box<RawValue>,
}

impl Grant {
    /// The token itself, where it is kept.
    pub fn token(&self) -> Option<&str> {
        Some(&self.presented.as_ref()?.token)
    }

    /// All its claims, where they are kept.
    pub fn claims(&self) -> Option<&RawValue> {
        Some(&self.presented.as_ref()?.claims)
    }
}

// By hand: nothing shall print a token.
impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").finish_non_exhaustive()
    }
}
