//! A token's claims (RFC 7519 and our own): read strictly, then held against the settings.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::json::{self, Object};
use super::{AuthError, Capabilities, Config, Fingerprint, Grant, Presented};
use crate::channel::ChannelName;

/// Most channels that a token subscribes.
pub const MAX_TOKEN_CHANNELS: usize = 256;

/// What a token says, well formed but not believed yet.
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    audience: Option<Vec<String>>,
    expires_at: u64,
    not_before: Option<u64>,
    issued_at: Option<u64>,
    subject: Option<String>,
    token_id: Option<String>,
    channels: Vec<ChannelName>,
    capabilities: Capabilities,
    info: Option<Box<RawValue>>,
}

impl Claims {
    /// Reads the claims' JSON.
    pub(super) fn parse(json: &str) -> Result<Self, AuthError> {
        let why = "its claims are not a JSON object with unique names";
        let object = Object::parse(json).ok_or(AuthError::Malformed { why })?;
        let expires_at = time(&object, "exp")?;
        let caps = object.get("caps").map(Capabilities::parse).transpose();
        Ok(Self {
            issuer: text(&object, "iss")?,
            audience: object.get("aud").map(audience).transpose()?,
            expires_at: expires_at.ok_or(bad("exp", "is missing"))?,
            not_before: time(&object, "nbf")?,
            issued_at: time(&object, "iat")?,
            subject: identity(&object, "sub")?,
            token_id: identity(&object, "jti")?,
            channels: object
                .get("channels")
                .map(channels)
                .transpose()?
                .unwrap_or_default(),
            capabilities: caps.map_err(|why| bad("caps", why))?.unwrap_or_default(),
            info: object
                .get("info")
                .filter(|info| info.get() != "null")
                .map(ToOwned::to_owned),
        })
    }

    /// Holds the claims against `config`; `now` is Unix time. That the token has expired is said
    /// last: it is the one refusal that a fresh token of the same kind would mend.
    pub(super) fn check(&self, config: &Config, now: Duration) -> Result<(), AuthError> {
        let named = |names: &Vec<String>| names.iter().any(|name| config.audience.contains(name));
        let meant_for_us = match &self.audience {
            Some(names) => named(names),
            None => config.audience.is_empty(),
        };
        if !meant_for_us {
            return Err(AuthError::Audience);
        }
        self.check_lifetime(config.max_token_lifetime, now)?;
        for (claim, time) in [("nbf", self.not_before), ("iat", self.issued_at)] {
            let ahead = Duration::from_secs(time.unwrap_or(0)).saturating_sub(now);
            if ahead > config.leeway {
                return Err(AuthError::TooEarly {
                    claim,
                    seconds: ahead.as_secs() + u64::from(ahead.subsec_nanos() > 0),
                });
            }
        }
        let expires = Duration::from_secs(self.expires_at);
        if now >= expires.saturating_add(config.leeway) {
            return Err(AuthError::Expired {
                seconds: now.saturating_sub(expires).as_secs(),
            });
        }
        Ok(())
    }

    fn check_lifetime(&self, limit: Duration, now: Duration) -> Result<(), AuthError> {
        let start = self.issued_at.map_or(now, Duration::from_secs);
        let lifetime = Duration::from_secs(self.expires_at).saturating_sub(start);
        if lifetime <= limit {
            return Ok(());
        }
        Err(AuthError::Lifetime {
            seconds: lifetime.as_secs(),
            limit: limit.as_secs(),
        })
    }

    /// What the claims grant, once they are believed.
    pub(super) fn into_grant(
        self,
        fingerprint: Fingerprint,
        presented: Option<Arc<Presented>>,
    ) -> Grant {
        Grant {
            subject: self.subject.map(Into::into),
            token_id: self.token_id.map(Into::into),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            channels: self.channels,
            capabilities: self.capabilities,
            info: self.info,
            fingerprint,
            presented,
        }
    }
}

const fn bad(claim: &'static str, why: &'static str) -> AuthError {
    AuthError::Claim { claim, why }
}

fn text(object: &Object<'_>, claim: &'static str) -> Result<Option<String>, AuthError> {
    let value = object
        .get(claim)
        .map(|value| json::string(value).ok_or(bad(claim, "is not a string")));
    value.transpose()
}

/// A name that the token goes by. An empty one could not be revoked: there it means none.
fn identity(object: &Object<'_>, claim: &'static str) -> Result<Option<String>, AuthError> {
    match text(object, claim)? {
        Some(name) if name.is_empty() => Err(bad(claim, "is empty")),
        name => Ok(name),
    }
}

fn time(object: &Object<'_>, claim: &'static str) -> Result<Option<u64>, AuthError> {
    let why = "is not a positive integer";
    object
        .get(claim)
        .map(|value| json::integer(value).ok_or(bad(claim, why)))
        .transpose()
}

fn audience(value: &RawValue) -> Result<Vec<String>, AuthError> {
    let one = json::string(value).map(|name| vec![name]);
    one.or_else(|| json::strings(value))
        .ok_or(bad("aud", "is neither a string nor an array of them"))
}

fn channels(value: &RawValue) -> Result<Vec<ChannelName>, AuthError> {
    let names = json::strings(value).ok_or(bad("channels", "is not an array of strings"))?;
    if names.len() > MAX_TOKEN_CHANNELS {
        return Err(bad("channels", "names more channels than a token may"));
    }
    let mut channels: Vec<ChannelName> = Vec::with_capacity(names.len());
    for name in names {
        let name =
            ChannelName::parse(&name).map_err(|_| bad("channels", "holds a bad channel name"))?;
        if !channels.contains(&name) {
            channels.push(name);
        }
    }
    Ok(channels)
}

#[cfg(test)]
mod tests;
