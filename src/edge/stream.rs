//! Plain HTTP whose bodies are not read whole: a [`StreamSite`] answers the requests for its paths,
//! body by body as they come. The edge has seen to whom a request comes from, how often, and from
//! whose page; connections are kept open for the next request.

use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use super::accept::Progress;
use super::flow::{Flow, Flowing, Place};
use super::response::{self, Answer, Body, Refusal};
use super::{Busy, Front, Page, Site, Visit};
use crate::limits;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body as it comes.
pub type StreamBody = UnsyncBoxBody<Bytes, BoxError>;

/// An answer whose body may still be coming.
pub type StreamFuture<'a> = Pin<Box<dyn Future<Output = Response<StreamBody>> + Send + 'a>>;

/// Answers plain HTTP on some paths of the edge. It bounds how long it takes itself, and for how
/// long it waits for a request's body.
pub trait StreamSite: Send + Sync {
    /// Whether `uri`, its query included, is the site's: then it answers, whatever the method.
    fn has(&self, uri: &Uri) -> bool;

    /// Answers a request for one of its uris.
    fn answer(&self, request: Request<StreamBody>, visit: Visit) -> StreamFuture<'_>;
}

impl Front {
    /// Whether `uri` is the streaming site's. A path of another site's never is.
    pub(super) fn is_stream(&self, uri: &Uri) -> bool {
        let has = |site: &Arc<dyn StreamSite>| site.has(uri);
        let is_theirs = |site: &Arc<dyn Site>| site.has(uri.path());
        self.services.stream.as_ref().is_some_and(has) && !self.services.sites.iter().any(is_theirs)
    }

    /// Asks the streaming site, if the path is its.
    pub(super) async fn ask_stream(
        &self,
        head: Parts,
        body: Incoming,
        address: IpAddr,
        progress: &Progress,
    ) -> Result<Answer, Refusal> {
        let Some(site) = &self.services.stream else {
            return Err(response::NOTHING);
        };
        let flow = progress.flow();
        if !flow.has_place() {
            progress.stream(self.place(address)?);
        }
        let visit = Visit {
            address,
            page: Page::of(&head.headers, &self.origins()),
        };
        let ends = head.version < Version::HTTP_11 || self.is_draining();
        let body = body.map_err(Into::into).boxed_unsync();
        // Dropped with the request, whatever becomes of it.
        let turn = Turn::take(flow);
        let answered = site.answer(Request::from_parts(head, body), visit).await;
        drop(turn);
        let mut answer = answered.map(|body| Body::Stream(Flowing::new(body, Arc::clone(flow))));
        if ends {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        Ok(answer)
    }

    fn is_draining(&self) -> bool {
        self.services.sessions.ready() == Err(Busy::Draining)
    }

    fn place(&self, address: IpAddr) -> Result<Place, Refusal> {
        let here = Arc::clone(&self.streams).try_acquire_owned();
        let of_address = self.services.limits.connection(address);
        match (here, of_address) {
            (Ok(here), Ok(of_address)) => Ok(Place {
                _here: here,
                _of_address: of_address,
            }),
            (_, Err(limits::Refusal::TooMany)) => Err(Refusal::too_many(
                "Too many connections from this address; close some.",
                response::RETRY_TOO_MANY,
            )),
            _ => Err(Refusal::unavailable(
                "This node is full.",
                response::RETRY_OVERLOADED,
            )),
        }
    }
}

/// Our turn on a connection.
struct Turn<'a>(&'a Flow);

impl<'a> Turn<'a> {
    fn take(flow: &'a Flow) -> Self {
        flow.set_ours(true);
        Self(flow)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set_ours(false);
    }
}
