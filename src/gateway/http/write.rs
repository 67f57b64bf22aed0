//! POST, PUT, PATCH and DELETE. Once the upstream has been asked a write runs to its end, whoever
//! waits for it; and whoever is bound is told, as of one over a socket.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;

use super::body::{self, Broken, Fate};
use super::who::Who;
use super::{Http, HttpBody, Visitor, refuse, whole};
use crate::code::ErrorCode;
use crate::gateway::ask::no_answer;
use crate::gateway::cache::clean;
use crate::gateway::read::View;
use crate::gateway::upstream::{Asked, BoxError, RequestBody, UpstreamBody, UpstreamError};
use crate::gateway::write::Made;
use crate::gateway::{Gateway, failure};
use crate::resource::{Failure, Resource, Verb};

impl Http {
    pub(super) async fn write(
        &self,
        (resource, verb, room): (Resource, Verb, OwnedSemaphorePermit),
        head: &Parts,
        body: HttpBody,
        visitor: Visitor,
    ) -> Response<HttpBody> {
        let who = match self.who(&resource.endpoint, &head.headers, visitor).await {
            Ok(who) => who,
            Err(failure) => return refuse::of(&failure),
        };
        match self.prepared(&resource, head, body, who).await {
            Err(refused) => refused,
            Ok((asked, fate)) => {
                let gateway = Arc::clone(self.gateway());
                let written = tokio::spawn(async move {
                    let _room = room;
                    Box::pin(gateway.write_http(&resource, verb, asked, &fate)).await
                });
                written.await.unwrap_or_else(|_| {
                    let broken = "The write came to nothing.";
                    refuse::of(&failure::plain(ErrorCode::Internal, broken))
                })
            }
        }
    }

    /// The request as the upstream gets it.
    async fn prepared(
        &self,
        resource: &Resource,
        head: &Parts,
        body: HttpBody,
        who: Who,
    ) -> Result<(Asked, Fate), Response<HttpBody>> {
        let gateway = self.gateway();
        let refused = |failure: Failure| refuse::of(&failure);
        View::of(resource, &who.caller).map_err(refused)?;
        let coded = head.headers.get(CONTENT_ENCODING);
        if coded.is_some_and(|coding| coding.as_bytes() != b"identity") {
            return Err(refuse::because(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "bad_request",
                &"send the body without a content coding",
            ));
        }
        let identity = gateway.identity(&resource.endpoint, &who.caller, false);
        let mut identity = identity.map_err(refused)?;
        if let Some(own) = who.own {
            identity.insert(http::header::AUTHORIZATION, own);
        }
        let (body, fate) = body::take(body, gateway.config().body_bytes)
            .await
            .map_err(broken)?;
        let asked = Asked {
            method: head.method.clone(),
            path: resource.upstream_path().to_owned(),
            headers: head.headers.clone(),
            identity,
            body,
            idempotent: false,
            address: Some(who.caller.address),
        };
        Ok((asked, fate))
    }
}

fn broken(why: Broken) -> Response<HttpBody> {
    match why {
        Broken::TooLong => refuse::because(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            &"the body is longer than `gateway.body_bytes`",
        ),
        Broken::Late => refuse::because(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            &"the body did not come in time",
        ),
        Broken::Cut => refuse::because(
            StatusCode::BAD_REQUEST,
            "bad_request",
            &"the body is cut off or no HTTP",
        ),
    }
}

impl Gateway {
    async fn write_http(
        self: Arc<Self>,
        resource: &Resource,
        verb: Verb,
        asked: Asked,
        fate: &Fate,
    ) -> Response<HttpBody> {
        let sent = match &asked.body {
            RequestBody::Whole(bytes) => bytes.clone(),
            RequestBody::Stream(_) => Bytes::new(),
        };
        let answer = self.upstreams().stream(&resource.endpoint, asked).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(UpstreamError::Body) => {
                // Whatever of it arrived may have been enough.
                self.stir(resource);
                return broken(fate.broken());
            }
            Err(error) => {
                let failure = Failure {
                    outcome_unknown: error.is_outcome_unknown(),
                    ..no_answer(&error)
                };
                if failure.outcome_unknown {
                    self.stir(resource);
                }
                return refuse::of(&failure);
            }
        };
        let (mut head, body) = answer.into_parts();
        let (read, rest) = read(body, self.config().body_bytes).await;
        let made = Made {
            verb,
            target: resource,
            sent,
            status: head.status,
            headers: &head.headers,
            body: read.clone(),
        };
        self.made(made).await;
        clean(&mut head.headers);
        let body = match rest {
            Rest::Nothing => {
                head.headers.remove(CONTENT_LENGTH);
                whole(read)
            }
            Rest::More(rest) => {
                let rest = BodyStream::new(rest.map_err(Into::into));
                BodyExt::boxed_unsync(StreamBody::new(first(read).chain(rest)))
            }
            Rest::Broken(error) => {
                let rest = stream::iter([Err(error.into())]);
                BodyExt::boxed_unsync(StreamBody::new(first(read).chain(rest)))
            }
        };
        Response::from_parts(head, body)
    }
}

/// What follows of a body after what has been read.
enum Rest {
    Nothing,
    More(UpstreamBody),
    /// It was cut off, and so it goes on.
    Broken(UpstreamError),
}

fn first(read: Bytes) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    stream::iter([Ok(Frame::data(read))])
}

/// Reads a body up to `most` bytes; what is beyond comes as it comes.
async fn read(mut body: UpstreamBody, most: usize) -> (Bytes, Rest) {
    let mut read = BytesMut::new();
    while read.len() <= most {
        match body.frame().await {
            None => return (read.freeze(), Rest::Nothing),
            Some(Ok(frame)) => {
                if let Ok(part) = frame.into_data() {
                    read.extend_from_slice(&part);
                }
            }
            Some(Err(error)) => return (read.freeze(), Rest::Broken(error)),
        }
    }
    (read.freeze(), Rest::More(body))
}
