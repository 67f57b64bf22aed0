//! Joins Pusher's HTTP and the gateway's to the edge: none knows another.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};

use crate::config::Config;
use crate::edge::{
    Page, PoolServices, Site, SiteFuture, StreamBody, StreamFuture, StreamSite, Visit,
};
use crate::gateway::Gateway;
use crate::gateway::http::{Http, HttpServices, Visitor as Caller};
use crate::pusher::{Pusher, Services, Visitor};

/// Everyone who answers plain HTTP on the edge.
pub(super) fn all(config: &Config, parts: &PoolServices) -> Vec<Arc<dyn Site>> {
    let services = Services {
        node: parts.node.clone(),
        authenticator: parts.authenticator.clone(),
        limits: parts.limits.clone(),
        shared: parts.shared.clone(),
    };
    let pusher = Pusher::new(config.pusher.clone(), services);
    vec![Arc::new(PusherSite(pusher))]
}

/// The gateway's uris over plain HTTP.
pub(super) fn covered(
    config: &Config,
    parts: &PoolServices,
    gateway: &Arc<Gateway>,
) -> Arc<dyn StreamSite> {
    let services = HttpServices {
        gateway: gateway.clone(),
        authenticator: parts.authenticator.clone(),
        revocations: parts.shared.revocations.clone(),
        limits: parts.limits.clone(),
    };
    let cookie = config.pusher.cookie.as_deref().map(Into::into);
    Arc::new(GatewaySite(Http::new(services, cookie)))
}

/// The gateway, as the edge sees it.
struct GatewaySite(Http);

impl StreamSite for GatewaySite {
    fn has(&self, uri: &Uri) -> bool {
        self.0.has(uri)
    }

    fn answer(&self, request: Request<StreamBody>, visit: Visit) -> StreamFuture<'_> {
        let visitor = Caller {
            address: visit.address,
            may_read: matches!(visit.page, Page::Trusted | Page::Open),
            with_cookies: visit.page == Page::Trusted,
            foreign: visit.page == Page::Foreign,
        };
        Box::pin(self.0.answer(request, visitor))
    }
}

/// Pusher, as the edge sees it.
struct PusherSite(Pusher);

impl Site for PusherSite {
    fn has(&self, path: &str) -> bool {
        self.0.has(path)
    }

    fn answer(&self, request: Request<Bytes>, visit: Visit) -> SiteFuture<'_> {
        let visitor = Visitor {
            address: visit.address,
            may_read: matches!(visit.page, Page::Trusted | Page::Open),
            with_cookies: visit.page == Page::Trusted,
        };
        Box::pin(self.0.answer(request, visitor))
    }
}
