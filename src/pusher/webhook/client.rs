//! Makes the requests: the address is resolved and checked for each connection, which then goes to
//! that very address; time and what is read are bounded; redirects are answers like any other.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::guard::Guard;
use super::lane::Attempt;
use super::{Config, Hook};

/// How many of a name's addresses are tried.
const MOST_ADDRESSES: usize = 4;
/// How long a connection may wait for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// How a request ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("no answer in time")]
    Timeout,
    #[error("the address is not public; `pusher.webhook_allow` can allow it")]
    Blocked,
    #[error("the request failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl SendError {
    /// Its label.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Timeout => "timeout",
            Self::Blocked => "blocked",
            Self::Failed(_) => "error",
        }
    }
}

/// Makes requests. Cloning shares the connections.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HttpClient<HttpsConnector<Connector>, Full<Bytes>>,
    timeout: Duration,
    response_bytes: usize,
}

impl Client {
    /// A client for the webhooks of `config`, which trusts the system's certificate authorities.
    ///
    /// # Errors
    /// There are none, and a webhook needs them.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(io::Error::other)?;
        let tls = if config.hooks.iter().any(|hook| hook.target.is_https()) {
            tls.with_native_roots()?
        } else {
            tls.with_root_certificates(RootCertStore::empty())
        };
        Ok(Self::with_tls(config, tls.with_no_client_auth()))
    }

    pub(super) fn with_tls(config: &Config, tls: ClientConfig) -> Self {
        let guard = Guard {
            allow: config.allow.clone(),
            loopback: config.loopback,
        };
        let connector = Connector {
            guard: Arc::new(guard),
            timeout: config.timeout,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self {
            http,
            timeout: config.timeout,
            response_bytes: config.response_bytes,
        }
    }

    /// Makes one request.
    pub(super) async fn post(&self, attempt: Attempt) -> Result<(), SendError> {
        let request = request(&attempt.hook, attempt.body)?;
        let end = Instant::now() + self.timeout;
        let answer = timeout_at(end, self.http.request(request)).await;
        let response = answer.map_err(|_| SendError::Timeout)?.map_err(|error| {
            if is_blocked(&error) {
                SendError::Blocked
            } else {
                SendError::Failed(Box::new(error))
            }
        })?;
        let status = response.status();
        // The status has said it all: what becomes of the body is not a failure.
        let _ = timeout_at(end, self.read_off(response)).await;
        if status.is_success() {
            Ok(())
        } else {
            Err(SendError::Status(status))
        }
    }

    /// Reads the body, so that the connection can be used again; what is too long ends it.
    async fn read_off(&self, response: Response<Incoming>) {
        let mut body = Limited::new(response.into_body(), self.response_bytes);
        while let Some(Ok(_)) = body.frame().await {}
    }
}

fn request(hook: &Hook, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
    let signature = hook.app.hex(&body);
    let mut request = Request::post(hook.target.uri.clone())
        // Exactly this: Pusher's library for Node takes nothing after it.
        .header(CONTENT_TYPE, "application/json")
        .header(
            USER_AGENT,
            concat!("pogo-webhooks/", env!("CARGO_PKG_VERSION")),
        )
        .header("x-pusher-key", &*hook.app.key)
        .header("x-pusher-signature", signature)
        .body(Full::new(body))
        .map_err(|error| SendError::Failed(Box::new(error)))?;
    if let Some(authorization) = &hook.target.authorization {
        let value: HeaderValue = authorization.clone();
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Connects to addresses that the guard permits.
#[derive(Debug, Clone)]
struct Connector {
    guard: Arc<Guard>,
    timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the URL has no host")]
    NoHost,
    #[error("no address is permitted")]
    Blocked,
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("cannot connect")]
    Connect(#[source] io::Error),
}

fn is_blocked(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ConnectError::Blocked) = error.downcast_ref() {
            return true;
        }
        // What wraps an error in an `io::Error` shows the wrapped one's source, not itself.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let permitted = self.resolve(host, port).await?;
        let each = self.timeout / u32::try_from(permitted.len()).unwrap_or(u32::MAX).max(1);
        let mut failed = ConnectError::Blocked;
        for address in permitted {
            let stream = tokio::time::timeout(each, TcpStream::connect(address)).await;
            match stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
                    return Ok(TokioIo::new(stream));
                }
                Err(error) => failed = ConnectError::Connect(error),
            }
        }
        Err(failed)
    }

    /// The addresses of `host` that are permitted; none is [`ConnectError::Blocked`].
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match literal.parse::<IpAddr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => tokio::net::lookup_host((host, port))
                .await
                .map_err(ConnectError::Resolve)?
                .collect(),
        };
        let permitted = found
            .into_iter()
            .filter(|address| self.guard.permits(address.ip()));
        let permitted: Vec<_> = permitted.take(MOST_ADDRESSES).collect();
        if permitted.is_empty() {
            return Err(ConnectError::Blocked);
        }
        Ok(permitted)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

#[cfg(test)]
mod tests;
