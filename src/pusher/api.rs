//! Pusher's HTTP API: `/apps/{id}/…`, signed by the app. Bodies and texts of errors are those that
//! Pusher's own libraries and their tests look for.
//!
//! | request | does |
//! |---|---|
//! | `POST events` | publishes one event on up to 100 channels |
//! | `POST batch_events` | publishes up to 10 events, none of them if one is not in order |
//! | `GET channels` | lists channels that have a subscriber |
//! | `GET channels/{c}` | tells of one |
//! | `GET channels/{c}/users` | lists who is on a presence channel |
//! | `POST users/{u}/terminate_connections` | closes the sessions signed in as a user |
//! | `POST channels/{c}/events`, `GET channels/{c}/stats` | older forms of these |

mod channels;
mod events;
mod info;
mod signature;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Pusher;
use super::answer::{self, Refused};
use crate::auth::pusher::App;
use crate::broker::BrokerError;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::CloseCode;
use crate::hub::{SessionAction, SessionFilter};
use crate::protocol::pairs::{Pairs, Plus, unescape};
use crate::protocol::pusher::excerpt;

/// Longest channel name in bytes. Pusher documents 164 and its libraries let 200 through.
const MAX_CHANNEL_BYTES: usize = 200;

impl Pusher {
    /// Answers a request for `place` (the path below the app) of the app `id`, or of the one that
    /// its `auth_key` names.
    pub(super) async fn api(
        &self,
        request: &Request<Bytes>,
        id: Option<&str>,
        place: &str,
    ) -> Response<Bytes> {
        match self.call(request, id, place).await {
            Ok(answer) => answer,
            Err(refused) => refused.answer(),
        }
    }

    async fn call(
        &self,
        request: &Request<Bytes>,
        id: Option<&str>,
        place: &str,
    ) -> Result<Response<Bytes>, Refused> {
        let query = request.uri().query().unwrap_or_default();
        let query = Pairs::read(query, Plus::Itself)
            .ok_or_else(|| Refused::bad("The query is no UTF-8"))?;
        let app = self.app_of(id, &query)?;
        let query = signature::check(&app, request, query, Now::read().unix.as_secs())?;
        self.route(request, &query, place).await
    }

    /// The app that the path names, or else the one whose key this is.
    fn app_of(&self, id: Option<&str>, query: &Pairs) -> Result<Arc<App>, Refused> {
        let apps = self.services.shared.apps.load();
        let unknown = || Refused::new(StatusCode::NOT_FOUND, "Unknown app");
        match (id, query.get("auth_key")) {
            (Some(id), _) => apps.by_id(id).cloned().ok_or_else(unknown),
            (None, Some(key)) => apps
                .by_key(key)
                .cloned()
                .ok_or_else(|| signature::unknown_key(key)),
            (None, None) => Err(Refused::unauthorized("auth_key is missing")),
        }
    }

    async fn route(
        &self,
        request: &Request<Bytes>,
        query: &Pairs,
        place: &str,
    ) -> Result<Response<Bytes>, Refused> {
        let body = request.body();
        let parts: Vec<&str> = place.split('/').collect();
        let (method, value) = match *parts {
            ["events"] => (Method::POST, None),
            ["batch_events"] => (Method::POST, None),
            ["channels"] => (Method::GET, None),
            ["channels", name] => (Method::GET, Some(name)),
            ["channels", name, "users" | "stats"] => (Method::GET, Some(name)),
            ["channels", name, "events"] => (Method::POST, Some(name)),
            ["users", user, "terminate_connections"] => (Method::POST, Some(user)),
            _ => return Err(Refused::not_found()),
        };
        if *request.method() != method {
            let allow = if method == Method::GET { "GET" } else { "POST" };
            return Err(Refused::method(allow));
        }
        let value = value.map(|value| unescape(value, Plus::Itself));
        let value = value.map_or(Ok(String::new()), |value| {
            value.ok_or_else(|| Refused::bad("The path is no UTF-8"))
        })?;
        let answer = match *parts {
            ["events"] => self.publish(body).await?,
            ["batch_events"] => self.publish_batch(body).await?,
            ["channels"] => self.list(query).await?,
            ["channels", _] => self.channel(&value, query).await?,
            ["channels", _, "users"] => self.users(&value).await?,
            ["channels", _, "stats"] => self.stats(&value).await?,
            ["channels", _, _] => return self.publish_as_before(&value, query, body).await,
            _ => self.terminate(&value).await?,
        };
        Ok(answer::json(&answer))
    }

    /// Closes the sessions that are signed in as `user`, with 4009.
    async fn terminate(&self, user: &str) -> Result<Value, Refused> {
        ChannelName::signed_in(user)
            .map_err(|why| Refused::bad(format!("Invalid user id: {why}")))?;
        let filter = SessionFilter {
            user: Some(user.into()),
            ..SessionFilter::default()
        };
        // Nobody waits for it: what cannot be confirmed at once is under way all the same.
        let closing = SessionAction::Close(CloseCode::Revoked);
        let sessions = self.services.node.act(filter, closing).await;
        tracing::debug!(sessions, "a user's connections were terminated");
        Ok(json!({}))
    }
}

/// A channel that Pusher knows: its own alphabet, or a signed-in user's.
fn channel_name(name: &str) -> Result<ChannelName, Refused> {
    let own = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte);
    let in_order = name.len() <= MAX_CHANNEL_BYTES && name.bytes().all(own);
    let parsed = ChannelName::parse_pusher(name).ok();
    parsed
        .filter(|parsed| in_order || parsed.is_own())
        .ok_or_else(|| {
            let shown = excerpt(name, MAX_CHANNEL_BYTES);
            Refused::bad(format!("Invalid channel name: {shown}"))
        })
}

fn unavailable(error: &BrokerError) -> Refused {
    tracing::warn!(%error, "a request of Pusher's API failed");
    Refused::unavailable("This cannot be done at present; try again")
}
