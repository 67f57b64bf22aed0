//! `[auth]`: whose tokens are taken, and what signs them.

use super::super::reader::Reader;
use super::super::secret::Secret;
use crate::auth::{self, Algorithm, AuthConfigError, IssuerConfig, JwksConfig, KeySource};

/// What tokens are signed with by `pogo token new` and `--dev`.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The shared secret.
    pub secret: Secret,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The `iss` that its tokens must have.
    pub issuer: Option<String>,
    /// The `aud` that tokens must have.
    pub audience: Option<String>,
}

/// A shorter secret could be guessed from a token (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// The shared secrets' algorithms, each with the bytes of its hash.
const HMACS: [(Algorithm, usize); 3] = [
    (Algorithm::HS256, 32),
    (Algorithm::HS384, 48),
    (Algorithm::HS512, 64),
];

pub(super) fn auth(root: &Reader<'_>) -> auth::Config {
    let section = root.table("auth");
    let jwks = section.table("jwks");
    let strict = !super::doors::is_local(root.table("edge").address("listen"));
    let mut issuers = sources(&section, strict);
    for entry in section.items("issuer") {
        let found = sources(&entry, strict);
        if found.is_empty()
            && !["secret", "secret_file", "public_key_file"]
                .iter()
                .any(|name| entry.has(name))
        {
            entry.refuse("", "has no key: set secret, public_key_file or jwks_url");
        }
        issuers.extend(found);
    }
    let audience = section.texts("audience");
    if audience.iter().any(String::is_empty) {
        section.refuse("audience", "holds an empty name");
    }
    auth::Config {
        issuers,
        audience,
        leeway: section.span("leeway"),
        max_token_lifetime: section.span("max_token_lifetime"),
        jwks: JwksConfig {
            timeout: jwks.span("timeout"),
            max_body_bytes: jwks.count("max_body_bytes"),
            max_keys: jwks.count("max_keys"),
            refresh_interval: jwks.span("refresh_interval"),
            min_refetch_interval: jwks.span("min_refetch_interval"),
            max_age: jwks.span("max_age"),
            max_waiting: jwks.count("max_waiting"),
        },
    }
}

/// The secret that signs: of `[auth]`, or else of the first `[[auth.issuer]]` that has one.
pub(super) fn signing(root: &Reader<'_>) -> Option<Signing> {
    let section = root.table("auth");
    let audience = section.texts("audience").into_iter().next();
    let of = |entry: &Reader<'_>| {
        let secret = entry.secret("secret")?;
        let algorithm = *hmacs(entry, &secret).first()?;
        Some(Signing {
            secret,
            algorithm,
            issuer: entry.text("issuer"),
            audience: audience.clone(),
        })
    };
    of(&section).or_else(|| section.items("issuer").iter().find_map(of))
}

/// The key sources of `[auth]` or of one `[[auth.issuer]]`, those that are good. `strict`: strangers
/// can reach the edge, so a secret that could be guessed is refused.
fn sources(entry: &Reader<'_>, strict: bool) -> Vec<IssuerConfig> {
    let mut found = Vec::new();
    if let Some(secret) = entry.secret("secret") {
        let keys = KeySource::Secret(secret.expose().as_bytes().to_vec());
        let algorithms = hmacs(entry, &secret);
        if strict && secret.expose().len() < SECRET_BYTES {
            let length = secret.expose().len();
            entry.refuse(
                "secret",
                format!(
                    "is {length} bytes long and could be guessed: at least {SECRET_BYTES} are \
                     needed (RFC 7518, 3.2) where the edge listens beyond this machine"
                ),
            );
        }
        found.push(("secret", algorithms, keys));
    }
    let public = listed(entry)
        .into_iter()
        .filter(|one| !is_hmac(*one))
        .collect::<Vec<_>>();
    if let Some(text) = entry.file("public_key_file") {
        found.push(("public_key_file", public.clone(), KeySource::Pem(text)));
    }
    if let Some(url) = entry.text("jwks_url") {
        found.push(("jwks_url", public, KeySource::Jwks { url }));
    }
    let restricted = !entry.texts("algorithms").is_empty();
    let issuer = entry.text("issuer");
    let checked = found.into_iter().filter_map(|(name, algorithms, keys)| {
        if restricted && algorithms.is_empty() {
            entry.refuse(name, "none of its algorithms fits this key");
            return None;
        }
        let source = IssuerConfig {
            issuer: issuer.clone(),
            algorithms,
            keys,
        };
        checked(entry, name, source)
    });
    checked.collect()
}

/// Lets `source` through if auth takes it; otherwise says why not, at the setting `name`.
fn checked(entry: &Reader<'_>, name: &str, source: IssuerConfig) -> Option<IssuerConfig> {
    let alone = auth::Config {
        issuers: vec![source.clone()],
        ..auth::Config::default()
    };
    let problems = alone.problems();
    for problem in &problems {
        let message = match problem {
            AuthConfigError::Key { source, .. } => source.to_string(),
            AuthConfigError::Algorithms { fitting, .. } => {
                format!("none of its algorithms fits this key, which takes {fitting}")
            }
            AuthConfigError::Url { .. } => {
                "must be an http or https address with a host and without a user name".to_owned()
            }
            other => other.to_string(),
        };
        entry.refuse(name, message);
    }
    problems.is_empty().then_some(source)
}

/// What `algorithms` lists.
fn listed(entry: &Reader<'_>) -> Vec<Algorithm> {
    entry
        .texts("algorithms")
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn is_hmac(algorithm: Algorithm) -> bool {
    HMACS.iter().any(|(hmac, _)| *hmac == algorithm)
}

/// The algorithms that `secret` is used with: those listed, or else those it is as long as.
fn hmacs(entry: &Reader<'_>, secret: &Secret) -> Vec<Algorithm> {
    let listed = listed(entry);
    if !entry.texts("algorithms").is_empty() {
        return listed.into_iter().filter(|one| is_hmac(*one)).collect();
    }
    let length = secret.expose().len();
    let fitting = HMACS.iter().filter(|(_, needed)| length >= *needed);
    let fitting: Vec<_> = fitting.map(|(hmac, _)| *hmac).collect();
    if fitting.is_empty() {
        return vec![Algorithm::HS256];
    }
    fitting
}
