//! The REST gateway: what sessions ask of resources, fetched from upstreams, kept in the cache and
//! followed by whoever is bound.
//!
//! Parts: `upstream` asks, `cache` keeps, `replica` orders what the bound are told; this module
//! joins them behind [`Calls`] (sessions), [`crate::publication::Deliver`] (the broker) and
//! [`crate::node::PublicationHook`] (publishers).
//!
//! Invariants: every call is answered exactly once; nobody's data reaches another unless the
//! endpoint's audience is shared; caches are invalidated before anybody is told of a change; no
//! lock is held over an await.

mod access;
mod ask;
mod bind;
mod body;
pub mod cache;
mod call;
mod config;
mod deliver;
mod endpoints;
mod events;
mod failure;
mod follow;
pub mod http;
mod read;
mod recheck;
pub mod replica;
mod seen;
pub mod upstream;
mod version;
mod write;

pub use config::Config;
pub use endpoints::{Checking, Endpoints, EndpointsError, Upkeep};
pub use recheck::{Checked, Whose};

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use access::Known;
use arc_swap::ArcSwap;
use bind::InHand;
use cache::Cache;
use call::Reply;
use deliver::Expected;
use replica::{Fetcher, Replicas};
use upstream::Upstreams;

use crate::channel::ChannelName;
use crate::node::Node;
use crate::resource::{Call, Caller, Calls, Origin, Routes};
use crate::session::Shared;
use crate::session_id::SessionId;

/// The gateway.
pub struct Gateway {
    me: Weak<Self>,
    config: Config,
    node: Arc<Node>,
    shared: Arc<Shared>,
    runtime: Handle,
    upstreams: Upstreams,
    cache: Cache,
    replicas: Replicas,
    waiting: Arc<Semaphore>,
    memory: Memory,
}

/// What the gateway remembers between calls.
struct Memory {
    known: Known,
    in_hand: InHand,
    expected: Expected,
}

impl Gateway {
    /// A gateway for the endpoints that `shared` knows, in `runtime`. From now on it has its word
    /// on what `node` publishes and delivers.
    pub fn start(
        config: Config,
        node: &Arc<Node>,
        shared: &Arc<Shared>,
        runtime: &Handle,
    ) -> Arc<Self> {
        let metrics = node.hub().metrics().clone();
        metrics.set_bound("gateway.max_access", config.max_access);
        let cache = Cache::new(config.cache());
        cache.watch(&metrics);
        let gateway = Arc::new_cyclic(|me: &Weak<Self>| Self {
            me: me.clone(),
            node: Arc::clone(node),
            shared: Arc::clone(shared),
            runtime: runtime.clone(),
            upstreams: Upstreams::new(config.upstream.clone(), metrics),
            cache,
            replicas: Replicas::new(node.hub(), fetcher(me), runtime, config.max_replicas),
            waiting: Arc::new(Semaphore::new(
                config.max_waiting.min(Semaphore::MAX_PERMITS),
            )),
            memory: Memory {
                known: Known::new(config.max_access),
                in_hand: InHand::default(),
                expected: Expected::default(),
            },
            config,
        });
        node.hub().set_gateway(gateway.clone());
        node.set_hook(gateway.clone());
        gateway
    }

    /// Ready when no call is under way. New ones are refused from now on.
    pub async fn idle(&self) {
        let all = self.config.max_waiting.min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        // Only a closed semaphore fails, and nobody closes this one.
        let _ = self.waiting.acquire_many(all).await;
    }

    /// The cache, which plain HTTP shares.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The upstreams, which plain HTTP shares.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn node(&self) -> &Arc<Node> {
        &self.node
    }

    fn routes(&self) -> &ArcSwap<Routes> {
        &self.shared.routes
    }

    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    fn known(&self) -> &Known {
        &self.memory.known
    }

    fn in_hand(&self) -> &InHand {
        &self.memory.in_hand
    }

    fn expected(&self) -> &Expected {
        &self.memory.expected
    }

    fn me(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }
}

impl Calls for Gateway {
    fn call(&self, call: Call, origin: Origin) {
        let reply = Reply::to(self.node.hub(), origin, call.id);
        let Some(gateway) = self.me() else {
            return reply.refuse(bind::gone());
        };
        let Ok(room) = Arc::clone(&self.waiting).try_acquire_owned() else {
            let message = "Too many calls wait for upstreams; try again later.";
            return reply.refuse(failure::unavailable(message, None));
        };
        let mut carried = Box::pin(gateway.carry_out(call, origin, reply));
        let _runtime = self.runtime.enter();
        // What is at hand is answered here and now, on the worker's own thread.
        let first = carried
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if first.is_pending() {
            self.runtime.spawn(async move {
                carried.await;
                drop(room);
            });
        }
    }

    fn hold(&self, session: SessionId, uris: &[ChannelName], caller: &Arc<Caller>) {
        for uri in uris {
            self.replicas.hold(session, uri, caller);
        }
    }

    fn left(&self, session: SessionId, uri: &ChannelName) {
        self.replicas.detach(session, uri);
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

fn fetcher(gateway: &Weak<Gateway>) -> Weak<dyn Fetcher> {
    gateway.clone()
}

#[cfg(test)]
mod tests;
