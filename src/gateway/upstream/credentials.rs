//! What tells an upstream who asks. An anonymous caller has no credentials: the upstream sees none.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use moka::sync::Cache;
use serde_json::json;

use crate::auth::{self, Fingerprint, Grant, SigningKey};
use crate::clock::Now;
use crate::resource::{Caller, Credentials, Endpoint, FetchAs};

const SUBJECT: HeaderName = HeaderName::from_static("x-pogo-sub");
const CLAIMS: HeaderName = HeaderName::from_static("x-pogo-claims");
/// Tokens made for upstreams that are kept.
const MINTED: u64 = 10_000;
/// The longest that one is kept; never beyond half its life.
const KEPT: Duration = Duration::from_secs(30);

/// Why a caller's credentials cannot be shown to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCredentials {
    /// Its token was not kept: it is older than the endpoint.
    #[error("the token has to be presented again")]
    NotKept,
    /// Its subject cannot be written in a header without becoming another.
    #[error("the subject cannot be shown to the upstream")]
    Subject,
    /// No token can be made.
    #[error("no token can be made for the upstream")]
    Sign,
}

/// Makes tokens for upstreams, and keeps them a little.
#[derive(Debug)]
pub(super) struct Mint {
    minted: Cache<(Box<str>, Fingerprint), Minted>,
}

/// A token made for an upstream.
#[derive(Debug, Clone)]
struct Minted {
    made: tokio::time::Instant,
    keep: Duration,
    /// What it was made by.
    with: Arc<Credentials>,
    header: HeaderValue,
}

impl Mint {
    pub(super) fn new() -> Self {
        Self {
            minted: Cache::builder()
                .max_capacity(MINTED)
                .time_to_live(KEPT)
                .build(),
        }
    }

    pub(super) fn identity(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        reads: bool,
    ) -> Result<HeaderMap, NoCredentials> {
        let mut headers = HeaderMap::new();
        if let (true, FetchAs::Service(token)) = (reads, &endpoint.fetch_as) {
            if let Some(token) = token {
                headers.insert(AUTHORIZATION, bearer(token)?);
            }
            return Ok(headers);
        }
        let Some(grant) = &caller.grant else {
            return Ok(headers);
        };
        match &endpoint.auth {
            Credentials::None => {}
            Credentials::Bearer => {
                let token = grant.token().ok_or(NoCredentials::NotKept)?;
                headers.insert(AUTHORIZATION, bearer(token)?);
            }
            Credentials::Claims => {
                let claims = grant.claims().ok_or(NoCredentials::NotKept)?;
                let claims = URL_SAFE_NO_PAD.encode(claims.get());
                let claims = HeaderValue::try_from(claims).map_err(|_| NoCredentials::Subject)?;
                headers.insert(CLAIMS, claims);
                if let Some(subject) = &grant.subject {
                    headers.insert(SUBJECT, plain(subject)?);
                }
            }
            Credentials::Mint { .. } => {
                headers.insert(AUTHORIZATION, self.minted(endpoint, grant)?);
            }
        }
        Ok(headers)
    }

    fn minted(&self, endpoint: &Endpoint, grant: &Grant) -> Result<HeaderValue, NoCredentials> {
        let key = (endpoint.name.clone(), grant.fingerprint);
        if let Some(known) = self.minted.get(&key)
            && known.made.elapsed() < known.keep
            && *known.with == endpoint.auth
        {
            return Ok(known.header);
        }
        let Credentials::Mint {
            secret,
            audience,
            ttl,
        } = &endpoint.auth
        else {
            return Err(NoCredentials::Sign);
        };
        let base = endpoint.upstream.bases.first().map(ToString::to_string);
        let audience = audience.as_deref().or(base.as_deref()).unwrap_or_default();
        let header = bearer(&token(secret, audience, *ttl, grant)?)?;
        let minted = Minted {
            made: tokio::time::Instant::now(),
            keep: KEPT.min(*ttl / 2),
            with: Arc::new(endpoint.auth.clone()),
            header: header.clone(),
        };
        self.minted.insert(key, minted);
        Ok(header)
    }
}

/// A token for `audience` that ends with `ttl`, and never after the caller's own.
fn token(
    secret: &str,
    audience: &str,
    ttl: Duration,
    grant: &Grant,
) -> Result<String, NoCredentials> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| NoCredentials::Sign)?;
    let now = Now::read().unix.as_secs();
    let mut claims = json!({
        "iss": "pogo",
        "aud": audience,
        "iat": now,
        "exp": (now + ttl.as_secs().max(1)).min(grant.expires_at),
        "jti": URL_SAFE_NO_PAD.encode(id),
    });
    if let Some(subject) = &grant.subject {
        claims["sub"] = json!(**subject);
    }
    auth::sign(
        &claims.to_string(),
        SigningKey::Secret(secret.as_bytes()),
        None,
        None,
    )
    .map_err(|_| NoCredentials::Sign)
}

fn bearer(token: &str) -> Result<HeaderValue, NoCredentials> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| NoCredentials::Sign)?;
    value.set_sensitive(true);
    Ok(value)
}

/// `text` as a header that is read as just this: neither cut at its ends nor in another charset.
fn plain(text: &str) -> Result<HeaderValue, NoCredentials> {
    let is_plain = !text.is_empty()
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim() == text;
    let value = is_plain.then(|| HeaderValue::try_from(text).ok());
    value.flatten().ok_or(NoCredentials::Subject)
}
