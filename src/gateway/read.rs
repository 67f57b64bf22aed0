//! Reading resources: may he, and what is there. The one place where an endpoint's access rule is
//! applied, and the only way to its upstream's GET.

use std::sync::Arc;

use serde_json::Value;

use super::Gateway;
use super::access::{self, Asker, Question, Variant};
use super::ask::As;
use super::cache::{self, Ask, Fetched, How, Lookup, Rules};
use super::failure;
use super::replica::Need;
use super::seen::Seen;
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::resource::{
    AccessRule, Audience, Caller, Endpoint, Failure, FetchAs, Resource, ResourceKind,
};

/// How often the upstream is asked about somebody whose access is taken back meanwhile.
const ASKED: usize = 3;

/// A resource as one caller may see it.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The canonical uri.
    pub(super) uri: ChannelName,
    /// What covers it.
    pub(super) endpoint: Arc<Endpoint>,
    /// What it is.
    pub(super) kind: ResourceKind,
    /// Of his audience.
    pub(super) variant: Variant,
    /// Who asks.
    pub(super) caller: Arc<Caller>,
}

impl View {
    /// Whose access is remembered.
    pub(super) fn asker(&self) -> Asker {
        Asker::of(&self.endpoint, self.caller.grant.as_deref())
    }

    /// What the upstream is asked, and what of its answer is remembered.
    pub(super) fn question(&self) -> Question<'_> {
        Question(self.asker(), &self.uri, &self.endpoint)
    }

    /// The view of `caller`, if his claims let him have one. What the upstream says is asked
    /// separately, by [`Gateway::admit`].
    ///
    /// # Errors
    /// He may not, or belongs to no audience.
    pub(super) fn of(resource: &Resource, caller: &Arc<Caller>) -> Result<Self, Failure> {
        let endpoint = &resource.endpoint;
        let grant = caller.grant.as_deref();
        let by_claims = matches!(endpoint.access, AccessRule::Claims(_));
        let claims = if by_claims || matches!(endpoint.audience, Audience::Claims(_)) {
            let Some(grant) = grant else {
                let message = "This uri needs a token.";
                return Err(failure::plain(ErrorCode::Unauthenticated, message));
            };
            let claims = grant
                .claims()
                .map(|claims| serde_json::from_str(claims.get()));
            claims.and_then(Result::ok).unwrap_or(Value::Null)
        } else {
            Value::Null
        };
        let forbidden = |message| failure::plain(ErrorCode::Forbidden, message);
        if let AccessRule::Claims(expression) = &endpoint.access
            && !access::holds(expression, &claims, |name| resource.param(name))
        {
            return Err(forbidden(
                "Your token's claims do not give access to this uri.",
            ));
        }
        let variant = access::variant(&endpoint.audience, grant, Some(&claims));
        let missing = || forbidden("Your token lacks a claim that says whose data this is.");
        Ok(Self {
            uri: resource.uri.clone(),
            endpoint: Arc::clone(endpoint),
            kind: resource.kind,
            variant: variant.ok_or_else(missing)?,
            caller: Arc::clone(caller),
        })
    }
}

/// Whom a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Somebody who may see it.
    Known,
    /// Somebody of whom that is not known: the upstream is asked with his credentials.
    Unknown,
}

impl Gateway {
    /// Whether the upstream lets the caller see it, where that is the rule; with what it showed,
    /// if it had to be asked.
    ///
    /// # Errors
    /// It does not, or there is no answer.
    pub(super) async fn admit(self: &Arc<Self>, view: &View) -> Result<Option<Seen>, Failure> {
        if view.endpoint.access != AccessRule::Upstream {
            return Ok(None);
        }
        if self.known().until(view.question()).is_some() {
            return Ok(None);
        }
        for _ in 0..ASKED {
            let asking = self.known().ask(&view.uri, &view.caller);
            let seen = self.ask_access(view).await?;
            if self.known().allow(view.question(), &asking) {
                let service = matches!(view.endpoint.fetch_as, FetchAs::Service(_));
                return Ok((!service).then_some(seen));
            }
        }
        let message = "Your access to this uri is being taken back and checked again.";
        Err(failure::unavailable(message, None))
    }

    /// What the upstream shows the caller, if it does.
    async fn ask_access(self: &Arc<Self>, view: &View) -> Result<Seen, Failure> {
        let seen = match view.endpoint.fetch_as {
            FetchAs::Service(_) => self.look(view).await,
            _ => self.get(view, For::Unknown, Need::Current).await,
        };
        let checks = &self.node().hub().metrics().gateway;
        let seen = seen.inspect_err(|_| checks.count_access("failed"))?;
        if seen.status.is_success() {
            checks.count_access("allowed");
            return Ok(seen);
        }
        checks.count_access("denied");
        self.known().deny(view.question());
        Err(seen.refusal())
    }

    /// What there is, from the cache or the upstream, whatever its status.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn get(
        self: &Arc<Self>,
        view: &View,
        whom: For,
        need: Need,
    ) -> Result<Seen, Failure> {
        let got = self.get_once(view, whom, need).await?;
        let seen = Seen::of(&view.endpoint, got.content)?;
        // What another's credentials were refused says nothing of this caller's.
        let refused = matches!(seen.status.as_u16(), 401 | 403);
        if refused && got.how == How::Joined && whom == For::Known {
            let got = self.get_once(view, For::Unknown, need).await?;
            return Seen::of(&view.endpoint, got.content);
        }
        Ok(seen)
    }

    async fn get_once(
        self: &Arc<Self>,
        view: &View,
        whom: For,
        need: Need,
    ) -> Result<cache::Got, Failure> {
        let rules = Arc::new(Rules::of(&view.endpoint));
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::ACCEPT, super::ask::JSON);
        if need == Need::Upstream {
            let again = http::HeaderValue::from_static("no-cache");
            headers.insert(http::header::CACHE_CONTROL, again);
        }
        let mut lookup = Lookup::new(rules, view.uri.clone(), view.variant.clone(), headers);
        if whom == For::Unknown {
            lookup = lookup.on_behalf_of(view.asker().name());
        }
        let (gateway, view) = (Arc::clone(self), view.clone());
        let fetch = move |ask| {
            let (gateway, view) = (Arc::clone(&gateway), view.clone());
            async move {
                let conditions = match ask {
                    Ask::Validate(conditions) => conditions,
                    Ask::Whole | Ask::Own => http::HeaderMap::new(),
                };
                let how = (conditions, As::Endpoint, gateway.limit(view.kind));
                let path = view.uri.as_str();
                let answer = gateway.ask_for(&view.endpoint, &view.caller, path, how);
                answer.await.map(Fetched::from)
            }
        };
        self.cache().get(lookup, fetch).await
    }

    /// What the caller is shown of what the gateway fetches on its own account.
    async fn look(&self, view: &View) -> Result<Seen, Failure> {
        let how = (http::HeaderMap::new(), As::Caller, self.limit(view.kind));
        let asked = self.ask_for(&view.endpoint, &view.caller, view.uri.as_str(), how);
        let (parts, body) = asked.await?.into_parts();
        let at = &view.endpoint.version;
        Ok(Seen::read(at, parts.status, &parts.headers, &body))
    }

    /// Longest answer of a GET.
    fn limit(&self, kind: ResourceKind) -> usize {
        match kind {
            ResourceKind::Item => self.config().body_bytes,
            ResourceKind::Collection => self.config().index_bytes,
        }
    }
}
