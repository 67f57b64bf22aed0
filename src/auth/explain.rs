//! What a token says and why it is taken or not, for an operator: `pogo token check`.

use super::token::{MAX_TOKEN_BYTES, decode, segments};
use super::{AuthError, Authenticator, Grant};
use crate::clock::Now;

/// A token laid open.
#[derive(Debug)]
pub struct Explanation {
    /// The header's text, if it can be decoded. Not to be believed if the verdict is an error.
    pub header: Option<String>,
    /// The claims' text, likewise.
    pub claims: Option<String>,
    /// What it grants, or why it is refused.
    pub verdict: Result<Grant, AuthError>,
    /// The verdict in a sentence.
    pub sentence: String,
}

impl Authenticator {
    /// Decodes `token` and says what [`Self::authenticate`] makes of it. Revocations are not
    /// asked: they are known only to the nodes.
    pub async fn explain(&self, token: &str, now: Now) -> Explanation {
        let verdict = self.authenticate(token, now).await;
        let sentence = match &verdict {
            Ok(grant) => accepted(grant, now.unix.as_secs()),
            Err(error) => format!("Refused: {error}."),
        };
        let parts = segments(token).filter(|_| token.len() <= MAX_TOKEN_BYTES);
        let text = |segment: Option<&str>| segment.and_then(decode);
        Explanation {
            header: text(parts.map(|(header, _, _)| header)),
            claims: text(parts.map(|(_, claims, _)| claims)),
            verdict,
            sentence,
        }
    }
}

fn accepted(grant: &Grant, now: u64) -> String {
    let left = match grant.expires_at.checked_sub(now) {
        Some(seconds) => format!("expires in {seconds} s"),
        None => "has expired and lives on the leeway".to_owned(),
    };
    match &grant.subject {
        Some(subject) => format!("Accepted: subject {subject:?}, {left}."),
        None => format!("Accepted: no subject, {left}."),
    }
}
