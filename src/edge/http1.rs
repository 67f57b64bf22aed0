//! HTTP/1.1 on one connection, by hyper: one request, one answer, and then either the hand-over of
//! a WebSocket or a close that lets the client read why. (That it is one follows from the answers,
//! which say `Connection: close`; hyper's own switch would say so on a 101 too.) Only what a
//! streaming site answers leaves the connection open for the next.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::accept::{ConnectionError, Progress};
use super::flow::Counted;
use super::front::{Ticket, Upgraded};
use super::response::Body;
use super::{Connection, Front, Stream};

/// The request's head: line and headers. Beyond it: 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Beyond it: 431.
const MAX_HEADERS: usize = 100;
/// What is read and thrown away after an answer, so that a client that is still sending reads the
/// answer rather than a reset.
const LINGER_BYTES: usize = 8 << 20;
const LINGER: Duration = Duration::from_secs(1);
/// The same while no slot for a handshake is free.
const HURRIED_LINGER: Duration = Duration::from_millis(100);

/// A stream that can be taken off its runtime.
pub(super) trait Detach: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket, not registered any more, and its TLS state.
    fn detach(self) -> io::Result<Stream>;
}

impl Detach for TcpStream {
    fn detach(self) -> io::Result<Stream> {
        Ok(Stream::Plain(self.into_std()?))
    }
}

impl Detach for TlsStream<TcpStream> {
    fn detach(self) -> io::Result<Stream> {
        let (stream, tls) = self.into_inner();
        Ok(Stream::Tls(stream.into_std()?, Box::new(tls)))
    }
}

impl Front {
    /// Serves the one request of a connection.
    pub(super) async fn http<S: Detach>(
        &self,
        stream: S,
        peer: IpAddr,
        progress: &Progress,
    ) -> Result<(), ConnectionError> {
        let upgraded = Mutex::new(None);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            progress.see_head();
            let upgraded = &upgraded;
            Box::pin(async move {
                let (answer, next) = self.answer(request, peer, progress).await;
                if let (Body::Live(receiving), _) | (_, Some(Upgraded::SockJs(receiving))) =
                    (answer.body(), &next)
                {
                    progress.receive(receiving.watch());
                }
                *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = next;
                Ok::<_, Infallible>(answer)
            })
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // It begins with the wait for a request. The first one's head has its own deadline.
            .header_read_timeout(self.config.http_idle + self.config.header_deadline)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(
                TokioIo::new(Counted::new(stream, progress.flow().clone())),
                service,
            );
        let outcome = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let http1::Parts {
            io,
            read_buf: early,
            ..
        } = connection.into_parts();
        let mut stream = io.into_inner();
        let upgraded = upgraded
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match (upgraded, outcome) {
            (Some(Upgraded::Session(ticket)), Ok(())) => {
                stream.flush().await?;
                self.hand_over(ticket, stream.detach()?, early);
                Ok(())
            }
            (Some(Upgraded::SockJs(receiving)), Ok(())) => {
                let spoken = self.speak_sockjs(&mut stream, early, receiving).await;
                linger(stream, LINGER).await;
                Ok(spoken?)
            }
            (_, outcome) => {
                let hurried = self.slots.available_permits() == 0;
                linger(stream, if hurried { HURRIED_LINGER } else { LINGER }).await;
                Ok(outcome?)
            }
        }
    }

    fn hand_over(&self, ticket: Ticket, stream: Stream, early: bytes::Bytes) {
        let connection = Connection {
            stream,
            early,
            address: ticket.address,
            encoding: ticket.encoding,
            deflate: ticket.deflate,
            credential: ticket.credential,
            permit: ticket.permit,
        };
        if let Err(connection) = self.services.sessions.adopt(connection) {
            // It was welcome a moment ago. Its socket is closed; the client tries again.
            tracing::debug!(address = %connection.address, "the workers did not take a connection");
        }
    }
}

/// Closes the sending side, then reads until the client closes its own.
async fn linger<S: Detach>(mut stream: S, span: Duration) {
    let drain = async {
        let mut scratch = [0; 4096];
        let mut left = LINGER_BYTES;
        stream.shutdown().await?;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, io::Error>(())
    };
    // Whether it went well makes no difference: the connection ends here.
    let _ = tokio::time::timeout(span, drain).await;
}
