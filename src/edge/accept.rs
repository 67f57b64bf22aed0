//! Taking connections in: never dies of an accept error, and takes no more than it has slots for
//! handshakes; the rest wait in the kernel's backlog. What never comes to a request counts as a
//! connect of its address, and the last quarter of the slots is not for addresses over their rate,
//! so that one that opens silent connections as fast as they are cut keeps nobody else out.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::Front;
use super::proxy_protocol::{self, Step};
use super::spare::Spare;
use crate::clock::Now;
use crate::limits::normalise;

/// The pauses after accept errors that are not one connection's (no descriptors, no memory).
const PAUSES: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];
/// How often such errors are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// What a connection has to send a request's head in while no slot is free: so that silent ones,
/// which look no different from slow ones until then, cannot keep the others out for long.
const HURRIED_DEADLINE: Duration = Duration::from_secs(2);
/// How often it is seen whether slots are free.
const HURRY_INTERVAL: Duration = Duration::from_millis(250);
/// From the request's head to the end of the answer, token checks and slow readers included.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// How a connection failed before it became a session; no fault of the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The socket, TLS included.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A proxy that must send a PROXY header did not.
    #[error(transparent)]
    Proxy(#[from] proxy_protocol::Malformed),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl Front {
    /// Takes connections from `listener` until `shutdown`; then waits for handshakes in flight,
    /// which their deadlines bound.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.accept_for_ever(&listener) => {}
        }
        drop(listener);
        let all = u32::try_from(self.config.max_handshakes).unwrap_or(u32::MAX);
        let _ = self.slots.acquire_many(all).await;
    }

    async fn accept_for_ever(self: &Arc<Self>, listener: &TcpListener) {
        let mut errors = AcceptErrors::default();
        let mut spare = Spare::new();
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            let (stream, peer) = loop {
                match listener.accept().await {
                    Ok((_, peer)) if self.is_crowding(normalise(peer.ip())) => {
                        self.services.limits.idle_connect(normalise(peer.ip()));
                    }
                    Ok(accepted) => break accepted,
                    Err(error) => {
                        self.services.metrics.accept_errors.inc();
                        if errors.are_ours(&error)
                            && !spare.refuse(listener, self.tls.is_none()).await
                        {
                            errors.pause().await;
                        }
                    }
                }
            };
            errors.streak = 0;
            let this = Arc::clone(self);
            tokio::spawn(async move {
                this.services.metrics.handshakes.inc();
                this.handle(stream, normalise(peer.ip())).await;
                this.services.metrics.handshakes.dec();
                drop(slot);
            });
        }
    }

    /// Whether slots are short and `peer` has had more than its share.
    fn is_crowding(&self, peer: IpAddr) -> bool {
        self.slots.available_permits() <= self.config.max_handshakes / 4
            && !self.trusted.trust(peer)
            && self.services.limits.is_over(peer)
    }

    /// One connection, from accept to its hand-over or end.
    async fn handle(&self, stream: TcpStream, peer: IpAddr) {
        let head_seen = AtomicBool::new(false);
        tokio::select! {
            outcome = Box::pin(self.converse(stream, peer, &head_seen)) => {
                if let Err(error) = outcome {
                    tracing::debug!(%peer, %error, "a connection ended before it was a session");
                }
            }
            () = self.deadline(&head_seen) => {
                tracing::debug!(%peer, "a connection was cut at its deadline");
            }
        }
        if !head_seen.load(Ordering::Relaxed) && !self.trusted.trust(peer) {
            self.services.limits.idle_connect(peer);
        }
    }

    /// Returns when the connection has had its time.
    async fn deadline(&self, head_seen: &AtomicBool) {
        let accepted = Instant::now();
        let head_deadline = self.config.header_deadline;
        tokio::time::sleep(HURRIED_DEADLINE.min(head_deadline)).await;
        while !head_seen.load(Ordering::Relaxed) {
            let left = head_deadline.saturating_sub(accepted.elapsed());
            if left.is_zero() || self.slots.available_permits() == 0 {
                return;
            }
            tokio::time::sleep(left.min(HURRY_INTERVAL)).await;
        }
        tokio::time::sleep(ANSWER_DEADLINE).await;
    }

    async fn converse(
        &self,
        mut stream: TcpStream,
        mut peer: IpAddr,
        head_seen: &AtomicBool,
    ) -> Result<(), ConnectionError> {
        stream.set_nodelay(true)?;
        if self.config.proxy_protocol && self.trusted.trust(peer) {
            peer = proxied(&mut stream).await?.map_or(peer, normalise);
        }
        let Some(tls) = &self.tls else {
            return self.http(stream, peer, head_seen).await;
        };
        // Over plain text a denied address is told so; a TLS handshake would be wasted on it.
        let denied = self.services.limits.denied().is_denied(peer, Now::read());
        if denied && !self.trusted.trust(peer) {
            return Ok(());
        }
        let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
        self.http(stream, peer, head_seen).await
    }
}

/// Reads a PROXY header, and not a byte more: whom the proxy speaks for.
async fn proxied(stream: &mut TcpStream) -> Result<Option<IpAddr>, ConnectionError> {
    let mut bytes = Vec::new();
    loop {
        match proxy_protocol::parse(&bytes)? {
            Step::Done(client) => return Ok(client),
            Step::Read(more) => {
                let read = bytes.len();
                bytes.resize(read + more, 0);
                stream.read_exact(&mut bytes[read..]).await?;
            }
        }
    }
}

/// Accept errors in a row, and when they were last logged.
#[derive(Default)]
struct AcceptErrors {
    streak: usize,
    unlogged: u64,
    logged: Option<Instant>,
}

impl AcceptErrors {
    /// Whether `error` is of this process or system, not of a connection that was gone before it
    /// was taken. If so it is logged, now and then.
    fn are_ours(&mut self, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted
        ) {
            return false;
        }
        self.unlogged += 1;
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL)
        {
            tracing::error!(%error, times = self.unlogged, "connections cannot be accepted; still trying");
            self.logged = Some(Instant::now());
            self.unlogged = 0;
        }
        true
    }

    async fn pause(&mut self) {
        let pause = PAUSES[self.streak.min(PAUSES.len() - 1)];
        self.streak += 1;
        tokio::time::sleep(pause).await;
    }
}
