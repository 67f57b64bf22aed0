//! The REST gateway's place in the server.

use std::sync::Arc;

use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::hub::{Hub, Target, WorkerMessage};
use crate::resource::{Answer, Call, Calls, Failure, Origin};
use crate::session_id::SessionId;

/// Answers sessions where nobody has built a gateway: no endpoint can be in force then.
pub(super) struct NoEndpoints(pub(super) Arc<Hub>);

impl Calls for NoEndpoints {
    fn call(&self, call: Call, origin: Origin) {
        let failure = Failure {
            code: ErrorCode::NoRoute,
            message: "No endpoint covers this uri; check the uri.".into(),
            retry_after: None,
            http: None,
            details: None,
            outcome_unknown: false,
        };
        let answer = Box::new(Answer {
            call: call.id,
            result: Err(failure),
            bound: None,
        });
        let target = Target {
            connection: origin.connection,
            session: origin.session,
        };
        self.0
            .post(origin.worker, WorkerMessage::Answer { target, answer });
    }

    fn left(&self, _: SessionId, _: &ChannelName) {}
}
