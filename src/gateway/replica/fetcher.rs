//! What the driver of the replicas needs from the rest of the gateway.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::words::{Fetched, Need, Settings};
use crate::channel::ChannelName;
use crate::resource::{Caller, Endpoint, Origin};

/// A resource as one audience sees it.
pub struct Resource {
    /// The canonical uri, with its query.
    pub uri: ChannelName,
    /// The canonical uri without it: where its events are published.
    pub stream: ChannelName,
    /// Of its audience: callers with the same key may see the same.
    pub variant: Arc<str>,
    /// What covers it.
    pub endpoint: Arc<Endpoint>,
    /// How its replica behaves.
    pub settings: Settings,
}

/// A fetch for a replica.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of what.
    pub resource: Arc<Resource>,
    /// With whose credentials (a service's own, where the endpoint says so).
    pub caller: Arc<Caller>,
    /// An answer whose request was sent in an older generation will not do.
    pub generation: u64,
    /// Whether a kept answer does.
    pub need: Need,
}

/// Gets resources, from the cache or their upstream.
pub trait Fetcher: Send + Sync {
    /// The generation of `resource` in the cache. Each write and each event raises it before the
    /// replicas are told of it.
    fn generation(&self, resource: &Resource) -> u64;

    /// Whether its endpoint is the one that covers it now.
    fn in_force(&self, resource: &Resource) -> bool;

    /// Fetches it. What is kept is there at the first poll. A refusal of a service's own
    /// credentials is `Failed`, never `Denied`.
    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Fetched> + Send>>;

    /// The node was joined for a call that did not bind its session, or not anew, and leaves once
    /// again. Nobody else undoes it.
    fn undo(&self, resource: &Resource, origin: Origin);
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resource")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}
