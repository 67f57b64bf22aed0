//! The settings of authentication, plain; [`Config::problems`] checks them all.

use std::fmt;
use std::time::Duration;

use http::Uri;
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::key::{KeyError, VerifyKey};

/// The names of every algorithm, for messages; each parses as an [`Algorithm`].
pub const ALGORITHM_NAMES: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

/// Who may issue tokens for us, and what a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where keys come from. Without any every token is refused.
    pub issuers: Vec<IssuerConfig>,
    /// A token's `aud` must be or contain one of these. Empty: a token must have no `aud`.
    pub audience: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Longest `exp − iat` (without `iat`: `exp −` now).
    pub max_token_lifetime: Duration,
    /// How key sets are fetched.
    pub jwks: JwksConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::from_secs(5),
            max_token_lifetime: Duration::from_secs(30 * 86_400),
            jwks: JwksConfig::default(),
        }
    }
}

/// One source of keys. Several may name the same issuer: that is how keys are rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens. `None`: tokens without `iss`, and those with an `iss` that
    /// no other entry names.
    pub issuer: Option<String>,
    /// The algorithms that its tokens may use. Empty: every one that fits the key.
    pub algorithms: Vec<Algorithm>,
    /// The keys.
    pub keys: KeySource,
}

/// Where keys come from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A shared secret, for HS256, HS384 and HS512.
    Secret(Vec<u8>),
    /// One public key: a PEM block `PUBLIC KEY` (RSA, P-256, P-384, Ed25519) or `RSA PUBLIC KEY`.
    Pem(String),
    /// A key set (RFC 7517) behind an `https` or `http` address.
    Jwks {
        /// The address.
        url: String,
    },
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets stay out of logs; a public key would only fill them.
        match self {
            Self::Secret(_) => f.write_str("Secret"),
            Self::Pem(_) => f.write_str("Pem"),
            Self::Jwks { .. } => f.write_str("Jwks"),
        }
    }
}

/// How key sets are fetched and how long they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksConfig {
    /// For a whole fetch, from connecting to the last byte.
    pub timeout: Duration,
    /// Longest body in bytes.
    pub max_body_bytes: usize,
    /// Most keys in a set.
    pub max_keys: usize,
    /// How often a set is fetched in the background. `Cache-Control` is not asked.
    pub refresh_interval: Duration,
    /// Two fetches of a source are never closer than this, whatever asks for them.
    pub min_refetch_interval: Duration,
    /// A set that is older, because its source is down, counts no more: its tokens are refused.
    pub max_age: Duration,
    /// Most tokens that wait for a fetch; others are refused with `unavailable`.
    pub max_waiting: usize,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_body_bytes: 1 << 20,
            max_keys: 100,
            refresh_interval: Duration::from_secs(600),
            min_refetch_interval: Duration::from_secs(30),
            max_age: Duration::from_secs(3600),
            max_waiting: 1024,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum AuthConfigError {
    /// An entry's secret or PEM text is not a key.
    #[error("key source {entry}: {source}")]
    Key {
        /// Which of `issuers`, from 0.
        entry: usize,
        /// Why.
        source: KeyError,
    },
    /// None of an entry's algorithms fits its key.
    #[error("key source {entry}: none of its `algorithms` fits its key, which takes {fitting}")]
    Algorithms {
        /// Which of `issuers`, from 0.
        entry: usize,
        /// What would fit.
        fitting: String,
    },
    /// An entry's `iss` is empty.
    #[error("key source {entry}: `issuer` is empty; leave it out to take tokens of any issuer")]
    EmptyIssuer {
        /// Which of `issuers`, from 0.
        entry: usize,
    },
    /// Not an address that keys can be fetched from.
    #[error(
        "key source {entry}: `jwks_url` must be an http or https address with a host and without a user name"
    )]
    Url {
        /// Which of `issuers`, from 0.
        entry: usize,
    },
    /// An audience that no token can name.
    #[error("`audience` holds an empty name")]
    EmptyAudience,
    /// A setting that must not be zero.
    #[error("`{setting}` must not be zero")]
    Zero {
        /// Its name.
        setting: &'static str,
    },
    /// The system's certificate authorities could not be read, and an `https` address needs them.
    #[error("the system's certificate authorities cannot be read")]
    Roots(#[source] std::io::Error),
}

impl Config {
    /// Every problem; empty: the settings are good.
    pub fn problems(&self) -> Vec<AuthConfigError> {
        let entries = self.issuers.iter().enumerate();
        let mut problems: Vec<_> = entries
            .flat_map(|(entry, issuer)| issuer.problem(entry))
            .collect();
        if self.audience.iter().any(String::is_empty) {
            problems.push(AuthConfigError::EmptyAudience);
        }
        let jwks = &self.jwks;
        let positive = [
            ("max_token_lifetime", !self.max_token_lifetime.is_zero()),
            ("jwks.timeout", !jwks.timeout.is_zero()),
            ("jwks.max_body_bytes", jwks.max_body_bytes > 0),
            ("jwks.max_keys", jwks.max_keys > 0),
            ("jwks.refresh_interval", !jwks.refresh_interval.is_zero()),
            (
                "jwks.min_refetch_interval",
                !jwks.min_refetch_interval.is_zero(),
            ),
            ("jwks.max_age", !jwks.max_age.is_zero()),
            ("jwks.max_waiting", jwks.max_waiting > 0),
        ];
        let zero = positive.into_iter().filter(|(_, good)| !good);
        problems.extend(zero.map(|(setting, _)| AuthConfigError::Zero { setting }));
        problems
    }

    /// How long a revocation must be remembered so that no token can outlive it: the longest
    /// lifetime, and the leeway at both ends of it.
    pub fn revocation_lifetime(&self) -> Duration {
        self.max_token_lifetime
            .saturating_add(self.leeway.saturating_mul(2))
    }
}

impl IssuerConfig {
    fn problem(&self, entry: usize) -> Option<AuthConfigError> {
        if self.issuer.as_deref() == Some("") {
            return Some(AuthConfigError::EmptyIssuer { entry });
        }
        let fitting = match &self.keys {
            KeySource::Jwks { url } => {
                if key_set_address(url).is_none() {
                    return Some(AuthConfigError::Url { entry });
                }
                ALGORITHM_NAMES[3..]
                    .iter()
                    .filter_map(|name| name.parse().ok())
                    .collect()
            }
            fixed => match fixed_key(fixed) {
                Ok(Some(key)) => key.algorithms().to_vec(),
                Ok(None) => Vec::new(),
                Err(source) => return Some(AuthConfigError::Key { entry, source }),
            },
        };
        if self.algorithms.is_empty() || self.algorithms.iter().any(|one| fitting.contains(one)) {
            return None;
        }
        let fitting: Vec<_> = fitting.iter().map(|one| format!("{one:?}")).collect();
        Some(AuthConfigError::Algorithms {
            entry,
            fitting: fitting.join(", "),
        })
    }

    /// Whether a token of this entry may use `algorithm`, as far as the list goes; a key set
    /// never takes an HMAC, whose key it would have to publish.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        let listed = self.algorithms.is_empty() || self.algorithms.contains(&algorithm);
        let published = matches!(self.keys, KeySource::Jwks { .. });
        listed && !(published && algorithm.family() == AlgorithmFamily::Hmac)
    }
}

/// The key of a source that holds one; `None` for a key set.
pub(super) fn fixed_key(source: &KeySource) -> Result<Option<VerifyKey>, KeyError> {
    match source {
        KeySource::Secret(secret) => VerifyKey::from_secret(secret).map(Some),
        KeySource::Pem(text) => VerifyKey::from_pem(text).map(Some),
        KeySource::Jwks { .. } => Ok(None),
    }
}

/// The address of a key set, checked.
pub(super) fn key_set_address(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let good = matches!(uri.scheme_str(), Some("http" | "https"))
        && !authority.host().is_empty()
        && !authority.as_str().contains('@');
    good.then_some(uri)
}

#[cfg(test)]
mod tests;
