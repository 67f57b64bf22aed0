//! A key set (RFC 7517) as an issuer publishes it. Keys that we have no use for are passed over;
//! a set that shows a private key or gives a `kid` twice is refused whole, because whoever
//! publishes it has lost control of its keys or cannot say which is meant.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::json::{self, Object};
use super::key::VerifyKey;

/// Members that only a private or symmetric key has (RFC 7518, 6).
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Why a key set is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is not a key set: an object whose `keys` are objects with unique names")]
    Form,
    #[error("it holds more than {limit} keys")]
    TooMany { limit: usize },
    #[error("it shows a private or symmetric key")]
    Private,
    #[error("it gives a `kid` twice")]
    DuplicateKeyId,
}

/// An issuer's keys.
#[derive(Debug)]
pub(super) struct KeySet {
    named: HashMap<String, VerifyKey>,
    unnamed: Vec<VerifyKey>,
}

impl KeySet {
    /// Reads a set.
    pub(super) fn parse(body: &[u8], max_keys: usize) -> Result<Self, KeySetError> {
        let text = std::str::from_utf8(body).map_err(|_| KeySetError::Form)?;
        let set = Object::parse(text).ok_or(KeySetError::Form)?;
        let keys = set
            .get("keys")
            .and_then(json::array)
            .ok_or(KeySetError::Form)?;
        if keys.len() > max_keys {
            return Err(KeySetError::TooMany { limit: max_keys });
        }
        let mut seen = HashSet::new();
        let (mut named, mut unnamed) = (HashMap::new(), Vec::new());
        for key in keys {
            let key = Object::parse(key.get()).ok_or(KeySetError::Form)?;
            let text = |name| {
                key.get(name)
                    .map(|value| json::string(value).ok_or(KeySetError::Form))
            };
            let (kind, id) = (text("kty").transpose()?, text("kid").transpose()?);
            if kind.as_deref() == Some("oct") || PRIVATE.iter().any(|name| key.has(name)) {
                return Err(KeySetError::Private);
            }
            if id.as_ref().is_some_and(|id| !seen.insert(id.clone())) {
                return Err(KeySetError::DuplicateKeyId);
            }
            match (usable(&kind.ok_or(KeySetError::Form)?, &key), id) {
                (Some(key), Some(id)) => drop(named.insert(id, key)),
                (Some(key), None) => unnamed.push(key),
                (None, _) => {}
            }
        }
        Ok(Self { named, unnamed })
    }

    /// The key `id` if it takes `algorithm`; without an `id` the only key that takes it.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyKey> {
        let fits = |key: &&VerifyKey| key.algorithms().contains(&algorithm);
        if let Some(id) = id {
            return self.named.get(id).filter(fits);
        }
        let mut fitting = self.named.values().chain(&self.unnamed).filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Whether there is a key `id`, for whatever algorithm.
    pub(super) fn has(&self, id: &str) -> bool {
        self.named.contains_key(id)
    }

    /// How many keys are usable.
    pub(super) fn len(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }
}

/// The key, if it is one that checks signatures of ours, limited to its `alg` if it names one.
fn usable(kind: &str, key: &Object<'_>) -> Option<VerifyKey> {
    let text = |name| key.get(name).map(json::string);
    // A member that is there must be understood: `?` also passes over keys where it is no string.
    let absent_or = |name, value| text(name).is_none_or(|found| found.as_deref() == Some(value));
    let operations = key.get("key_ops").map(json::strings);
    let verifies =
        |found: Option<Vec<String>>| found.is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if !absent_or("use", "sig") || !operations.is_none_or(verifies) {
        return None;
    }
    let found = match kind {
        "RSA" => VerifyKey::from_rsa_numbers(&bytes(&text("n")??)?, &bytes(&text("e")??)?),
        "EC" => {
            let (x, y) = (text("x")??, text("y")??);
            let size = match text("crv")??.as_str() {
                "P-256" => 32,
                "P-384" => 48,
                _ => return None,
            };
            let sized = |number: &str| bytes(number).is_some_and(|bytes| bytes.len() == size);
            if !sized(&x) || !sized(&y) {
                return None;
            }
            VerifyKey::from_ec(DecodingKey::from_ec_components(&x, &y).ok()?)
        }
        "OKP" if text("crv")?? == "Ed25519" => {
            VerifyKey::from_ed(DecodingKey::from_ed_components(&text("x")??).ok()?)
        }
        _ => return None,
    };
    match text("alg") {
        None => found.ok(),
        Some(algorithm) => found.ok()?.only_for(algorithm?.parse().ok()?),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests;
