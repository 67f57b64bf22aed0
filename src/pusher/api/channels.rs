//! What there is: channels with a subscriber, one of them, and who is on it.
//!
//! Users are counted at the broker, subscribers by this node's hub; a subscriber elsewhere is seen
//! once the hub can ask other nodes, here as in the control plane.

use serde_json::{Map, Value, json};

use super::super::Pusher;
use super::super::answer::Refused;
use super::info::Info;
use super::{channel_name, unavailable};
use crate::channel::{ChannelKind, ChannelName, Pattern};
use crate::protocol::pairs::Pairs;
use crate::session_id::SessionId;

/// No name of the server's own comes after it.
const LAST_OWN: &str = "#\u{10ffff}";
/// Members that are read at a time.
const ROWS: usize = 1_000;

impl Pusher {
    /// Channels with a subscriber whose names start with `filter_by_prefix`.
    pub(super) async fn list(&self, query: &Pairs) -> Result<Value, Refused> {
        let info = Info::parse(query.get("info"))?;
        let prefix = query.get("filter_by_prefix").unwrap_or_default();
        if info.user_count && !prefix.starts_with("presence-") {
            return Err(Refused::bad(
                "user_count may only be requested for presence channels - please supply \
                 filter_by_prefix beginning with presence-",
            ));
        }
        if info.cache {
            return Err(Refused::bad("cache may only be requested for one channel"));
        }
        let most = self.config.max_listed;
        // A prefix that no pattern may hold is one that no name starts with.
        let pattern = match Pattern::parse(&format!("{prefix}**")) {
            Ok(pattern) if !prefix.contains('*') => pattern,
            _ => return Ok(json!({ "channels": {} })),
        };
        let hub = self.services.node.hub();
        // The server's own names, of which there may be many, lie between some and all others.
        let mut found = hub.channels(Some(&pattern), "", most + 1);
        if let Some(own) = found.iter().position(|(name, _)| name.is_own()) {
            found.truncate(own);
            found.extend(hub.channels(Some(&pattern), LAST_OWN, most + 1));
        }
        if found.len() > most {
            return Err(Refused::bad(format!(
                "There are more than {most} channels (pusher.max_listed); narrow filter_by_prefix"
            )));
        }
        let mut channels = Map::new();
        for (name, _) in found {
            let told = self.attributes(&name, info).await?;
            channels.insert(name.to_string(), told.into());
        }
        Ok(json!({ "channels": channels }))
    }

    /// One channel.
    pub(super) async fn channel(&self, name: &str, query: &Pairs) -> Result<Value, Refused> {
        let name = channel_name(name)?;
        let info = Info::parse(query.get("info"))?;
        info.check(name.as_str())?;
        self.describe(&name, info).await
    }

    /// One channel as it was told of before there were attributes.
    pub(super) async fn stats(&self, name: &str) -> Result<Value, Refused> {
        let name = channel_name(name)?;
        let info = Info {
            user_count: true,
            subscription_count: true,
            cache: false,
        };
        self.describe(&name, info).await
    }

    async fn describe(&self, name: &ChannelName, info: Info) -> Result<Value, Refused> {
        let subscribers = self.services.node.hub().subscribers(name.as_str());
        let mut told = Map::new();
        told.insert("occupied".into(), (subscribers > 0).into());
        told.extend(self.attributes(name, info).await?);
        Ok(told.into())
    }

    /// Who is on a presence channel, each once.
    pub(super) async fn users(&self, name: &str) -> Result<Value, Refused> {
        let name = channel_name(name)?;
        if ChannelKind::of(name.as_str()) != ChannelKind::Presence {
            return Err(Refused::bad(
                "users can only be retrieved for presence channels",
            ));
        }
        let most = self.config.max_listed;
        let mut users = std::collections::BTreeSet::new();
        let mut after: Option<SessionId> = None;
        loop {
            let read = self.services.node.members(&name, after, ROWS).await;
            let read = read.map_err(|error| unavailable(&error))?;
            if read.total > most {
                return Err(Refused::bad(format!(
                    "There are more than {most} users (pusher.max_listed)"
                )));
            }
            let more = read.rows.len() == ROWS;
            after = read.rows.last().map(|row| row.session);
            users.extend(read.rows.into_iter().map(|row| row.subject));
            if !more {
                break;
            }
            // A broker that answers at once must not keep the deadline from being looked at.
            tokio::task::yield_now().await;
        }
        let users: Vec<Value> = users.iter().map(|id| json!({ "id": &**id })).collect();
        Ok(json!({ "users": users }))
    }
}
