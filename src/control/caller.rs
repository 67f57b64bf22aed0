//! Who calls and what it may do: named keys with scopes.
//!
//! Only hashes of secrets are kept, and a secret is looked up by its hash, so that the time an
//! answer takes says nothing about the secrets there are.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::channel::{ChannelName, Pattern, PatternError};

/// What a key allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `publish`, or `publish:<pattern>` for the channels that match only.
    Publish(Option<Pattern>),
    /// `channels`
    Channels,
    /// `sessions`
    Sessions,
    /// `firewall`
    Firewall,
    /// `endpoints`
    Endpoints,
    /// `events`
    Events,
    /// `admin`: everything.
    Admin,
}

/// The text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// None of the names.
    #[error(
        "a scope is publish, publish:<pattern>, channels, sessions, firewall, endpoints, events or admin"
    )]
    Unknown,
    /// What follows `publish:` is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Ok(match text {
            "publish" => Self::Publish(None),
            "channels" => Self::Channels,
            "sessions" => Self::Sessions,
            "firewall" => Self::Firewall,
            "endpoints" => Self::Endpoints,
            "events" => Self::Events,
            "admin" => Self::Admin,
            _ => {
                let pattern = text.strip_prefix("publish:").ok_or(ScopeError::Unknown)?;
                Self::Publish(Some(Pattern::parse(pattern)?))
            }
        })
    }
}

/// A named key. It holds its secret's SHA-256, not the secret.
#[derive(Clone)]
pub struct Key {
    name: Box<str>,
    hash: Hash,
    scopes: Vec<Scope>,
}

type Hash = [u8; 32];

fn hash(secret: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

impl Key {
    /// A key called `name` for whoever presents `secret`.
    pub fn new(name: impl Into<Box<str>>, secret: &str, scopes: Vec<Scope>) -> Self {
        Self {
            name: name.into(),
            hash: hash(secret.as_bytes()),
            scopes,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish()
    }
}

/// Who calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its name, which its idempotency keys belong to.
    pub(super) name: Box<str>,
    scopes: Vec<Scope>,
}

impl Caller {
    /// One that may do everything.
    pub(super) fn admin(name: &str) -> Self {
        Self {
            name: name.into(),
            scopes: vec![Scope::Admin],
        }
    }

    /// Whether some scope is `scope`, or `admin`. For publishing any pattern will do; which
    /// channels it allows is [`Self::may_publish`].
    pub(super) fn has(&self, scope: &Scope) -> bool {
        let publish = matches!(scope, Scope::Publish(_));
        self.scopes.iter().any(|own| {
            *own == Scope::Admin || own == scope || (publish && matches!(own, Scope::Publish(_)))
        })
    }

    /// Whether it may publish on `channel`.
    pub(super) fn may_publish(&self, channel: &ChannelName) -> bool {
        self.scopes.iter().any(|own| match own {
            Scope::Admin | Scope::Publish(None) => true,
            Scope::Publish(Some(pattern)) => pattern.matches(channel.as_str()),
            _ => false,
        })
    }
}

/// The keys in force.
#[derive(Debug, Default)]
pub(super) struct Keys {
    callers: HashMap<Hash, Arc<Caller>>,
    /// Who calls without a key, where there are none.
    anyone: Option<Arc<Caller>>,
}

impl Keys {
    /// `keys`; without any and with `open` everyone may do everything.
    pub(super) fn new(keys: Vec<Key>, open: bool) -> Self {
        let anyone = (keys.is_empty() && open).then(|| Arc::new(Caller::admin("anyone")));
        let callers = keys
            .into_iter()
            .map(|Key { name, hash, scopes }| (hash, Arc::new(Caller { name, scopes })))
            .collect();
        Self { callers, anyone }
    }

    /// Whose secret this is.
    pub(super) fn find(&self, secret: &[u8]) -> Option<&Arc<Caller>> {
        self.callers.get(&hash(secret))
    }

    /// Who calls without a credential, where that is allowed.
    pub(super) fn anyone(&self) -> Option<&Arc<Caller>> {
        self.anyone.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Vec<Scope> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn scopes_are_read_by_name() {
        for good in [
            "publish",
            "publish:news-*",
            "channels",
            "sessions",
            "firewall",
            "endpoints",
            "events",
            "admin",
        ] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        for bad in ["", "Publish", "publish:", "publish:a b", "admin:x", "nodes"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_leads_to_its_own_scopes() {
        let keys = Keys::new(
            vec![
                Key::new("news", "one", scopes(&["publish:news-*", "events"])),
                Key::new("ops", "two", scopes(&["admin"])),
            ],
            true,
        );
        assert!(
            keys.anyone().is_none(),
            "there are keys, so nobody comes without one"
        );
        assert!(keys.find(b"three").is_none());
        let news = keys.find(b"one").unwrap();
        assert_eq!(&*news.name, "news");
        assert!(news.has(&Scope::Publish(None)) && news.has(&Scope::Events));
        assert!(!news.has(&Scope::Channels) && !news.has(&Scope::Admin));
        assert!(news.may_publish(&ChannelName::parse("news-1").unwrap()));
        assert!(!news.may_publish(&ChannelName::parse("sport").unwrap()));
        let ops = keys.find(b"two").unwrap();
        assert!(ops.has(&Scope::Endpoints) && ops.may_publish(&ChannelName::parse("x").unwrap()));
    }

    #[test]
    fn without_keys_it_is_open_only_where_that_was_said() {
        assert!(Keys::new(vec![], true).anyone().is_some());
        assert!(Keys::new(vec![], false).anyone().is_none());
    }

    #[test]
    fn a_key_does_not_print_its_secret() {
        let key = Key::new("ops", "hunter2", scopes(&["admin"]));
        let printed = format!("{key:?}");
        assert!(
            printed.contains("ops") && !printed.contains("hunter2") && !printed.contains("hash")
        );
    }
}
