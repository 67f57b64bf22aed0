//! Taking connections in: never dies of an accept error, and takes no more than it has slots for
//! handshakes; the rest wait in the kernel's backlog. What never comes to a request counts as a
//! connect of its address, and the last quarter of the slots is not for addresses over their rate,
//! so that one that opens silent connections as fast as they are cut keeps nobody else out.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::Front;
use super::fallback::Watch;
use super::flow::{Flow, Place};
use super::proxy_protocol::{self, Step};
use super::spare::Spare;
use crate::clock::Now;
use crate::limits::normalise;
use crate::metrics::Metrics;

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
            let progress = Progress::new(Slot::new(slot, &this.services.metrics));
            tokio::spawn(async move {
                this.handle(stream, normalise(peer.ip()), &progress).await;
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
    async fn handle(&self, stream: TcpStream, peer: IpAddr, progress: &Progress) {
        tokio::select! {
            outcome = Box::pin(self.converse(stream, peer, progress)) => {
                if let Err(error) = outcome {
                    tracing::debug!(%peer, %error, "a connection ended before it was a session");
                }
            }
            () = self.deadline(progress) => {
                tracing::debug!(%peer, "a connection was cut at its deadline");
            }
        }
        if !progress.is_head_seen() && !self.trusted.trust(peer) {
            self.services.limits.idle_connect(peer);
        }
    }

    /// Returns when the connection has had its time.
    async fn deadline(&self, progress: &Progress) {
        let head_deadline = self.config.header_deadline;
        if !self
            .came_in_time(head_deadline, || progress.is_head_seen())
            .await
        {
            return;
        }
        tokio::time::sleep(ANSWER_DEADLINE).await;
        if progress.flow.has_place() {
            return progress.flow.stalled(self.config.http_idle).await;
        }
        if progress.is_receiving() {
            while progress.is_receiving() {
                tokio::time::sleep(ANSWER_DEADLINE).await;
            }
            // For what is on its way still.
            tokio::time::sleep(ANSWER_DEADLINE).await;
        }
    }

    /// Returns when `deadline` has passed; sooner while no slot is free, as for a head.
    pub(super) async fn out_of_time(&self, deadline: Duration) {
        self.came_in_time(deadline, || false).await;
    }

    /// Whether it `came` before `deadline` has passed; while no slot is free there is less time.
    async fn came_in_time(&self, deadline: Duration, came: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        tokio::time::sleep(HURRIED_DEADLINE.min(deadline)).await;
        while !came() {
            let left = deadline.saturating_sub(begun.elapsed());
            if left.is_zero() || self.slots.available_permits() == 0 {
                return false;
            }
            tokio::time::sleep(left.min(HURRY_INTERVAL)).await;
        }
        true
    }

    async fn converse(
        &self,
        mut stream: TcpStream,
        mut peer: IpAddr,
        progress: &Progress,
    ) -> Result<(), ConnectionError> {
        stream.set_nodelay(true)?;
        if self.config.proxy_protocol && self.trusted.trust(peer) {
            peer = proxied(&mut stream).await?.map_or(peer, normalise);
        }
        let Some(tls) = &self.tls else {
            return self.http(stream, peer, progress).await;
        };
        // Over plain text a denied address is told so; a TLS handshake would be wasted on it.
        let denied = self.services.limits.denied().is_denied(peer, Now::read());
        if denied && !self.trusted.trust(peer) {
            return Ok(());
        }
        let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
        self.http(stream, peer, progress).await
    }
}

/// How far a connection has come, for who watches its time.
pub(super) struct Progress {
    head_seen: AtomicBool,
    slot: Mutex<Option<Slot>>,
    receiving: Mutex<Option<Watch>>,
    flow: Arc<Flow>,
}

/// A handshake's slot.
struct Slot {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit, metrics: &Metrics) -> Self {
        metrics.handshakes.inc();
        Self {
            _permit: permit,
            metrics: metrics.clone(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.handshakes.dec();
    }
}

impl Progress {
    fn new(slot: Slot) -> Self {
        Self {
            head_seen: AtomicBool::new(false),
            slot: Mutex::new(Some(slot)),
            receiving: Mutex::default(),
            flow: Arc::default(),
        }
    }

    /// The request's head is there.
    pub(super) fn see_head(&self) {
        self.head_seen.store(true, Ordering::Relaxed);
    }

    fn is_head_seen(&self) -> bool {
        self.head_seen.load(Ordering::Relaxed)
    }

    /// What moves on it.
    pub(super) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// From now on it receives from a fallback session, which bounds how many do and for how long:
    /// it is no handshake any more.
    pub(super) fn receive(&self, watch: Watch) {
        *self
            .receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(watch);
        self.give_slot_back();
    }

    /// From now on its bodies come as they come, for which it has a place of its own: it is no
    /// handshake any more.
    pub(super) fn stream(&self, place: Place) {
        self.flow.begin(place);
        self.give_slot_back();
    }

    fn give_slot_back(&self) {
        let slot = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(slot);
    }

    fn is_receiving(&self) -> bool {
        self.receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(Watch::is_receiving)
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
