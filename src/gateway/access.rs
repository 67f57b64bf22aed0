//! Who may read a uri, and whose data it is that he gets.
//!
//! Invariants: what the upstream allowed is remembered of the very token that asked, never of its
//! subject; what was asked before access was taken back is not remembered.

mod expression;
mod known;

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

pub(super) use expression::holds;
pub(super) use known::{Asking, Known, Question};

use crate::auth::{Fingerprint, Grant};
use crate::resource::{Audience, Credentials, Endpoint};

/// Whose data: answers and pushes of one variant of a uri go to all who have its key.
pub(super) type Variant = Arc<str>;

/// Who asks, as precisely as an upstream could tell: another token is another asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// On this token.
    Token(Fingerprint),
    /// Without one.
    Anonymous,
}

impl Asker {
    /// As the upstream of `endpoint` sees whoever is granted this.
    pub(super) fn of(endpoint: &Endpoint, grant: Option<&Grant>) -> Self {
        match grant {
            Some(grant) if endpoint.auth != Credentials::None => Self::Token(grant.fingerprint),
            _ => Self::Anonymous,
        }
    }

    /// Its name in the cache.
    pub(super) fn name(self) -> Arc<str> {
        match self {
            Self::Token(fingerprint) => token(fingerprint),
            Self::Anonymous => "anonymous".into(),
        }
    }
}

/// The variant that `audience` gives to whoever asks; none: a claim that it is made of is missing.
pub(super) fn variant(
    audience: &Audience,
    grant: Option<&Grant>,
    claims: Option<&Value>,
) -> Option<Variant> {
    match audience {
        Audience::Shared => Some("".into()),
        Audience::User => Some(user(grant)),
        Audience::Claims(names) => {
            let claims = claims?;
            let values: Option<Vec<&Value>> = names
                .iter()
                .map(|name| {
                    expression::claim(claims, name).filter(|value| expression::is_exact(value))
                })
                .collect();
            // Two lists of values have one text only if they are the same: JSON delimits them.
            Some(serde_json::to_string(&values?).ok()?.into())
        }
    }
}

/// A prefix for each kind, so that no subject can be spelled to be another's.
fn user(grant: Option<&Grant>) -> Variant {
    let Some(grant) = grant else {
        return "anonymous".into();
    };
    if let Some(subject) = &grant.subject {
        return format!("sub:{subject}").into();
    }
    token(grant.fingerprint)
}

fn token(fingerprint: Fingerprint) -> Arc<str> {
    let mut key = String::from("token:");
    for byte in fingerprint {
        // Writing to a string cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_whose_number_was_rounded_is_none() {
        let of = |value: &str| {
            let claims: Value = serde_json::from_str(&format!(r#"{{"tenant":{value}}}"#)).unwrap();
            variant(
                &Audience::Claims(vec!["tenant".into()]),
                None,
                Some(&claims),
            )
        };
        for rounded in [
            "18446744073709551617",
            "1.5",
            "[18446744073709551999]",
            r#"{"a":[1e3]}"#,
        ] {
            assert_eq!(of(rounded), None, "{rounded}");
        }
        assert_eq!(
            of("18446744073709551615").as_deref(),
            Some("[18446744073709551615]")
        );
        assert_eq!(
            of(r#"[-1,{"a":"1.5"}]"#).as_deref(),
            Some(r#"[[-1,{"a":"1.5"}]]"#)
        );
    }
}
