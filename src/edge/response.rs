//! Answers that are no WebSocket: what is wrong, in a sentence that says what to do.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

use super::fallback::Receiving;
use super::flow::Flowing;
use super::handshake::Handshake;
use super::stream::BoxError;
use crate::limits;

/// When to come back: to another node, which a load balancer finds at once.
pub(super) const RETRY_DRAINING: Duration = Duration::from_secs(1);
/// When sessions may have ended.
pub(super) const RETRY_OVERLOADED: Duration = Duration::from_secs(5);
/// When some of the address's connections may have ended.
pub(super) const RETRY_TOO_MANY: Duration = Duration::from_secs(5);
/// When the issuer's keys may have been fetched.
pub(super) const RETRY_KEYS: Duration = Duration::from_secs(5);

/// Any answer of the edge's front.
pub(super) type Answer = Response<Body>;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// It is there.
    Whole(Full<Bytes>),
    /// It comes as a fallback session has something to say.
    Live(Receiving),
    /// It comes as a site has it.
    Stream(Flowing),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(whole) => never_fails(Pin::new(whole).poll_frame(cx)),
            Self::Live(live) => live
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Live(_) => false,
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Live(_) => SizeHint::default(),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

/// What has no errors has none of this type either.
fn never_fails<T>(frame: Poll<Option<Result<T, Infallible>>>) -> Poll<Option<Result<T, BoxError>>> {
    frame.map(|frame| frame.map(|part| part.map_err(|never| match never {})))
}

/// Nobody's path.
pub(super) const NOTHING: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "Nothing here; WebSockets are at `/`, `/ws` and, for Pusher's clients, `/app/{key}`.",
);

/// A request that is refused. The headers that go with a status are [`Refusal::answer`]'s matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) says: &'static str,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, says: &'static str) -> Self {
        Self {
            status,
            says,
            retry_after: None,
        }
    }

    pub(super) const fn bad(says: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, says)
    }

    /// Without a word on what is wrong with the token: whoever guesses learns nothing.
    pub(super) const fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Send a valid token.")
    }

    pub(super) const fn too_many(says: &'static str, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, says)
        }
    }

    pub(super) const fn unavailable(says: &'static str, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, says)
        }
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = Response::new(Body::from(Bytes::from(format!("{}\n", self.says))));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(limits::retry_seconds(wait)));
        }
        answer
    }
}

/// 101: from here on it is a WebSocket.
pub(super) fn switching(handshake: &Handshake) -> Answer {
    let mut answer = Response::new(Body::from(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    // base64 is always a header's value.
    if let Ok(accept) = HeaderValue::from_str(&handshake.accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(extensions) = handshake.extensions {
        headers.insert(
            SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_static(extensions),
        );
    }
    if let Some(subprotocol) = handshake.subprotocol {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
    }
    answer
}

/// The demo page.
pub(super) fn page(html: Bytes) -> Answer {
    let mut answer = Response::new(Body::from(html));
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What the page says of itself, and what only a header can say: no one may frame it.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    );
    answer
}
