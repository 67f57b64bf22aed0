//! `pogo.v1.Publisher`: everything is checked before anything is published.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{FutureExt, join_all, ready};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::check::Check;
use super::gate::{Stopping, stopped};
use super::proto::publisher_server::Publisher;
use super::proto::{
    PublishBatchRequest, PublishBatchResponse, PublishBatchResult, PublishRequest, PublishResponse,
    PublishStreamRequest, PublishStreamResponse, publish_batch_result, publish_stream_response,
};
use super::turns::Turns;
use super::{Service, convert, status};
use crate::channel::ChannelName;
use crate::node::NewPublication;
use crate::publication::Form;

/// A request that may be published.
struct Checked {
    channels: Vec<ChannelName>,
    /// What each channel gets; its own channel is the first of them.
    publication: NewPublication,
}

#[tonic::async_trait]
impl Publisher for Service {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let caller = caller(&request)?;
        let checked = self.check_publish(&caller, request.into_inner())?;
        Ok(Response::new(self.publish_all(checked).await?))
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        let caller = caller(&request)?;
        let requests = request.into_inner().requests;
        let mut check = Check::default();
        check.count("requests", requests.len(), self.limits.batch);
        check.done()?;

        let mut turns = Turns::default();
        let results = stream::iter(requests)
            .map(|request| self.turn(&mut turns, &caller, request))
            .buffered(self.limits.publish_in_flight)
            .map(|result| PublishBatchResult {
                result: Some(match result {
                    Ok(response) => publish_batch_result::Result::Response(response),
                    Err(refusal) => publish_batch_result::Result::Status(status::as_item(&refusal)),
                }),
            })
            .collect()
            .await;
        Ok(Response::new(PublishBatchResponse { results }))
    }

    type PublishStreamStream = BoxStream<'static, Result<PublishStreamResponse, Status>>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = caller(&request)?;
        let stopping = request
            .extensions()
            .get::<watch::Receiver<Stopping>>()
            .cloned();
        let stopping = stopping.unwrap_or_else(|| watch::channel(Stopping::None).1);
        let (service, mut turns) = (self.clone(), Turns::default());
        let responses = until_stopped(request.into_inner(), stopping)
            .map(move |request| match request {
                Ok(request) => service
                    .stream_turn(&mut turns, &caller, request)
                    .map(Ok)
                    .left_future(),
                Err(end) => ready(Err(status::mend(end))).right_future(),
            })
            .buffered(self.limits.publish_in_flight);
        Ok(Response::new(responses.boxed()))
    }
}

impl Service {
    /// Publishes on all channels of the request at once. Where the broker fails on one, others may
    /// have been published: an idempotency key makes it safe to try again.
    async fn publish_all(&self, checked: Checked) -> Result<PublishResponse, Status> {
        let Checked {
            channels,
            publication,
        } = checked;
        if let [channel] = &*channels {
            let accepted = self.node.publish(publication).await;
            let accepted = accepted.map_err(status::publish)?;
            let receipts = vec![convert::receipt(channel, &accepted)];
            return Ok(PublishResponse { receipts });
        }
        let accepted = join_all(channels.iter().map(|channel| {
            let channel = channel.clone();
            self.node.publish(NewPublication {
                channel,
                ..publication.clone()
            })
        }));
        let receipts = channels
            .iter()
            .zip(accepted.await)
            .map(|(channel, accepted)| {
                let accepted = accepted.map_err(status::publish)?;
                Ok(convert::receipt(channel, &accepted))
            });
        let receipts = receipts.collect::<Result<_, Status>>()?;
        Ok(PublishResponse { receipts })
    }

    /// Publishes when it is the request's turn on all its channels.
    fn turn(
        &self,
        turns: &mut Turns,
        caller: &Caller,
        request: PublishRequest,
    ) -> impl Future<Output = Result<PublishResponse, Status>> + Send + use<> {
        let checked = self.check_publish(caller, request);
        let channels = checked.as_ref().map(|checked| checked.channels.clone());
        let service = self.clone();
        turns.take(&channels.unwrap_or_default(), async move {
            service.publish_all(checked?).await
        })
    }

    fn stream_turn(
        &self,
        turns: &mut Turns,
        caller: &Caller,
        request: PublishStreamRequest,
    ) -> impl Future<Output = PublishStreamResponse> + Send + use<> {
        let PublishStreamRequest { sequence, publish } = request;
        let done = match publish {
            Some(request) => self.turn(turns, caller, request).left_future(),
            None => ready(Err(status::bad_field("publish", "missing"))).right_future(),
        };
        done.map(move |result| PublishStreamResponse {
            sequence,
            result: Some(match result {
                Ok(response) => publish_stream_response::Result::Response(response),
                Err(refusal) => publish_stream_response::Result::Status(status::as_item(&refusal)),
            }),
        })
    }

    fn check_publish(&self, caller: &Caller, request: PublishRequest) -> Result<Checked, Status> {
        let mut check = Check::default();
        let channels = self.check_channels(&mut check, &request.channels);
        check.event(&request.event, &request.data);
        let ttl = check.ttl(request.ttl.as_ref());
        let key = request.idempotency_key.filter(|key| !key.is_empty());
        if let Some(key) = &key {
            check.length("idempotency_key", key, self.limits.idempotency_key_bytes);
        }
        let exclude = request.exclude_session.filter(|id| !id.is_empty());
        let exclude = exclude.and_then(|id| check.take("exclude_session", id.parse()));
        check.done()?;
        if channels.iter().any(|channel| !caller.may_publish(channel)) {
            return Err(status::permission_denied(
                "publish for every channel of the request",
            ));
        }
        let Some(channel) = channels.first().cloned() else {
            return Err(status::bad_field("channels", "at least one is needed"));
        };
        let publication = NewPublication {
            channel,
            event: request.event.into(),
            // Its own copy: a slice would keep the whole message it came in for as long as a
            // subscriber keeps the publication.
            data: Bytes::copy_from_slice(&request.data),
            ttl,
            exclude,
            form: Form::Json,
            user: None,
            skip_history: request.skip_history,
            change: None,
            // The caller's name holds no NUL, so two callers' keys never meet.
            idempotency: key.map(|key| format!("{}\0{key}", caller.name).into()),
        };
        Ok(Checked {
            channels,
            publication,
        })
    }

    fn check_channels(&self, check: &mut Check, names: &[String]) -> Vec<ChannelName> {
        let limit = self.limits.request_channels;
        check.count("channels", names.len(), limit);
        let mut seen = HashSet::new();
        let mut channels = Vec::with_capacity(names.len().min(limit));
        for (i, name) in names.iter().take(limit).enumerate() {
            let field = format_args!("channels[{i}]");
            // A set that stays empty costs nothing, and most requests have one channel.
            if names.len() > 1 && !seen.insert(name) {
                check.refuse(field, "named twice");
            }
            let name = check.channel(field, name);
            let canonical = |name| check.take(field, self.node.canonical(name));
            channels.extend(name.and_then(canonical));
        }
        channels
    }
}

/// Who calls. The gate has put it there.
fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    let caller = request.extensions().get::<Arc<Caller>>();
    caller
        .cloned()
        .ok_or_else(|| Status::internal("the call did not come through the gate"))
}

/// What a client sends, until the connection must end: then nothing more is read, and the stream
/// ends with why once all that was read is answered.
fn until_stopped<T: Send + 'static>(
    requests: Streaming<T>,
    stopping: watch::Receiver<Stopping>,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream::unfold(Some((requests, stopping)), |state| async move {
        let (mut requests, mut stopping) = state?;
        let item = tokio::select! {
            biased;
            stop = stopped(&mut stopping) => Err(stop.status()),
            item = requests.next() => item?,
        };
        let go_on = item.is_ok().then_some((requests, stopping));
        Some((item, go_on))
    })
}
