//! What a signature remembers of the Pogo token that it was made from.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::auth::{Capabilities, Fingerprint, Grant};

/// A token's subject, id and end: what revocation and expiry need of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// `sub`
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Arc<str>>,
    /// `jti`
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Arc<str>>,
    /// `iat`, Unix seconds.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<u64>,
    /// `exp`, Unix seconds.
    #[serde(rename = "e")]
    pub expires_at: u64,
    /// Names the token itself.
    #[serde(rename = "f")]
    pub fingerprint: Fingerprint,
}

impl Memo {
    /// What is to be remembered of `grant`.
    pub fn of(grant: &Grant) -> Self {
        Self {
            subject: grant.subject.clone(),
            token_id: grant.token_id.clone(),
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
            fingerprint: grant.fingerprint,
        }
    }

    /// The token again, as far as it is remembered: it allows nothing by itself.
    pub fn grant(&self) -> Grant {
        Grant {
            subject: self.subject.clone(),
            token_id: self.token_id.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            channels: Vec::new(),
            capabilities: Capabilities::default(),
            info: None,
            fingerprint: self.fingerprint,
            presented: None,
        }
    }

    pub(super) fn encode(&self) -> String {
        // Numbers and strings: nothing here can fail to be written.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// `None`: it is none.
    pub(super) fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}
