//! Events on covered uris, from wherever they were published: caches first, then the writer's
//! answer, then everyone who is bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bind::Joined;
use super::call::Reply;
use super::replica::{self, Attach};
use super::{Gateway, bind, events};
use crate::channel::ChannelName;
use crate::node::{BadUri, NewPublication, Prepared, PublicationHook};
use crate::publication::{Admission, Deliver, Publication};
use crate::resource::{Failure, Resource, Success};
use crate::session_id::SessionId;

/// A writer who is answered when the event of what he wrote comes by.
pub(super) enum Expecting {
    /// Just that.
    Reply(Reply, Result<Success, Failure>),
    /// And he is bound to it.
    Attach(Reply, Arc<replica::Resource>, Box<Attach>, Joined),
}

/// Who is answered when, by session and call. Bounded by the calls that may wait.
#[derive(Default)]
pub(super) struct Expected(Mutex<HashMap<(SessionId, u32), Expecting>>);

impl Expected {
    fn lock(&self) -> MutexGuard<'_, HashMap<(SessionId, u32), Expecting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, key: (SessionId, u32), expecting: Expecting) {
        self.lock().insert(key, expecting);
    }

    pub(super) fn take(&self, key: (SessionId, u32)) -> Option<Expecting> {
        self.lock().remove(&key)
    }
}

impl Gateway {
    /// Answers a writer.
    pub(super) fn fulfil(&self, expecting: Expecting) {
        match expecting {
            Expecting::Reply(reply, result) => reply.send(result, None),
            Expecting::Attach(reply, resource, attach, joined) => {
                let caller = Arc::clone(&attach.caller);
                match self.replicas().attach(&resource, *attach) {
                    Ok(()) => {
                        self.note_access(&resource, &caller);
                        reply.hand_over();
                        joined.keep();
                    }
                    // By the rules in force now he may not be bound.
                    Err(attach) => reply.send(attach.ask.given.ok_or_else(bind::gone), None),
                }
            }
        }
    }

    /// Something may have happened to a resource and what depends on it, of which nobody tells:
    /// whoever is bound here finds out.
    pub(super) fn stir(&self, resource: &Resource) {
        let mut streams = vec![resource.stream()];
        streams.extend(resource.collection());
        let affected = resource.affected(None);
        let routes = self.routes().load();
        let found = |uri: ChannelName| routes.find(uri.as_str()).ok().flatten();
        streams.extend(affected.into_iter().filter_map(found).map(|r| r.stream()));
        for stream in streams {
            self.cache().bump(stream.as_str());
            self.replicas().stir(&stream);
        }
    }
}

impl Deliver for Gateway {
    fn deliver(&self, publication: Publication, admission: Option<Admission>) -> usize {
        self.cache().bump(publication.channel.as_str());
        let change = publication.change.as_ref();
        if let Some(writer) = change.and_then(|change| change.writer.as_ref())
            && let Some(expecting) = self.expected().take((writer.session, writer.call))
        {
            self.fulfil(expecting);
        }
        self.hold_expired(&publication.channel);
        self.replicas().event(publication, admission)
    }
}

impl PublicationHook for Gateway {
    fn canonical(&self, uri: &ChannelName) -> Result<Option<ChannelName>, BadUri> {
        let found = self.routes().load().find(uri.as_str());
        let found = found.map_err(|error| BadUri(error.to_string().into()))?;
        Ok(found.map(|resource| resource.uri))
    }

    fn prepare(&self, publication: NewPublication) -> Result<Prepared, BadUri> {
        // What the gateway publishes itself is as it should be.
        if publication.change.is_some() {
            return Ok(publication.into());
        }
        let all = events::of_publisher(&self.routes().load(), &publication);
        let all = all.map_err(|error| BadUri(error.to_string().into()))?;
        let Some(all) = all else {
            return Ok(publication.into());
        };
        for one in &all {
            self.cache().bump(one.channel.as_str());
        }
        let mut all = all.into_iter();
        let Some(publication) = all.next() else {
            return Ok(publication.into());
        };
        let also = all.collect();
        Ok(Prepared { publication, also })
    }
}
