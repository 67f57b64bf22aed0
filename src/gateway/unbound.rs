//! What stands in for the replicas until their driver is there: nobody can be bound.

use std::sync::Arc;

use super::call::post;
use super::failure;
use super::replica::{Attach, Resource};
use crate::channel::ChannelName;
use crate::hub::Hub;
use crate::publication::{Admission, Publication};
use crate::resource::{Answer, Caller, Failure, Origin};
use crate::session_id::SessionId;

pub(super) struct Replicas {
    hub: Arc<Hub>,
}

/// Somebody who is bound.
pub(super) struct Bound {
    pub(super) resource: Arc<Resource>,
    pub(super) origin: Origin,
    pub(super) caller: Arc<Caller>,
}

impl Replicas {
    pub(super) fn new(hub: &Arc<Hub>) -> Self {
        let hub = Arc::clone(hub);
        Self { hub }
    }

    /// Takes a session in, and answers its call.
    pub(super) fn attach(&self, _resource: Arc<Resource>, attach: Attach) {
        let message = "Nobody can be bound to covered uris yet.";
        let answer = Answer {
            call: attach.call,
            result: Err(failure::unavailable(message, None)),
            bound: None,
        };
        post(&self.hub, attach.origin, Box::new(answer));
    }

    /// An event of a stream: to how many sessions it goes.
    pub(super) fn event(&self, _event: Publication, _admission: Option<Admission>) -> usize {
        0
    }

    /// Something may have happened that no event tells of.
    pub(super) fn stir(&self, _stream: &ChannelName) {}

    /// Holds a session's pushes back: whether it is bound.
    pub(super) fn hold(&self, _session: SessionId, _uri: &ChannelName) -> bool {
        false
    }

    /// A session has left.
    pub(super) fn detach(&self, _session: SessionId, _uri: &ChannelName) {}

    /// A session that is held may not stay.
    pub(super) fn deny(&self, _session: SessionId, _uri: &ChannelName, _why: &Failure) {}

    /// A session that is held may stay, as this caller; if it belongs to another replica now, it
    /// moves there and is told of a gap.
    pub(super) fn stay(&self, _origin: Origin, _here: &Arc<Resource>, _caller: Arc<Caller>) {}

    /// Those who are bound to uris, of those that `which` says.
    pub(super) fn bound(&self, _which: impl Fn(&ChannelName, &Caller) -> bool) -> Vec<Bound> {
        Vec::new()
    }

    /// Those who are bound to a uri of this stream.
    pub(super) fn bound_to(&self, _stream: &ChannelName) -> Vec<Bound> {
        Vec::new()
    }
}
