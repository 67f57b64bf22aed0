//! GET and HEAD: through the cache that sockets use. HEAD is a GET whose body nobody sends, but for
//! what is asked of the upstream for this client alone.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{
    ACCEPT, AUTHORIZATION, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::who::Who;
use super::{Http, HttpBody, Visitor, give, refuse};
use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::access::Asking;
use crate::gateway::ask::{JSON, no_answer};
use crate::gateway::cache::{Ask, Content, Fetched, Found, Got, How, Lookup, Rules};
use crate::gateway::read::View;
use crate::gateway::upstream::{Asked, RequestBody};
use crate::resource::{AccessRule, Audience, Failure, FetchAs, Resource};

/// What asks for less than the whole.
const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// A read, for the fetches that it may take.
struct Read {
    gateway: Arc<Gateway>,
    view: View,
    method: Method,
    /// The client's, `Accept` filled in.
    headers: HeaderMap,
    own: Option<HeaderValue>,
    rules: Arc<Rules>,
}

impl Http {
    pub(super) async fn read(
        &self,
        resource: &Resource,
        head: &Parts,
        visitor: Visitor,
    ) -> Response<HttpBody> {
        let who = match self.who(&resource.endpoint, &head.headers, visitor).await {
            Ok(who) => who,
            Err(failure) => return refuse::of(&failure),
        };
        let by_cookie = who.by_cookie;
        let mut answer = match self.got(resource, head, who).await {
            Ok(got) => give::answer(got, &head.headers),
            Err(failure) => refuse::of(&failure),
        };
        // Whoever keeps answers in between does not know whose they are.
        if by_cookie || resource.endpoint.audience != Audience::Shared {
            give::keep_private(answer.headers_mut());
        }
        answer
    }

    async fn got(&self, resource: &Resource, head: &Parts, who: Who) -> Result<Got, Failure> {
        let gateway = self.gateway();
        let mut view = View::of(resource, &who.caller)?;
        let headers = with_accept(&head.headers);
        let shared = view.endpoint.audience == Audience::Shared;
        let rules = Arc::new(Rules::of(&view.endpoint));
        let mut asked = headers.clone();
        if who.own.is_none() {
            asked.remove(AUTHORIZATION);
        }
        let own = who.own.as_ref().map(named);
        if let Some(own) = own.clone().filter(|_| !shared) {
            view.variant = own;
        }
        let mut lookup = Lookup::new(
            Arc::clone(&rules),
            view.uri.clone(),
            view.variant.clone(),
            asked,
        );
        if head.method == Method::HEAD {
            lookup = lookup.head();
        }
        if let Some(own) = own.filter(|_| shared) {
            // What is there for everyone is there for him; what he fetches is his own until its
            // headers say otherwise.
            if let Found::Fresh(entry) = gateway.cache().lookup(&lookup, Now::read()) {
                let content = Content::Kept(entry);
                return Ok(Got {
                    content,
                    how: How::Hit,
                });
            }
            lookup = lookup.on_behalf_of(own);
        }
        let checks = self.must_check(&view).await?;
        if checks {
            lookup = lookup.on_behalf_of(view.asker().name());
        }
        let asking = gateway.known().ask(&view.uri, &view.caller);
        let read = Arc::new(Read {
            gateway: Arc::clone(gateway),
            view: view.clone(),
            method: head.method.clone(),
            headers,
            own: who.own,
            rules,
        });
        let fetch = move |ask| {
            let read = Arc::clone(&read);
            async move { read.fetch(ask).await }
        };
        let got = gateway.cache().get(lookup, fetch).await?;
        if checks {
            learn(gateway, &view, &asking, &got);
        }
        Ok(got)
    }

    /// Whether the upstream has to be asked on the caller's own behalf, because it is not known
    /// whether he may see it.
    async fn must_check(&self, view: &View) -> Result<bool, Failure> {
        if view.endpoint.access != AccessRule::Upstream {
            return Ok(false);
        }
        let gateway = self.gateway();
        if gateway.known().until(view.question()).is_some() {
            return Ok(false);
        }
        if matches!(view.endpoint.fetch_as, FetchAs::Service(_)) {
            gateway.admit(view).await?;
            return Ok(false);
        }
        Ok(true)
    }
}

/// Remembers what the upstream's answer says of the caller's access.
fn learn(gateway: &Arc<Gateway>, view: &View, asking: &Asking<'_>, got: &Got) {
    let status = match &got.content {
        Content::Kept(entry) => entry.status,
        Content::Passed(fetched) => fetched.status,
    };
    let checks = &gateway.node().hub().metrics().gateway;
    if status.is_success() || status.as_u16() == 304 {
        checks.count_access("allowed");
        gateway.known().allow(view.question(), asking);
    } else if status.is_client_error() {
        checks.count_access("denied");
        gateway.known().deny(view.question());
    }
}

impl Read {
    async fn fetch(&self, ask: Ask) -> Result<Fetched, Failure> {
        let mut headers = HeaderMap::new();
        let mut method = Method::GET;
        // The whole is asked for unless the cache lets the client have its say.
        let own = matches!(ask, Ask::Own);
        let selecting = self.rules.selecting.iter();
        let selecting = selecting.filter(|name| !CONDITIONS.contains(name));
        for name in selecting.chain(CONDITIONS.iter().filter(|_| own)) {
            for value in self.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        match ask {
            Ask::Whole => {}
            Ask::Own => method = self.method.clone(),
            Ask::Validate(conditions) => headers.extend(conditions),
        }
        let endpoint = &*self.view.endpoint;
        let mut identity = self.gateway.identity(endpoint, &self.view.caller, true)?;
        if let Some(own) = &self.own {
            identity.insert(AUTHORIZATION, own.clone());
        }
        let service = matches!(endpoint.fetch_as, FetchAs::Service(_));
        let asked = Asked {
            method,
            path: self.view.uri.as_str().to_owned(),
            headers,
            identity,
            body: RequestBody::empty(),
            idempotent: true,
            address: (!service).then_some(self.view.caller.address),
        };
        let answer = self.gateway.upstreams().stream(endpoint, asked).await;
        answer.map(Fetched::from).map_err(|error| no_answer(&error))
    }
}

/// The client's headers. One who takes anything gets JSON, and so what sessions get.
fn with_accept(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let mut lines = headers.get_all(ACCEPT).iter();
    let anything = match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(line), None) => line.as_bytes() == b"*/*",
        _ => false,
    };
    if anything {
        headers.insert(ACCEPT, JSON);
    }
    headers
}

/// A name for whoever says this to the API, which does not tell what he said.
fn named(own: &HeaderValue) -> Arc<str> {
    let digest = digest(&SHA256, own.as_bytes());
    let mut name = String::from("own:");
    for byte in digest.as_ref() {
        name.push_str(&format!("{byte:02x}"));
    }
    name.into()
}
