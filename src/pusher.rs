//! Pusher's side over plain HTTP: what is asked of it, one request and one answer, and what it
//! tells.
//!
//! | module | what |
//! |---|---|
//! | `api` | what applications' backends call: `/apps/{id}/…` |
//! | `authorize` | a Pogo token becomes a Pusher signature: `/pusher/auth`, `/pusher/user-auth` |
//! | [`webhook`] | what happens on channels, told to the apps' services |
//!
//! Nothing here knows sockets: `server` joins it to the edge, which has bounded the request and
//! counted it for its address (`limits.requests`; a backend that publishes much belongs into
//! `limits.allow`, which exempts it). There is no rate for an app. An answer ends its connection.

mod answer;
mod api;
mod authorize;
pub mod webhook;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::auth::Authenticator;
use crate::limits::Limits;
use crate::metrics::RequestLabels;
use crate::node::Node;
use crate::session::Shared;

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cookie that may hold a token (`auth.cookie`).
    pub cookie: Option<Box<str>>,
    /// Most channels, or users of a channel, that one answer lists (`pusher.max_listed`).
    pub max_listed: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cookie: None,
            max_listed: 10_000,
        }
    }
}

/// What it works with.
#[derive(Clone)]
#[allow(missing_docs, reason = "each is its type")]
pub struct Services {
    pub node: Arc<Node>,
    pub authenticator: Arc<Authenticator>,
    pub limits: Arc<Limits>,
    pub shared: Arc<Shared>,
}

/// Answers Pusher's plain HTTP.
pub struct Pusher {
    config: Config,
    services: Services,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the page that asks may read the answer (CORS).
    pub may_read: bool,
    /// Whether what the browser sends along by itself, a cookie, counts. Only where `may_read`.
    pub with_cookies: bool,
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    /// `/pusher/auth`
    Channel,
    /// `/pusher/user-auth`
    User,
    /// `/apps/{id}/…`: the id, and the rest without its first `/`.
    App(&'a str, &'a str),
    /// `/users/{id}/terminate_connections`, as pusher-http-python calls it: without the app, which
    /// the request's `auth_key` names.
    Terminate(&'a str),
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/apps/") {
            let (id, rest) = rest.split_once('/')?;
            return Some(Self::App(id, rest));
        }
        if let Some(rest) = path.strip_prefix("/users/") {
            let user = rest.strip_suffix("/terminate_connections")?;
            return (!user.contains('/')).then_some(Self::Terminate(user));
        }
        match path {
            "/pusher/auth" => Some(Self::Channel),
            "/pusher/user-auth" => Some(Self::User),
            _ => None,
        }
    }

    /// What metrics call it; of what strangers make up there is one.
    fn label(self) -> &'static str {
        match self {
            Self::Channel => "auth",
            Self::User => "user_auth",
            Self::Terminate(_) => "users",
            Self::App(_, rest) => match rest.split('/').next() {
                Some("events") => "events",
                Some("batch_events") => "batch_events",
                Some("channels") => "channels",
                Some("users") => "users",
                _ => "other",
            },
        }
    }
}

impl Pusher {
    /// With these settings and parts; nothing happens until it is asked.
    pub fn new(config: Config, services: Services) -> Self {
        let metrics = services.node.hub().metrics();
        metrics.set_bound("pusher.max_listed", config.max_listed);
        Self { config, services }
    }

    /// Whether `path` is one of Pusher's. None is while no app is configured.
    pub fn has(&self, path: &str) -> bool {
        Place::of(path).is_some() && !self.services.shared.apps.load().is_empty()
    }

    /// Answers a request for one of its paths.
    pub async fn answer(&self, request: Request<Bytes>, visitor: Visitor) -> Response<Bytes> {
        let Some(place) = Place::of(request.uri().path()) else {
            return answer::Refused::not_found().answer();
        };
        let answer = match place {
            Place::Channel | Place::User => self.authorize(&request, place, visitor).await,
            Place::App(id, rest) => self.api(&request, Some(id), rest).await,
            Place::Terminate(_) => {
                let path = request.uri().path().trim_start_matches('/');
                self.api(&request, None, path).await
            }
        };
        let labels = RequestLabels {
            place: place.label(),
            status: answer.status().as_u16(),
        };
        let metrics = self.services.node.hub().metrics();
        metrics.pusher_requests.get_or_create(&labels).inc();
        answer
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        for (path, place) in [
            ("/apps/1/events", Some(Place::App("1", "events"))),
            ("/apps/1/a/b", Some(Place::App("1", "a/b"))),
            ("/apps/1", None),
            (
                "/users/7/terminate_connections",
                Some(Place::Terminate("7")),
            ),
            ("/users/7/8/terminate_connections", None),
            ("/users/7", None),
            ("/pusher/auth", Some(Place::Channel)),
            ("/pusher/user-auth", Some(Place::User)),
            ("/pusher/auth/", None),
            ("/pusher", None),
        ] {
            assert_eq!(Place::of(path), place, "{path}");
        }
    }
}
