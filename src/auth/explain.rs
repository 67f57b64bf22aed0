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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fixture::{
        NOW, SECRET, after, any_issuer, authenticator, claims, forge, hs256, now, secret, shared,
    };
    use futures_util::FutureExt;
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    fn explain(token: &str, now: Now) -> Explanation {
        let authenticator = authenticator(vec![any_issuer(shared())]);
        authenticator.explain(token, now).now_or_never().unwrap()
    }

    #[test]
    fn a_token_is_shown_with_the_reason_in_a_sentence() {
        let token = hs256(&claims(json!({ "sub": "a\u{202e}\n" })));
        let taken = explain(&token, now());
        assert_eq!(taken.header.as_deref(), Some(r#"{"alg":"HS256"}"#));
        assert!(taken.claims.unwrap().contains(&format!("{}", NOW + 600)));
        assert_eq!(
            taken.sentence,
            r#"Accepted: subject "a\u{202e}\n", expires in 600 s."#
        );
        let late = explain(&token, after(602)).sentence;
        assert!(
            late.ends_with("has expired and lives on the leeway."),
            "{late}"
        );
        assert_eq!(
            explain(&token, after(700)).sentence,
            "Refused: the token expired 100 s ago."
        );
        let plain = hs256(&json!({ "exp": NOW + 1 }).to_string());
        assert_eq!(
            explain(&plain, now()).sentence,
            "Accepted: no subject, expires in 1 s."
        );
    }

    #[test]
    fn what_is_refused_is_shown_as_far_as_it_can_be_read() {
        let forged = forge(
            r#"{"alg":"HS256"}"#,
            "{}",
            &secret(SECRET),
            Algorithm::HS384,
        );
        let shown = explain(&forged, now());
        assert_eq!(
            (
                shown.header.unwrap().as_str(),
                shown.claims.unwrap().as_str()
            ),
            (r#"{"alg":"HS256"}"#, "{}")
        );
        assert_eq!(shown.sentence, "Refused: the claim `exp` is missing.");
        for text in ["", "a.b", "!.!.!", &"x".repeat(9_000)] {
            let shown = explain(text, now());
            assert!(shown.header.is_none() && shown.claims.is_none() && shown.verdict.is_err());
            assert!(
                shown.sentence.starts_with("Refused: the token is "),
                "{}",
                shown.sentence
            );
        }
    }
}
