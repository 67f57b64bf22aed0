//! Health, readiness and metrics, on a listener of their own. All three are open to whoever
//! reaches it; keys are for the console, which needs one beyond loopback.
//!
//! Invariant: a connection carries one request and ends by `deadline`, whatever its peer does,
//! so that slow peers cannot keep probes out for long.

mod readiness;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

pub use readiness::{NotReady, Readiness};

/// Longest request head in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// How long to wait after an accept that failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A probe sends its request at once; who does not keeps others waiting.
const HEAD_DEADLINE: Duration = Duration::from_secs(1);

/// The admin listener's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may open the console.
    pub keys: Vec<Key>,
    /// Most connections at a time; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// From accepting a connection to the end of its answer.
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8082)),
            keys: Vec::new(),
            max_connections: 64,
            deadline: Duration::from_secs(10),
        }
    }
}

/// A named key.
#[derive(Clone)]
pub struct Key {
    /// Names the operator.
    pub name: String,
    /// What the operator shows.
    pub secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The listener, bound.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    max_connections: usize,
    deadline: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    readiness: Readiness,
    metrics: Metrics,
}

impl Admin {
    /// Binds the listener. Connections are answered by [`Self::run`].
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(
        config: &Config,
        readiness: Readiness,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(config.listen).await?,
            max_connections: config.max_connections,
            deadline: config.deadline,
            shared: Arc::new(Shared { readiness, metrics }),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown` is done. It should be the last listener to stop: probes ask it
    /// while the others drain.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        tokio::pin!(shutdown);
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                () = &mut shutdown => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self.shared);
                    let deadline = self.deadline;
                    tokio::spawn(async move {
                        let _slot = slot;
                        // A peer that went away or dribbles is no event worth a log line.
                        let _ = tokio::time::timeout(deadline, answer(stream, shared)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, shared: Arc<Shared>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = shared.respond(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

impl Shared {
    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method(), request.uri().path());
        let known = matches!(path, "/healthz" | "/readyz" | "/metrics");
        if !known {
            return text(StatusCode::NOT_FOUND, "not found");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => self.scrape(request.headers()),
            "/readyz" => match self.readiness.check() {
                Ok(()) => text(StatusCode::OK, "ready"),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
            },
            _ => text(StatusCode::OK, "ok"),
        }
    }

    fn scrape(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let (body, kind) = if wants_open_metrics(headers) {
            (self.metrics.encode(), Metrics::OPEN_TYPE)
        } else {
            (self.metrics.encode_classic(), Metrics::CLASSIC_TYPE)
        };
        let mut response = text(StatusCode::OK, body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// Whether a scraper asks for OpenMetrics; those who do not get the older text.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
