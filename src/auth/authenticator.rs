//! Tokens in, grants out.
//!
//! The order: form, then the issuer (by its exact `iss`), then the signature by that issuer's keys
//! alone, then what the claims say. Nothing that a token says leads to a request: key sets come
//! from configured addresses, and only for a token whose claims would hold.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::claims::Claims;
use super::config::{fixed_key, key_set_address};
use super::fetch::Fetcher;
use super::jwks::{Source, Wait};
use super::key::VerifyKey;
use super::token::Token;
use super::{
    AuthConfigError, AuthError, Config, Grant, IssuerConfig, KeySource, Presented, Revocations,
};
use crate::clock::Now;

/// Checks tokens.
#[derive(Debug)]
pub struct Authenticator {
    issuers: ArcSwap<Issuers>,
    runtime: OnceLock<Handle>,
    keeps_tokens: OnceLock<KeepsTokens>,
}

/// A configuration with its keys.
#[derive(Debug)]
struct Issuers {
    config: Config,
    keys: Vec<Keys>,
    fetcher: Option<Fetcher>,
}

/// Whether grants hold the token itself.
struct KeepsTokens(Box<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for KeepsTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeepsTokens")
    }
}

#[derive(Debug)]
enum Keys {
    Fixed(Box<VerifyKey>),
    Fetched(Arc<Source>),
}

impl Authenticator {
    /// Reads the keys in `config`. Key sets are fetched after [`Self::start`].
    ///
    /// # Errors
    /// The first of [`Config::problems`], or the system's certificate authorities cannot be read.
    pub fn new(config: Config) -> Result<Self, AuthConfigError> {
        let issuers = ArcSwap::from_pointee(Issuers::new(config, None)?);
        Ok(Self {
            issuers,
            runtime: OnceLock::new(),
            keeps_tokens: OnceLock::new(),
        })
    }

    /// While `wanted` says so, grants hold the token itself, for upstreams that shall see it.
    /// Called at start, once.
    pub fn keep_tokens_while(&self, wanted: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.keeps_tokens.set(KeepsTokens(Box::new(wanted)));
    }

    /// Starts fetching key sets on `runtime`, now and at their interval. A first fetch that fails
    /// is only logged: until one succeeds, tokens of that source are refused.
    pub fn start(&self, runtime: &Handle) {
        let _ = self.runtime.set(runtime.clone());
        self.issuers.load().start(runtime);
    }

    /// Changes the configuration. A source that stays keeps the keys that it has fetched.
    ///
    /// # Errors
    /// As [`Self::new`]; then nothing has changed.
    pub fn reload(&self, config: Config) -> Result<(), AuthConfigError> {
        let issuers = Issuers::new(config, Some(&self.issuers.load()))?;
        if let Some(runtime) = self.runtime.get() {
            issuers.start(runtime);
        }
        self.issuers.store(Arc::new(issuers));
        Ok(())
    }

    /// [`Self::authenticate`], and then whether the token is revoked.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn authenticate_unrevoked(
        &self,
        token: &str,
        now: Now,
        revocations: &Revocations,
    ) -> Result<Grant, AuthError> {
        let grant = self.authenticate(token, now).await?;
        revocations.check(&grant)?;
        Ok(grant)
    }

    /// Checks `token`: what it grants. Ready at the first poll unless a key set has to be fetched
    /// for it; then it waits for that one fetch, at most `jwks.timeout`, on no particular runtime.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn authenticate(&self, token: &str, now: Now) -> Result<Grant, AuthError> {
        let started = Instant::now();
        let issuers = self.issuers.load_full();
        let (text, token) = (token, Token::parse(token)?);
        let claims = Claims::parse(&token.claims)?;
        let issuer = claims.issuer.as_deref();
        let verdict = claims.check(&issuers.config, now.unix);
        let signed = issuers.check(&token, issuer, now.instant);
        match (signed, verdict) {
            (Ok(()), verdict) => verdict?,
            // No fetch for a token that its own claims refuse.
            (Err(refused), Err(_)) => return Err(refused),
            (Err(refused), Ok(())) => {
                for wait in issuers.refresh(&token, issuer, now.instant, refused)? {
                    wait.over().await;
                }
                let waited = started.elapsed();
                issuers.check(&token, issuer, now.instant + waited)?;
                claims.check(&issuers.config, now.unix + waited)?;
            }
        }
        let keeps = self.keeps_tokens.get().is_some_and(|keeps| keeps.0());
        let presented = keeps.then(|| {
            // What has been parsed is JSON.
            let claims = RawValue::from_string(token.claims.clone()).ok()?;
            let token = text.into();
            Some(Arc::new(Presented { token, claims }))
        });
        Ok(claims.into_grant(token.fingerprint(), presented.flatten()))
    }
}

impl Issuers {
    fn new(config: Config, old: Option<&Self>) -> Result<Self, AuthConfigError> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(problem);
        }
        let mut keys: Vec<Keys> = Vec::with_capacity(config.issuers.len());
        for (entry, settings) in config.issuers.iter().enumerate() {
            let fixed = fixed_key(&settings.keys);
            keys.push(
                match fixed.map_err(|source| AuthConfigError::Key { entry, source })? {
                    Some(key) => {
                        if key.is_weak() {
                            tracing::warn!(
                                entry,
                                "a token secret of less than 32 bytes can be guessed"
                            );
                        }
                        Keys::Fixed(Box::new(key))
                    }
                    None => {
                        let same = config
                            .issuers
                            .iter()
                            .zip(&keys)
                            .find_map(|(other, keys)| keys.of(other, settings));
                        Keys::Fetched(same.map_or_else(|| source(&config, entry, old), Ok)?)
                    }
                },
            );
        }
        let https = |one: &IssuerConfig| matches!(&one.keys, KeySource::Jwks { url } if url.starts_with("https:"));
        let fetched = keys.iter().any(|one| matches!(one, Keys::Fetched(_)));
        let fetcher = if config.issuers.iter().any(https) {
            Some(Fetcher::native().map_err(AuthConfigError::Roots)?)
        } else if fetched {
            Some(Fetcher::trusting(RootCertStore::empty()).map_err(AuthConfigError::Roots)?)
        } else {
            None
        };
        Ok(Self {
            config,
            keys,
            fetcher,
        })
    }

    fn start(&self, runtime: &Handle) {
        for keys in &self.keys {
            if let (Keys::Fetched(source), Some(fetcher)) = (keys, &self.fetcher) {
                source.start(runtime, fetcher);
            }
        }
    }

    /// The entries for a token: those that name its issuer; if none does, those that name none.
    fn chosen(&self, issuer: Option<&str>) -> impl Iterator<Item = (&IssuerConfig, &Keys)> {
        let entries = || self.config.issuers.iter().zip(&self.keys);
        let named = entries().any(|(entry, _)| entry.issuer.as_deref() == issuer);
        let name = issuer.filter(|_| named).map(ToOwned::to_owned);
        entries().filter(move |(entry, _)| entry.issuer == name)
    }

    /// Whether a key of the issuer signed `token`. Of several refusals the most telling is given.
    fn check(
        &self,
        token: &Token<'_>,
        issuer: Option<&str>,
        now: Instant,
    ) -> Result<(), AuthError> {
        let mut refused = AuthError::Issuer;
        for (entry, keys) in self.chosen(issuer) {
            match keys.check(entry, token, now) {
                Ok(()) => return Ok(()),
                Err(error) if rank(&error) > rank(&refused) => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// Asks the sources that may have got the token's key since; the fetches to wait for.
    fn refresh(
        &self,
        token: &Token<'_>,
        issuer: Option<&str>,
        now: Instant,
        refused: AuthError,
    ) -> Result<Vec<Wait>, AuthError> {
        let mut hopeless = true;
        let mut waits = Vec::new();
        for (entry, keys) in self.chosen(issuer) {
            let Keys::Fetched(source) = keys else {
                continue;
            };
            match keys.check(entry, token, now) {
                Err(AuthError::KeysUnavailable) => {}
                Err(AuthError::UnknownKey) if token.key_id.is_some() => {}
                _ => continue,
            }
            hopeless = false;
            waits.extend(source.refresh(now)?);
        }
        if hopeless { Err(refused) } else { Ok(waits) }
    }
}

impl Keys {
    fn check(
        &self,
        entry: &IssuerConfig,
        token: &Token<'_>,
        now: Instant,
    ) -> Result<(), AuthError> {
        if !entry.allows(token.algorithm) {
            return Err(AuthError::Algorithm);
        }
        match self {
            Self::Fetched(source) => source.check(token, now),
            Self::Fixed(key) if key.verifies(token) => Ok(()),
            Self::Fixed(key) if key.algorithms().contains(&token.algorithm) => {
                Err(AuthError::Signature)
            }
            Self::Fixed(_) => Err(AuthError::Algorithm),
        }
    }

    /// The source behind these keys of `entry`, if `other` means the same one.
    fn of(&self, entry: &IssuerConfig, other: &IssuerConfig) -> Option<Arc<Source>> {
        match self {
            Self::Fetched(source) if entry.issuer == other.issuer && entry.keys == other.keys => {
                Some(Arc::clone(source))
            }
            _ => None,
        }
    }
}

/// The source for an entry that has an address: the old one if nothing about it has changed.
fn source(
    config: &Config,
    entry: usize,
    old: Option<&Issuers>,
) -> Result<Arc<Source>, AuthConfigError> {
    let settings = &config.issuers[entry];
    let uri = match &settings.keys {
        KeySource::Jwks { url } => key_set_address(url),
        KeySource::Secret(_) | KeySource::Pem(_) => None,
    };
    let uri = uri.ok_or(AuthConfigError::Url { entry })?;
    let before = old.and_then(|old| {
        let mut entries = old.config.issuers.iter().zip(&old.keys);
        let found = entries.find_map(|(before, keys)| keys.of(before, settings));
        found.map(|source| (source, old.config.jwks == config.jwks))
    });
    Ok(match before {
        Some((source, true)) => source,
        Some((before, false)) => {
            let source = Source::new(uri, config.jwks.clone());
            source.inherit(&before);
            Arc::new(source)
        }
        None => Arc::new(Source::new(uri, config.jwks.clone())),
    })
}

/// How much a refusal by one of several keys says about the token.
const fn rank(refused: &AuthError) -> u8 {
    match refused {
        AuthError::KeysUnavailable => 4,
        AuthError::Signature => 3,
        AuthError::UnknownKey => 2,
        AuthError::Algorithm => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
