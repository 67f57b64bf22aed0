//! What replicas ask of the gateway: the resource again, with the credentials of somebody who is
//! bound.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use super::Gateway;
use super::read::{For, View};
use super::replica::{Fetched, Fetcher, Need, Request, Resource, Snapshot};
use super::seen::Seen;
use super::{bind, failure};
use crate::resource::{Endpoint, FetchAs, Origin, ResourceKind};

impl Fetcher for Gateway {
    fn generation(&self, resource: &Resource) -> u64 {
        self.cache().generation(resource.stream.as_str())
    }

    fn in_force(&self, resource: &Resource) -> bool {
        let now = self.routes().load().find(resource.uri.as_str());
        let endpoint = &resource.endpoint;
        now.ok()
            .flatten()
            .is_some_and(|now| Arc::ptr_eq(&now.endpoint, endpoint) || now.endpoint == *endpoint)
    }

    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Fetched> + Send>> {
        match self.me() {
            Some(gateway) => Box::pin(async move { gateway.follow(request).await }),
            None => Box::pin(ready(Fetched::Failed(bind::gone()))),
        }
    }

    fn undo(&self, resource: &Resource, origin: Origin) {
        self.leave(origin, &resource.uri);
    }
}

impl Gateway {
    async fn follow(self: Arc<Self>, request: Request) -> Fetched {
        let Request {
            resource,
            caller,
            generation: _,
            need,
        } = request;
        if let Err(failure) = self.in_force(&caller) {
            return Fetched::Denied(failure);
        }
        // Nobody is given what comes of it whose access is not known any more.
        self.hold_expired(&resource.stream);
        let kind = match resource.settings.collection {
            true => ResourceKind::Collection,
            false => ResourceKind::Item,
        };
        let view = View {
            uri: resource.uri.clone(),
            endpoint: Arc::clone(&resource.endpoint),
            kind,
            variant: resource.variant.clone(),
            caller,
        };
        let in_hand = self.in_hand().get(&view).filter(|(_, asked)| {
            need == Need::Current && self.cache().is_current(view.uri.as_str(), *asked)
        });
        if let Some((seen, _)) = in_hand {
            return told(&view.endpoint, &seen);
        }
        // The cache itself gives nothing that was asked for before the last change.
        match self.get(&view, For::Known, need).await {
            Ok(seen) => told(&view.endpoint, &seen),
            Err(failure) => Fetched::Failed(failure),
        }
    }
}

fn told(endpoint: &Endpoint, seen: &Seen) -> Fetched {
    let service = matches!(endpoint.fetch_as, FetchAs::Service(_));
    match seen.status.as_u16() {
        200..=299 => match &seen.json {
            Some(json) => Fetched::Snapshot(Snapshot {
                code: seen.status.as_u16(),
                body: json.clone(),
                etag: seen.etag(),
                version: seen.version,
                until: seen.until,
            }),
            None => Fetched::Failed(failure::bad_answer("the upstream's answer is no JSON")),
        },
        404 | 410 => Fetched::Gone(seen.refusal()),
        401 | 403 if !service => Fetched::Denied(seen.refusal()),
        _ => Fetched::Failed(seen.refusal()),
    }
}
