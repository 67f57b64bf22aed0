//! Joins Pusher's HTTP to the edge: neither knows the other.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use crate::config::Config;
use crate::edge::{Page, PoolServices, Site, SiteFuture, Visit};
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
