//! Bodies on their way to an upstream and back. A body that comes slowly is cut off by the pause
//! between two of its parts, not by how long it takes; one whose reader is slow waits.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::{BadAnswer, UpstreamError};

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body.
pub enum RequestBody {
    /// It is there, so that the request can be made again.
    Whole(Bytes),
    /// It comes from a client, who bounds its length and the time it takes.
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What is sent.
pub(super) type Sent = UnsyncBoxBody<Bytes, BoxError>;

/// `bytes` as they are sent.
pub(super) fn whole(bytes: Bytes) -> Sent {
    use http_body_util::BodyExt;
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A client's body, and what says when it has been sent (or nobody wants it any more).
pub(super) fn watched(body: UnsyncBoxBody<Bytes, BoxError>) -> (Sent, oneshot::Receiver<()>) {
    use http_body_util::BodyExt;
    let (sender, receiver) = oneshot::channel();
    let watched = Watched {
        body,
        going: Some(sender),
    };
    (watched.boxed_unsync(), receiver)
}

/// Drops its sender at its end.
struct Watched {
    body: UnsyncBoxBody<Bytes, BoxError>,
    going: Option<oneshot::Sender<()>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() || this.body.is_end_stream() {
            this.going = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An upstream's answer as it comes: each part within `pause` of being asked for.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    pause: Duration,
    /// Since when the next part is waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, pause: Duration) -> Self {
        Self {
            incoming,
            pause,
            late: None,
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        const CUT: UpstreamError = UpstreamError::BadAnswer {
            why: BadAnswer::Http,
            sent: true,
        };
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.late = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| CUT)));
        }
        let pause = this.pause;
        let late = this
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Some(Err(UpstreamError::Timeout { sent: true })))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A body of three bytes whose parts may be `pause` late, and where they are written.
    async fn coming(pause: Duration) -> (UpstreamBody, DuplexStream) {
        let (client, mut server) = tokio::io::duplex(4096);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(client));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let answering = sender.send_request(http::Request::new(Empty::<Bytes>::new()));
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        let (answer, ()) = tokio::join!(answering, async {
            server.read_u8().await.unwrap();
            server.write_all(head).await.unwrap();
        });
        (
            UpstreamBody::new(answer.unwrap().into_body(), pause),
            server,
        )
    }

    #[tokio::test]
    async fn a_stream_may_take_longer_than_any_of_its_parts_and_its_reader_too() {
        let (mut body, mut server) = coming(Duration::from_secs(600)).await;
        for _ in 0..3 {
            assert!(body.late.is_none(), "nobody asks");
            let mut asked = Box::pin(body.frame());
            let asking = std::future::poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx)));
            assert!(asking.await.is_pending());
            drop(asked);
            assert!(body.late.is_some());
            server.write_all(b"x").await.unwrap();
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_part_that_is_late_ends_a_stream() {
        let (body, _server) = coming(Duration::from_millis(50)).await;
        let read = body.collect().await;
        assert!(
            matches!(read, Err(UpstreamError::Timeout { sent: true })),
            "{read:?}"
        );
    }
}
