//! A client's body: at most so long, and never waited for longer than so long. What is short is
//! taken whole before the upstream is asked, so that a slow client holds none of its places.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::HttpBody;
use crate::gateway::upstream::{BoxError, RequestBody};

/// What is taken whole.
const AHEAD: usize = 64 * 1024;
/// The longest pause within a body.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest time for what is taken whole.
const WHOLE: Duration = Duration::from_secs(20);

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    TooLong,
    Late,
    Cut,
}

/// What became of a body that is being sent on.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<AtomicU8>);

impl Fate {
    fn set(&self, broken: Broken) {
        self.0.store(broken as u8 + 1, Ordering::Relaxed);
    }

    /// Why it broke off.
    pub(super) fn broken(&self) -> Broken {
        match self.0.load(Ordering::Relaxed) {
            1 => Broken::TooLong,
            2 => Broken::Late,
            _ => Broken::Cut,
        }
    }
}

/// Takes a body of at most `most` bytes: whole if it is short, else as it comes.
///
/// # Errors
/// It broke off, or is too long.
pub(super) async fn take(body: HttpBody, most: usize) -> Result<(RequestBody, Fate), Broken> {
    let fate = Fate::default();
    if body.size_hint().lower() > most as u64 {
        return Err(Broken::TooLong);
    }
    let mut body = Bounded {
        body,
        left: most,
        late: None,
        fate: fate.clone(),
    };
    let mut ahead = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(part) = frame.map_err(|_| fate.broken())?.into_data() else {
                continue;
            };
            ahead.extend_from_slice(&part);
            if ahead.len() > AHEAD {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let ended = tokio::time::timeout(WHOLE, reading).await;
    let ended = ended.map_err(|_| Broken::Late)??;
    let ahead = ahead.freeze();
    if ended {
        return Ok((RequestBody::Whole(ahead), fate));
    }
    let first = stream::iter([Ok(Frame::data(ahead))]);
    let all = first.chain(BodyStream::new(body));
    let body = BodyExt::boxed_unsync(StreamBody::new(all));
    Ok((RequestBody::Stream(body), fate))
}

struct Bounded {
    body: HttpBody,
    left: usize,
    late: Option<Pin<Box<Sleep>>>,
    fate: Fate,
}

impl Bounded {
    fn broken(&self, broken: Broken) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.fate.set(broken);
        Poll::Ready(Some(Err("the body broke off".into())))
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.late = None;
                let length = frame.data_ref().map_or(0, Bytes::len);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return this.broken(Broken::TooLong),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this.broken(Broken::Cut),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let late = || Box::pin(tokio::time::sleep_until(Instant::now() + PAUSE));
                ready!(this.late.get_or_insert_with(late).as_mut().poll(cx));
                this.broken(Broken::Late)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
