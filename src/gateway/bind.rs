//! Binding sessions: the node joins the stream for them, then the replica takes them in.
//!
//! Invariants: a session's interest stands at the node before anything is fetched for it; what a
//! call has joined is left again unless the replica takes the session in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::call::Reply;
use super::read::{For, View};
use super::replica::{self, Attach, Need, Settings};
use super::seen::Seen;
use super::{Gateway, failure};
use crate::broker::HistoryQuery;
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::node::Join;
use crate::publication::Position;
use crate::resource::{
    Audience, Call, Failure, Origin, Realtime, Resource, ResourceKind, Success, Verb, VersionAt,
};

/// How often a call is begun anew because its endpoint changes.
const TRIES: usize = 4;

/// The node has been joined for a session. Dropped, it is left again.
pub(super) struct Joined {
    gateway: Weak<Gateway>,
    origin: Origin,
    uri: ChannelName,
    caller: Arc<crate::resource::Caller>,
    position: Option<Position>,
    open: bool,
}

impl Joined {
    /// What the replica is asked for `call`; `given`: a write has its answer already.
    pub(super) fn attach(&self, call: &Call, given: Option<Success>) -> Attach {
        let options = &call.options;
        let reads = given.is_none();
        let ask = replica::Ask {
            data: reads && (call.verb != Verb::Bind || options.snapshot),
            recover: options.recover.clone().filter(|_| reads),
            rewind: if reads { options.rewind } else { 0 },
            given,
        };
        Attach {
            origin: self.origin,
            call: call.id,
            caller: Arc::clone(&self.caller),
            ask,
            position: self.position.clone(),
            fresh: true,
        }
    }

    /// The replica has taken over.
    pub(super) fn keep(mut self) {
        self.open = false;
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if self.open
            && let Some(gateway) = self.gateway.upgrade()
        {
            gateway.leave(self.origin, &self.uri);
        }
    }
}

impl Gateway {
    /// `bind`, `index`, `show`.
    pub(super) async fn read(
        self: &Arc<Self>,
        call: Call,
        resource: &Resource,
        origin: Origin,
        reply: Reply,
    ) {
        let view = match View::of(resource, &call.caller) {
            Ok(view) => view,
            Err(failure) => return reply.refuse(failure),
        };
        let autobind = call.options.bind && resource.endpoint.autobind;
        if call.verb != Verb::Bind && !autobind {
            let read = self.read_once(&view).await;
            return reply.send(read, None);
        }
        let mut resource = resource.clone();
        for _ in 0..TRIES {
            match self.bind(&call, &resource, origin).await {
                Ok(true) => return reply.hand_over(),
                Ok(false) => {}
                Err(failure) => return reply.refuse(failure),
            }
            resource = match self.resource_of(&call) {
                Ok(resource) => resource,
                Err(failure) => return reply.refuse(failure),
            };
        }
        let message = "The endpoint of this uri keeps changing.";
        reply.refuse(failure::unavailable(message, None));
    }

    /// Gives the call to the uri's replica, which answers it. False: its endpoint has changed
    /// meanwhile.
    async fn bind(
        self: &Arc<Self>,
        call: &Call,
        resource: &Resource,
        origin: Origin,
    ) -> Result<bool, Failure> {
        let view = View::of(resource, &call.caller)?;
        let joined = self.join(&view, origin).await?;
        let stamp = self.cache().stamp();
        let seen = self.admit(&view).await?;
        let in_hand = seen.map(|seen| self.in_hand().put(&view, (seen, stamp)));
        let attach = joined.attach(call, None);
        let followed = self.followed(&view, resource);
        let taken = self.replicas().attach(&followed, attach).is_ok();
        if taken {
            // Only now: who takes access back from here on finds him among the bound.
            self.note_access(&followed, &view.caller);
            joined.keep();
        }
        drop(in_hand);
        Ok(taken)
    }

    async fn read_once(self: &Arc<Self>, view: &View) -> Result<Success, Failure> {
        let seen = match self.admit(view).await? {
            Some(seen) => seen,
            None => self.get(view, For::Known, Need::Current).await?,
        };
        seen.success()
    }

    /// Sees that the node hears of the uri's stream, and where that stands.
    pub(super) async fn join(
        self: &Arc<Self>,
        view: &View,
        origin: Origin,
    ) -> Result<Joined, Failure> {
        let mut joined = Joined {
            gateway: Arc::downgrade(self),
            origin,
            uri: view.uri.clone(),
            caller: Arc::clone(&view.caller),
            position: None,
            // The node itself undoes what fails.
            open: false,
        };
        let page = self.node().join(Join {
            channel: view.uri.clone(),
            worker: origin.worker,
            // Each call joins for itself: which of them binds the session is not known yet.
            fresh: true,
            member: None,
            max_members: 0,
            query: HistoryQuery::default(),
        });
        let page = match page.await {
            Ok(page) => {
                joined.open = true;
                match stream(&view.uri) {
                    None => Ok(page),
                    Some(stream) => {
                        let query = HistoryQuery::default();
                        self.node().history(&stream, query).await
                    }
                }
            }
            Err(error) => Err(error),
        };
        match page {
            Ok(page) => joined.position = page.position,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a uri could not be joined");
                let message = "The uri cannot be joined at present.";
                return Err(failure::unavailable(message, None));
            }
        }
        Ok(joined)
    }

    /// The node was joined once too often for a session.
    pub(super) fn leave(&self, origin: Origin, uri: &ChannelName) {
        let (node, uri) = (Arc::clone(self.node()), uri.clone());
        self.runtime().spawn(async move {
            node.leave(origin.worker, uri, None).await;
        });
    }

    /// The resource as its replica knows it.
    pub(super) fn followed(&self, view: &View, resource: &Resource) -> Arc<replica::Resource> {
        let endpoint = &view.endpoint;
        let collection = view.kind == ResourceKind::Collection;
        let query = resource.has_query();
        let version = match &endpoint.version {
            VersionAt::Body(pointer) => Some(pointer.clone()),
            VersionAt::Header(_) | VersionAt::None => None,
        };
        let items = resource.clone();
        Arc::new(replica::Resource {
            uri: view.uri.clone(),
            stream: resource.stream(),
            variant: view.variant.clone(),
            endpoint: Arc::clone(endpoint),
            settings: Settings {
                collection,
                query,
                shared: endpoint.audience == Audience::Shared,
                ordered: endpoint.ordered,
                realtime: !query || endpoint.realtime == Realtime::Refetch,
                revalidate: endpoint.revalidate_every,
                id: endpoint.id.clone(),
                version,
                item: collection
                    .then(|| Arc::new(move |id: &str| items.item(id)) as replica::ItemUri),
                bounds: self.config().bounds(),
            },
        })
    }
}

/// Of a query: where its events are published.
fn stream(uri: &ChannelName) -> Option<ChannelName> {
    let (path, _) = uri.as_str().split_once('?')?;
    ChannelName::parse(path).ok()
}

/// What has just been fetched with the credentials of somebody who is about to be bound: his
/// replica's first question is answered with it, unless something has changed since. Of those who
/// shared one fetch each holds it until he is bound.
#[derive(Debug, Default)]
pub(super) struct InHand(Arc<Mutex<HashMap<Place, Hand>>>);

type Place = (ChannelName, super::access::Variant, super::access::Asker);

/// What is in hand, and for how many.
#[derive(Debug)]
struct Hand {
    seen: Seen,
    stamp: super::cache::Stamp,
    holders: usize,
}

/// Kept for as long as this lives.
pub(super) struct Held(Arc<Mutex<HashMap<Place, Hand>>>, Place);

fn place(view: &View) -> Place {
    (view.uri.clone(), view.variant.clone(), view.asker())
}

impl InHand {
    fn put(&self, view: &View, (seen, stamp): (Seen, super::cache::Stamp)) -> Held {
        let place = place(view);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hand = table.entry(place.clone()).or_insert_with(|| Hand {
            seen: seen.clone(),
            stamp,
            holders: 0,
        });
        hand.holders += 1;
        if stamp > hand.stamp {
            (hand.seen, hand.stamp) = (seen, stamp);
        }
        Held(Arc::clone(&self.0), place)
    }

    /// What is there for the same asker.
    pub(super) fn get(&self, view: &View) -> Option<(Seen, super::cache::Stamp)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_empty() {
            return None;
        }
        let hand = table.get(&place(view))?;
        Some((hand.seen.clone(), hand.stamp))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hand) = table.get_mut(&self.1) {
            hand.holders -= 1;
            if hand.holders == 0 {
                table.remove(&self.1);
            }
        }
    }
}

/// Refuses what is not to be.
pub(super) fn gone() -> Failure {
    failure::plain(ErrorCode::Internal, "The gateway is closing.")
}
