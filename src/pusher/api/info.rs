//! What a caller wants to know of channels (`info=user_count,subscription_count,cache`), and what
//! there is to tell.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::Pusher;
use super::super::answer::Refused;
use super::unavailable;
use crate::broker::HistoryQuery;
use crate::channel::{ChannelKind, ChannelName};
use crate::clock::Now;
use crate::publication::Form;

/// Attributes of channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) user_count: bool,
    pub(super) subscription_count: bool,
    pub(super) cache: bool,
}

impl Info {
    /// Reads a list of attributes; nothing, or an empty one: none.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Refused> {
        let mut info = Self::default();
        let names = text.unwrap_or_default().split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            match name {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                _ => {
                    return Err(Refused::bad(
                        "info may name user_count, subscription_count and cache",
                    ));
                }
            }
        }
        Ok(info)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether `channel` has what is asked for.
    pub(super) fn check(self, channel: &str) -> Result<(), Refused> {
        if self.user_count && ChannelKind::of(channel) != ChannelKind::Presence {
            return Err(Refused::bad(
                "user_count may only be requested for presence channels",
            ));
        }
        if self.cache && !ChannelKind::is_cache(channel) {
            return Err(Refused::bad(
                "cache may only be requested for cache channels",
            ));
        }
        Ok(())
    }
}

impl Pusher {
    /// What is asked for of `channel`, as far as it has it.
    pub(super) async fn attributes(
        &self,
        channel: &ChannelName,
        info: Info,
    ) -> Result<Map<String, Value>, Refused> {
        let node = &self.services.node;
        let mut told = Map::new();
        if info.user_count && ChannelKind::of(channel.as_str()) == ChannelKind::Presence {
            let members = node.members(channel, None, 0).await;
            let members = members.map_err(|error| unavailable(&error))?;
            told.insert("user_count".into(), members.total.into());
        }
        if info.subscription_count {
            let subscribers = node.hub().subscribers(channel.as_str());
            told.insert("subscription_count".into(), subscribers.into());
        }
        if info.cache && ChannelKind::is_cache(channel.as_str()) {
            told.insert("cache".into(), self.cached(channel).await?);
        }
        Ok(told)
    }

    /// The last event of a cache channel and how many seconds it stays; null: there is none.
    async fn cached(&self, channel: &ChannelName) -> Result<Value, Refused> {
        let query = HistoryQuery {
            limit: 1,
            reverse: true,
            from: None,
        };
        let page = self.services.node.history(channel, query).await;
        let page = page.map_err(|error| unavailable(&error))?;
        let Some(last) = page.publications.into_iter().next() else {
            return Ok(Value::Null);
        };
        let rules = self.services.shared.rules.load();
        let kept = rules.of(channel.as_str()).history;
        let lifetime = kept.map(|kept| kept.ttl).unwrap_or_default();
        let now = Now::read();
        let age = Duration::from_millis(now.unix_ms().saturating_sub(last.time));
        let mut left = lifetime.saturating_sub(age);
        if let Some(expires) = last.expires {
            left = left.min(expires.saturating_duration_since(now.instant));
        }
        let data = match last.form {
            Form::Text => serde_json::from_slice(&last.data).unwrap_or_default(),
            Form::Json | Form::Client | Form::Count => {
                String::from_utf8_lossy(&last.data).into_owned()
            }
        };
        Ok(json!({ "data": data, "ttl": left.as_secs().max(1) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_and_belong_to_their_channels() {
        let parse = |text| Info::parse(Some(text));
        assert_eq!(Info::parse(None), Ok(Info::default()));
        assert!(parse("").unwrap().is_empty());
        let both = parse("user_count, subscription_count").unwrap();
        assert!(both.user_count && both.subscription_count && !both.cache);
        assert!(parse("user_count,color").is_err());
        assert!(both.check("presence-a").is_ok());
        assert!(both.check("private-a").is_err());
        let cache = parse("cache").unwrap();
        assert!(cache.check("private-cache-a").is_ok());
        assert!(cache.check("a").is_err());
    }
}
