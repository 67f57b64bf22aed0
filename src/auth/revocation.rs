//! Revoked tokens: what is remembered of them, and the check.

use std::time::Duration;

use super::{Fingerprint, Grant};
use crate::session_id::SessionId;

/// What a revocation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationTarget {
    /// A session and every other on the same token.
    Session {
        /// The session.
        session: SessionId,
        /// Its token, where it had one.
        token: Option<Fingerprint>,
    },
    /// A token by its `jti`.
    TokenId(Box<str>),
    /// Tokens of a subject that were issued before a time, or that do not say when.
    Subject {
        /// The subject, byte for byte.
        subject: Box<str>,
        /// Unix seconds; tokens with `iat` ≤ this are refused.
        issued_until: u64,
    },
}

/// One recorded revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Names this record.
    pub id: Box<str>,
    /// What is revoked.
    pub target: RevocationTarget,
    /// Why, in the operator's words.
    pub reason: Box<str>,
    /// Since the Unix epoch.
    pub created_at: Duration,
    /// When it is forgotten, since the Unix epoch: no token can be valid longer.
    pub expires_at: Duration,
}

/// The revocations in force on this node.
#[derive(Debug, Default)]
pub struct Revocations {}

impl Revocations {
    /// Whether some revocation refuses the token behind `grant`.
    pub fn refuses(&self, _grant: &Grant) -> bool {
        todo!("auth helper")
    }

    /// Puts `revocation` in force. (It is bounded by the broker, which records first.)
    pub fn insert(&self, _revocation: &Revocation) {
        todo!("auth helper")
    }

    /// Takes one out of force.
    pub fn remove(&self, _id: &str) {
        todo!("auth helper")
    }
}
