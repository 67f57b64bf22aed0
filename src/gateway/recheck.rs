//! Asking again whether those who are bound may be: on a new token, when what is known of their
//! access has run out, when an operator says so, and after an endpoint has changed. Whoever is
//! asked about is given nothing meanwhile; who may not stay is unbound and told nothing more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::access::{Asker, Question};
use super::call::Reply;
use super::read::View;
use super::replica::{self, Bound};
use super::{Gateway, failure};
use crate::channel::{ChannelName, Pattern};
use crate::code::ErrorCode;
use crate::resource::{AccessRule, Call, Caller, Failure, Origin, Resource, Success};

/// Checks of one [`Gateway::reaccess`] that are under way at a time.
const AT_A_TIME: usize = 64;
/// The waits before an upstream that fails is asked once more.
const WAITS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Whose access is to be checked; all that is set must match.
#[derive(Debug, Clone, Default)]
pub struct Whose {
    /// To uris that match.
    pub uris: Option<Pattern>,
    /// Of this subject.
    pub subject: Option<Box<str>>,
    /// On a token with this `jti`.
    pub token_id: Option<Box<str>>,
}

impl Whose {
    fn matches(&self, uri: &ChannelName, caller: &Caller) -> bool {
        let grant = caller.grant.as_deref();
        let is = |wanted: &Option<Box<str>>, has: Option<&Arc<str>>| match wanted {
            None => true,
            Some(wanted) => has.is_some_and(|has| **has == **wanted),
        };
        self.uris
            .as_ref()
            .is_none_or(|pattern| pattern.matches(uri.as_str()))
            && is(
                &self.subject,
                grant.and_then(|grant| grant.subject.as_ref()),
            )
            && is(
                &self.token_id,
                grant.and_then(|grant| grant.token_id.as_ref()),
            )
    }
}

/// Those of one asker on one uri, each with the number of his check; none: nothing covers it.
type Group = (Option<Resource>, Vec<(Bound, u64)>);

/// What became of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Sessions and uris that were checked.
    pub rechecked: usize,
    /// Those that are bound no longer.
    pub removed: usize,
}

impl Gateway {
    /// The session has another token: may it stay?
    pub(super) async fn recheck(
        self: &Arc<Self>,
        call: &Call,
        resource: &Resource,
        origin: Origin,
        reply: Reply,
    ) {
        let held = self
            .replicas()
            .hold(origin.session, &call.uri, &call.caller);
        let Some(check) = held else {
            return reply.send(Ok(Success::default()), None);
        };
        match self.may(resource, &call.caller).await {
            Ok(view) => {
                self.stay((origin, check), &view, resource);
                reply.send(Ok(Success::default()), None);
            }
            Err(failure) => {
                // The session says so itself, and leaves; until then it is given nothing.
                reply.refuse(failure.clone());
                let session = origin.session;
                self.replicas().refuse(session, &call.uri, check, &failure);
            }
        }
    }

    /// Checks the access of everyone that `whose` says, and waits until that is done.
    pub async fn reaccess(self: &Arc<Self>, whose: &Whose) -> Checked {
        self.known()
            .forget(|uri, caller| whose.matches(uri, caller));
        let bound = self
            .replicas()
            .bound(|uri, caller| whose.matches(uri, caller));
        self.check_all(bound).await
    }

    /// The endpoints have changed: who is bound to what is covered otherwise is checked.
    pub async fn renewed(self: &Arc<Self>) -> Checked {
        let routes = self.routes().load_full();
        self.upstreams()
            .retain(|name| routes.endpoint(name).is_some());
        let all = self.replicas().bound(|_, _| true);
        let changed = |one: &Bound| match routes.find(one.resource.uri.as_str()) {
            Ok(Some(now)) => {
                let (session, uri) = (one.origin.session, &one.resource.uri);
                !self.replicas().is_admitted(session, uri, &now.endpoint)
            }
            _ => true,
        };
        let changed: Vec<Bound> = all.into_iter().filter(changed).collect();
        for one in &changed {
            self.cache().bump(one.resource.stream.as_str());
        }
        self.check_all(changed).await
    }

    /// Holds those on `stream` whose access is not known any more, and asks about them.
    pub(super) fn hold_expired(&self, stream: &ChannelName) {
        if !self.replicas().take_expired(stream) {
            return;
        }
        let mut out: Vec<Bound> = Vec::new();
        for one in self.replicas().bound_to(stream) {
            if one.resource.endpoint.access != AccessRule::Upstream {
                continue;
            }
            match self.known().until(question(&one)) {
                Some(until) => self.replicas().note_expiry(stream, until),
                None => out.push(one),
            }
        }
        if let Some(gateway) = self.me().filter(|_| !out.is_empty()) {
            out.retain(|one| {
                let (session, uri) = (one.origin.session, &one.resource.uri);
                self.replicas().hold(session, uri, &one.caller).is_some()
            });
            self.runtime()
                .spawn(async move { gateway.check(out).await });
        }
    }

    /// As [`Self::check`], to its end, even if the caller waits no longer: whoever is held has to
    /// be let go.
    async fn check_all(self: &Arc<Self>, bound: Vec<Bound>) -> Checked {
        let gateway = Arc::clone(self);
        let check = async move { gateway.check(bound).await };
        // Only a runtime that ends cuts it off.
        self.runtime().spawn(check).await.unwrap_or_default()
    }

    /// Asks about these: once for each asker and uri.
    async fn check(self: &Arc<Self>, bound: Vec<Bound>) -> Checked {
        let rechecked = bound.len();
        let routes = self.routes().load_full();
        let mut groups: HashMap<(ChannelName, Asker), Group> = HashMap::new();
        for one in bound {
            let (session, uri) = (one.origin.session, one.resource.uri.clone());
            // Who has another token by now is asked about for that one.
            let Some(check) = self.replicas().hold(session, &uri, &one.caller) else {
                continue;
            };
            // As the endpoint sees him that is asked now: it may tell apart who were one before.
            let now = routes.find(uri.as_str()).ok().flatten();
            let endpoint = now
                .as_ref()
                .map_or(&one.resource.endpoint, |now| &now.endpoint);
            let asker = Asker::of(endpoint, one.caller.grant.as_deref());
            let group = groups.entry((uri, asker)).or_insert((now, Vec::new()));
            group.1.push((one, check));
        }
        let checks = groups.into_values().map(|group| self.check_group(group));
        let removed = stream::iter(checks)
            .buffer_unordered(AT_A_TIME)
            .fold(0, |sum, removed| async move { sum + removed })
            .await;
        Checked { rechecked, removed }
    }

    /// Those of one asker on one uri; how many had to go.
    async fn check_group(self: &Arc<Self>, (resource, group): Group) -> usize {
        let Some((first, _)) = group.first() else {
            return 0;
        };
        let Some(resource) = resource else {
            let failure = failure::plain(ErrorCode::NoRoute, "No endpoint covers it any more.");
            return self.expel(&group, &failure);
        };
        match self.may(&resource, &first.caller).await {
            Ok(_) => {
                for (one, check) in &group {
                    // The same asker has the same claims, but not the same address.
                    if let Ok(view) = View::of(&resource, &one.caller) {
                        self.stay((one.origin, *check), &view, &resource);
                    }
                }
                0
            }
            Err(failure) => self.expel(&group, &failure),
        }
    }

    fn expel(&self, group: &[(Bound, u64)], failure: &Failure) -> usize {
        for (one, check) in group {
            let (session, uri) = (one.origin.session, &one.resource.uri);
            self.replicas().deny(session, uri, *check, failure);
        }
        group.len()
    }

    /// Whether `caller` may be bound to `resource`. An upstream that fails is asked again for a
    /// while; then it has not said yes.
    async fn may(
        self: &Arc<Self>,
        resource: &Resource,
        caller: &Arc<Caller>,
    ) -> Result<View, Failure> {
        let view = View::of(resource, caller)?;
        let mut waits = WAITS.into_iter();
        loop {
            let Err(failure) = self.admit(&view).await else {
                return Ok(view);
            };
            let passing = matches!(
                failure.code,
                ErrorCode::Timeout
                    | ErrorCode::Unavailable
                    | ErrorCode::UpstreamError
                    | ErrorCode::BadGateway
                    | ErrorCode::RateLimited
            );
            match waits.next().filter(|_| passing) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(failure),
            }
        }
    }

    /// He may: in the replica that he belongs to now.
    fn stay(self: &Arc<Self>, (origin, check): (Origin, u64), view: &View, resource: &Resource) {
        let here = self.followed(view, resource);
        let caller = Arc::clone(&view.caller);
        if self.replicas().stay(origin, &here, check) {
            return self.note_access(&here, &caller);
        }
        // By the rules of an endpoint that has changed meanwhile.
        let again = Bound {
            resource: here,
            origin,
            caller,
        };
        let gateway = Arc::clone(self);
        let check = async move { gateway.check(vec![again]).await };
        self.runtime().spawn(check);
    }

    /// Remembers when the access of somebody who is bound runs out: at once, if it was taken back
    /// while he came in.
    pub(super) fn note_access(&self, resource: &replica::Resource, caller: &Caller) {
        let endpoint = &resource.endpoint;
        if endpoint.access == AccessRule::Upstream {
            let asker = Asker::of(endpoint, caller.grant.as_deref());
            let question = Question(asker, &resource.uri, endpoint);
            let until = self.known().until(question);
            let until = until.unwrap_or_else(Instant::now);
            self.replicas().note_expiry(&resource.stream, until);
        }
    }
}

fn question(one: &Bound) -> Question<'_> {
    let (endpoint, uri) = (&one.resource.endpoint, &one.resource.uri);
    let asker = Asker::of(endpoint, one.caller.grant.as_deref());
    Question(asker, uri, endpoint)
}
