//! Connections whose bodies are not read whole, and that may carry one request after another. They
//! are no handshakes: they have places of their own, on this node and among their address's
//! connections, and are cut when nothing moves on them for a while, rather than after a fixed time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::Stream;
use super::http1::Detach;
use super::stream::{BoxError, StreamBody};
use crate::limits::ConnectionPermit;

/// What moves on a connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    moved: AtomicU64,
    ours: AtomicBool,
    place: Mutex<Option<Place>>,
}

/// A place for such a connection.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) _here: OwnedSemaphorePermit,
    pub(super) _of_address: ConnectionPermit,
}

impl Flow {
    /// From here on the connection is one of these.
    pub(super) fn begin(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    pub(super) fn has_place(&self) -> bool {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.is_some()
    }

    /// Returns when nothing has moved for `stall` although it was the client's turn.
    pub(super) async fn stalled(&self, stall: Duration) {
        let mut before = None;
        loop {
            let now = Some(self.moved.load(Ordering::Relaxed));
            if now == before && !self.ours.load(Ordering::Relaxed) {
                return;
            }
            before = now;
            tokio::time::sleep(stall).await;
        }
    }

    /// It is our turn: the client waits for us, who are bounded elsewhere.
    pub(super) fn set_ours(&self, ours: bool) {
        self.ours.store(ours, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// A socket that tells its [`Flow`] when something moves.
#[derive(Debug)]
pub(super) struct Counted<S> {
    inner: S,
    flow: Arc<Flow>,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, flow: Arc<Flow>) -> Self {
        Self { inner, flow }
    }

    fn count<T>(&self, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Ok(_)) = moved {
            self.flow.moved.fetch_add(1, Ordering::Relaxed);
        }
        moved
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.count(moved)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.count(moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.count(moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: Detach> Detach for Counted<S> {
    fn detach(self) -> io::Result<Stream> {
        self.inner.detach()
    }
}

/// The body of an answer: while its next part is waited for, it is our turn.
#[derive(Debug)]
pub(super) struct Flowing {
    body: StreamBody,
    flow: Arc<Flow>,
}

impl Flowing {
    pub(super) fn new(body: StreamBody, flow: Arc<Flow>) -> Self {
        Self { body, flow }
    }
}

impl Drop for Flowing {
    fn drop(&mut self) {
        self.flow.set_ours(false);
    }
}

impl Body for Flowing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.flow.set_ours(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_moves_or_is_our_turn_is_not_stalled() {
        const SHORT: Duration = Duration::from_millis(40);
        let flow = Arc::new(Flow::default());
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Counted::new(server, flow.clone());
        let moving = async {
            for _ in 0..20 {
                client.write_all(b"x").await.unwrap();
                server.read_u8().await.unwrap();
                tokio::time::sleep(SHORT / 4).await;
            }
        };
        tokio::select! {
            () = flow.stalled(SHORT) => panic!("it moves"),
            () = moving => {}
        }
        flow.set_ours(true);
        assert!(timeout(SHORT * 4, flow.stalled(SHORT)).await.is_err());
        flow.set_ours(false);
        flow.stalled(SHORT).await;
    }
}
