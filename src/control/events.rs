//! `pogo.v1.Events`: the node's event log as a stream that can be taken up again.

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Code, Request, Response, Status};

use super::check::Check;
use super::proto::events_server::Events;
use super::proto::{WatchRequest, WatchResponse};
use super::{Service, convert, status};
use crate::event_log::{EventKind, EventLogError, EventWatcher};

/// One watch.
struct Watch {
    watcher: EventWatcher,
    kinds: Vec<EventKind>,
    node: Box<str>,
}

#[tonic::async_trait]
impl Events for Service {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let WatchRequest {
            kinds,
            resume_token,
        } = request.into_inner();
        let kinds = check_kinds(&kinds)?;
        let node = self.node.identity().id;
        let token = resume_token.filter(|token| !token.is_empty());
        let after = token.map(|token| resume(&token, &node)).transpose()?;
        let watcher = self.node.hub().events().watch(after).map_err(lost)?;
        let watch = Watch {
            watcher,
            kinds,
            node,
        };
        let events = stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            let item = watch.next().await;
            let go_on = item.is_ok().then_some(watch);
            Some((item, go_on))
        });
        Ok(Response::new(events.boxed()))
    }
}

impl Watch {
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        loop {
            let event = self.watcher.next().await.map_err(lost)?;
            if self.kinds.is_empty() || self.kinds.contains(&event.kind) {
                return Ok(convert::event(event, &self.node));
            }
        }
    }
}

fn check_kinds(names: &[String]) -> Result<Vec<EventKind>, Status> {
    let mut check = Check::default();
    let mut kinds = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match EventKind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => kinds.push(kind),
            None => check.refuse(format_args!("kinds[{i}]"), "no such kind of event"),
        }
    }
    check.done()?;
    Ok(kinds)
}

/// The number in a token of this run of this node.
fn resume(token: &str, node: &str) -> Result<u64, Status> {
    let number = |text: &str| text.parse().ok();
    let parts = token
        .rsplit_once('-')
        .and_then(|(node, text)| Some((node, number(text)?)));
    match parts {
        Some((of, sequence)) if of == node => Ok(sequence),
        Some(_) => Err(status::refuse(
            Code::OutOfRange,
            "RESUME_TOKEN_OF_ANOTHER_RUN",
            "the token is of another node, or of this one before it was started again",
        )),
        None => Err(status::bad_field("resume_token", "not a resume token")),
    }
}

fn lost(error: EventLogError) -> Status {
    let reason = match error {
        EventLogError::Forgotten { .. } => "RESUME_TOKEN_FORGOTTEN",
        EventLogError::Unknown { .. } => "RESUME_TOKEN_UNKNOWN",
    };
    status::refuse(Code::OutOfRange, reason, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_this_run_or_refused() {
        assert_eq!(resume("node-1-42", "node-1").unwrap(), 42);
        for (token, code) in [
            ("node-2-42", Code::OutOfRange),
            ("42", Code::InvalidArgument),
            ("node-1-", Code::InvalidArgument),
            ("node-1-x", Code::InvalidArgument),
            ("", Code::InvalidArgument),
        ] {
            assert_eq!(resume(token, "node-1").unwrap_err().code(), code, "{token}");
        }
    }

    #[test]
    fn kinds_are_those_of_the_contract() {
        let names = [
            "connected",
            "disconnected",
            "subscribed",
            "unsubscribed",
            "occupied",
            "vacated",
            "revoked",
            "denied",
        ];
        let names = names.map(String::from);
        assert_eq!(check_kinds(&names).unwrap(), EventKind::ALL);
        assert_eq!(
            check_kinds(&["Connected".into()]).unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}
