//! A call's way: what it is about, whether its verb is allowed, who carries it out; and that it is
//! answered exactly once, whatever happens.

use std::sync::Arc;

use super::{Gateway, failure};
use crate::code::ErrorCode;
use crate::hub::{Hub, Target, WorkerMessage};
use crate::resource::{
    Answer, Bound, Call, Failure, Origin, Resource, ResourceKind, Success, Verb,
};

/// Somebody waits for an answer. Dropped, it answers that something went wrong.
pub(super) struct Reply {
    hub: Arc<Hub>,
    origin: Origin,
    call: u32,
    open: bool,
}

impl Reply {
    /// To call `call` of `origin`.
    pub(super) fn to(hub: &Arc<Hub>, origin: Origin, call: u32) -> Self {
        Self {
            hub: Arc::clone(hub),
            origin,
            call,
            open: true,
        }
    }

    /// Answers.
    pub(super) fn send(mut self, result: Result<Success, Failure>, bound: Option<Bound>) {
        self.post(result, bound);
    }

    /// Refuses.
    pub(super) fn refuse(self, failure: Failure) {
        self.send(Err(failure), None);
    }

    /// Somebody else answers.
    pub(super) fn hand_over(mut self) {
        self.open = false;
    }

    fn post(&mut self, result: Result<Success, Failure>, bound: Option<Bound>) {
        self.open = false;
        let answer = Answer {
            call: self.call,
            result,
            bound,
        };
        post(&self.hub, self.origin, Box::new(answer));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.open {
            let failure = failure::plain(ErrorCode::Internal, "The call came to nothing.");
            self.post(Err(failure), None);
        }
    }
}

/// Gives an answer to the worker.
pub(super) fn post(hub: &Hub, origin: Origin, answer: Box<Answer>) {
    let target = Target {
        connection: origin.connection,
        session: origin.session,
    };
    hub.post(origin.worker, WorkerMessage::Answer { target, answer });
}

impl Gateway {
    /// Carries a call out; what is at hand is answered before the first wait.
    pub(super) async fn carry_out(self: Arc<Self>, call: Call, origin: Origin, reply: Reply) {
        let resource = match self.resource_of(&call) {
            Ok(resource) => resource,
            Err(failure) => return reply.refuse(failure),
        };
        match call.verb {
            Verb::Bind | Verb::Index | Verb::Show => {
                self.read(call, &resource, origin, reply).await;
            }
            Verb::Create | Verb::Update | Verb::Delete => {
                // What is being written goes on whatever becomes of the session.
                Box::pin(self.write(call, &resource, origin, reply)).await;
            }
            Verb::Recheck => self.recheck(&call, &resource, origin, reply).await,
        }
    }

    /// What a call is about. The endpoints may have changed since the session looked.
    pub(super) fn resource_of(&self, call: &Call) -> Result<Resource, Failure> {
        let found = self.routes().load().find(call.uri.as_str());
        let resource = found
            .map_err(|error| Failure {
                message: error.to_string().into(),
                ..failure::plain(ErrorCode::BadRequest, "")
            })?
            .ok_or_else(|| {
                failure::plain(ErrorCode::NoRoute, "No endpoint covers this uri any more.")
            })?;
        let fits = match call.verb {
            Verb::Bind | Verb::Recheck => return Ok(resource),
            Verb::Index | Verb::Create => resource.kind == ResourceKind::Collection,
            Verb::Show | Verb::Update | Verb::Delete => resource.kind == ResourceKind::Item,
        };
        if !fits || !resource.endpoint.methods.contains(&call.verb) {
            let message = "The endpoint of this uri does not take this verb.";
            return Err(failure::plain(ErrorCode::BadRequest, message));
        }
        Ok(resource)
    }
}
