//! Plain HTTP whose bodies are not read whole: a [`StreamSite`] answers the requests for its paths,
//! body by body as they come. The edge has seen to whom a request comes from, how often, and from
//! whose page; connections are kept open for the next request.

use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::accept::Progress;
use super::flow::{Flow, Flowing, Place};
use super::response::{self, Answer, Body, Refusal};
use super::{Busy, Front, Page, Site, Visit};
use crate::limits;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

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
        if !is_plain(&head) {
            return Err(UNCLEAR);
        }
        if !flow.has_place() {
            progress.stream(self.place(address)?);
        }
        let visit = Visit {
            address,
            page: Page::of(&head.headers, &self.origins()),
        };
        let is_old = head.version < Version::HTTP_11;
        let body = Coming::new(body);
        let is_read = Arc::clone(&body.is_read);
        let body = body.boxed_unsync();
        // Dropped with the request, whatever becomes of it.
        let turn = Turn::take(flow);
        let answered = site.answer(Request::from_parts(head, body), visit).await;
        drop(turn);
        let mut answer = answered.map(|body| Body::Stream(Flowing::new(body, Arc::clone(flow))));
        // Where the next request would begin is known only behind a body that has been read.
        let ends = is_old || self.is_draining() || !is_read.load(Ordering::Relaxed);
        self.say_how_long(ends, answer.headers_mut());
        Ok(answer)
    }

    /// Tells the client for how long it may ask again on this connection: less than it lasts, so
    /// that no request meets its end.
    fn say_how_long(&self, ends: bool, headers: &mut HeaderMap) {
        if ends {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            return;
        }
        let told = self.config.http_idle.as_secs() / 2;
        if let Ok(told) = HeaderValue::try_from(format!("timeout={told}")) {
            headers.insert(KEEP_ALIVE, told);
        }
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

const UNCLEAR: Refusal =
    Refusal::bad("Send one `Host`, and no `Transfer-Encoding` but `chunked`, once.");

/// Whether it is said once to whom the request goes and how its body comes (RFC 9112, 3.2 and 6.1),
/// so that nobody in front may read it as another.
fn is_plain(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let is_one_host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host
            .to_str()
            .is_ok_and(|host| !host.contains('@') && host.parse::<Authority>().is_ok()),
        (None, _) => head.version < Version::HTTP_11,
        _ => false,
    };
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let is_known = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    is_one_host && is_known
}

/// A request's body, and whether all of it has been read.
struct Coming {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl Coming {
    fn new(body: Incoming) -> Self {
        let is_read = Arc::new(AtomicBool::new(body.is_end_stream()));
        Self { body, is_read }
    }
}

impl hyper::body::Body for Coming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        frame.map(|frame| frame.map(|part| part.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
