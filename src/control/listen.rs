//! Connections: accept, TLS, the HTTP/2 preface, and how each ends.
//!
//! Invariants: a failed accept stops nobody; a connection that is not through its preface by the
//! handshake deadline is cut; there are never more than the configured number of connections, the
//! rest wait in the kernel's backlog, and while they do, connections on which no caller has shown a
//! credential are cut at that deadline too; a flood of frames that carry no call ends a connection; when the server stops, every connection is told to go, and
//! cut when its grace is over.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::config::Limits;
use super::gate::{Gate, Stop, Stopping};
use super::meter::Meter;
use super::tls::Certificates;

/// The client's preface and the head of its first frame (RFC 9113, 3.4 and 4.1), in bytes.
const PREFACE_BYTES: usize = 24 + 9;
/// How long accepting rests after an error that is not one connection's own.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the certificate files are looked at.
const REFRESH: Duration = Duration::from_secs(10);
/// What a client may send ahead of our reading, in bytes: on one call, and on all of a connection.
/// The second is larger, so that a call that nobody reads does not hold up the others.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long the answers of calls that were told to end may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Accepts connections and serves them.
pub(super) struct Listen {
    pub(super) limits: Limits,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// The gate for a connection; what differs from one to the next is set on the copy.
    pub(super) gate: Gate,
}

impl Listen {
    /// Serves until `shutdown` ends, then lets what is in flight finish within its grace.
    pub(super) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let listen = Arc::new(self);
        tokio::select! {
            () = shutdown => {}
            () = listen.accept(listener, &slots, &stopping) => {}
            () = listen.refresh() => {}
        }
        stop.send_replace(true);
        // All slots are free again when the last connection is gone.
        let all = u32::try_from(listen.limits.connections).unwrap_or(u32::MAX);
        let _ = slots.acquire_many(all).await;
    }

    async fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        slots: &Arc<Semaphore>,
        stopping: &watch::Receiver<bool>,
    ) {
        while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = Arc::clone(self).serve(stream, slot, stopping.clone());
                    tokio::spawn(connection);
                }
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the control listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn refresh(&self) {
        let Some(certificates) = &self.certificates else {
            return std::future::pending().await;
        };
        loop {
            sleep(REFRESH).await;
            let certificates = Arc::clone(certificates);
            match tokio::task::spawn_blocking(move || certificates.refresh()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("the control listener has a new certificate"),
                Ok(Err(error)) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the control listener keeps its certificate"
                ),
                Err(error) => tracing::error!(%error, "reading certificates failed"),
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        stopping: watch::Receiver<bool>,
    ) {
        let deadline = Instant::now() + self.limits.handshake_deadline;
        // Without it small answers wait for the peer; they arrive either way.
        let _ = stream.set_nodelay(true);
        let mut gate = self.gate.clone();
        gate.known = Arc::default();
        let io: Box<dyn Io> = match &self.certificates {
            None => Box::new(stream),
            Some(certificates) => {
                let acceptor = TlsAcceptor::from(certificates.current());
                let Ok(Ok(stream)) = timeout_at(deadline, acceptor.accept(stream)).await else {
                    return;
                };
                gate.certificate = stream.get_ref().1.peer_certificates().is_some();
                gate.known.store(gate.certificate, Ordering::Relaxed);
                Box::new(stream)
            }
        };
        let known = Arc::clone(&gate.known);
        let io = Prefaced::new(io, deadline, self.limits.control_frames);
        tokio::select! {
            () = self.drive(io, gate, stopping) => {}
            () = self.crowded_out(&known, slot.semaphore()) => {}
        }
    }

    /// Returns when a connection that no caller has used keeps others waiting.
    async fn crowded_out(&self, known: &AtomicBool, slots: &Semaphore) {
        loop {
            sleep(self.limits.handshake_deadline).await;
            if known.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            if slots.available_permits() == 0 {
                return;
            }
        }
    }

    async fn drive(&self, io: Prefaced, mut gate: Gate, mut stopping: watch::Receiver<bool>) {
        let (stop, stopped) = watch::channel(Stopping::None);
        gate.stopping = stopped;
        let mut connection = pin!(
            self.http()
                .serve_connection(TokioIo::new(io), gate.into_service())
        );
        let why = tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopping.wait_for(|stop| *stop) => Stop::Draining,
            () = sleep(jittered(self.limits.connection_age)) => Stop::Aged,
        };
        connection.as_mut().graceful_shutdown();
        if why == Stop::Aged {
            // Calls go on until the grace is over; new ones go to another connection.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopping.wait_for(|stop| *stop) => {}
                () = sleep(self.limits.connection_age_grace) => {}
            }
        }
        stop.send_replace(Some(why));
        let rest = match why {
            Stop::Draining => self.limits.shutdown_grace,
            Stop::Aged => LAST_WORDS,
        };
        let _ = timeout(rest, connection).await;
    }

    fn http(&self) -> http2::Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(limits.error_resets);
        http
    }
}

/// Whether an accept error says nothing about the next connection.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// `span` and up to a tenth more, so that connections that came together do not leave together.
fn jittered(span: Duration) -> Duration {
    // Without randomness they leave together, which is no reason to fail.
    let part = getrandom::u32().unwrap_or_default();
    span + span.mul_f64(f64::from(part) / f64::from(u32::MAX) / 10.0)
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that fails unless its preface comes in time, or at a flood.
struct Prefaced {
    io: Box<dyn Io>,
    meter: Meter,
    /// Bytes of the preface that are missing, and until when.
    missing: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Prefaced {
    fn new(io: Box<dyn Io>, deadline: Instant, control_frames: u32) -> Self {
        Self {
            io,
            meter: Meter::new(control_frames),
            missing: Some((PREFACE_BYTES, Box::pin(sleep_until(deadline)))),
        }
    }
}

impl AsyncRead for Prefaced {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, meter, missing } = self.get_mut();
        if let Some((_, deadline)) = missing
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(io).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if let Err(flood) = meter.read(read, std::time::Instant::now()) {
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        if let Some((bytes, _)) = missing {
            *bytes = bytes.saturating_sub(buffer.filled().len() - before);
            if *bytes == 0 {
                *missing = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefaced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
