//! How long a call may take: the `grpc-timeout` header, and the end of a streamed answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tonic::Status;

use super::status;

/// The time a client gives a call: up to 8 digits and a unit, as gRPC over HTTP/2 defines it.
/// `None`: it does not say.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(parse);
    parsed
        .map(Some)
        .ok_or_else(|| status::bad_field("grpc-timeout", "not a timeout"))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The body of a streamed answer. It ends with a status as soon as `end` knows one.
pub(super) struct Ending<B> {
    inner: B,
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl<B> Ending<B> {
    pub(super) fn new(inner: B, end: impl Future<Output = Status> + Send + 'static) -> Self {
        Self {
            inner,
            end: Some(Box::pin(end)),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(end) = self.end.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = end.as_mut().poll(context) {
            self.end = None;
            let mut trailers = HeaderMap::new();
            // Only a message that no header can hold fails, and ours are plain text.
            let _ = status.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http_body_util::{BodyExt, StreamBody};

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("0S", Some(Duration::ZERO)),
            ("15m", Some(Duration::from_millis(15))),
            ("7u", Some(Duration::from_micros(7))),
            ("8n", Some(Duration::from_nanos(8))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("123456789S", None),
            ("1.5S", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_str(text).unwrap());
            assert_eq!(timeout(&headers).ok(), expected.map(Some), "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }

    #[tokio::test]
    async fn an_endless_body_ends_with_the_status() {
        let (tell, told) = tokio::sync::oneshot::channel::<Status>();
        let frames = futures_util::stream::once(async {
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
        });
        let endless = StreamBody::new(Box::pin(futures_util::StreamExt::chain(
            frames,
            futures_util::stream::pending(),
        )));
        let mut body = Ending::new(endless, async { told.await.unwrap() });
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "x"
        );
        tell.send(status::deadline()).unwrap();
        let trailers = body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_trailers()
            .unwrap();
        assert_eq!(trailers["grpc-status"], "4");
        assert!(body.frame().await.is_none() && body.is_end_stream());
    }
}
