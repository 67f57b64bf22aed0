//! The connector under an HTTP client: resolves a host, checks what it finds, and connects to that
//! very address, all within one time.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::ConfigBuilderExt;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::{Guard, Link};

/// How many of a name's addresses are tried.
const MOST_ADDRESSES: usize = 4;

/// TLS as a client, HTTP/1.1 only. It trusts the system's certificate authorities, which are looked
/// for where `needed`; otherwise it trusts nobody.
///
/// # Errors
/// There are none.
pub fn tls(needed: bool) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(io::Error::other)?;
    let tls = if needed {
        tls.with_native_roots()?
    } else {
        tls.with_root_certificates(RootCertStore::empty())
    };
    Ok(tls.with_no_client_auth())
}

/// Connects to addresses that its guard permits.
#[derive(Debug, Clone)]
pub struct Connector {
    guard: Arc<Guard>,
    timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL names no host.
    #[error("the URL has no host")]
    NoHost,
    /// The guard permits none of its addresses.
    #[error("no address is permitted")]
    Blocked,
    /// It has no address.
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// Nobody answers there.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
}

/// Whether `error` is, or wraps, [`ConnectError::Blocked`].
pub fn is_blocked(error: &(dyn Error + 'static)) -> bool {
    find(error).is_some_and(|found| matches!(found, ConnectError::Blocked))
}

/// Whether `error` is, or wraps, a [`ConnectError`]: nothing was sent to anybody.
pub fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    find(error).is_some()
}

fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a ConnectError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
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
    None
}

impl Connector {
    /// A connector that has `timeout` for each connection.
    pub fn new(guard: Guard, timeout: Duration) -> Self {
        Self {
            guard: Arc::new(guard),
            timeout,
        }
    }

    async fn connect(self, uri: Uri) -> Result<Link, ConnectError> {
        let connecting = self.try_addresses(&uri);
        let late = |_| Err(ConnectError::Connect(io::ErrorKind::TimedOut.into()));
        timeout(self.timeout, connecting).await.unwrap_or_else(late)
    }

    async fn try_addresses(&self, uri: &Uri) -> Result<Link, ConnectError> {
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
            let stream = timeout(each, TcpStream::connect(address)).await;
            match stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
                    return Ok(Link::new(stream));
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
            .filter(|address| self.guard.permits(host, address.ip()));
        let permitted: Vec<_> = permitted.take(MOST_ADDRESSES).collect();
        if permitted.is_empty() {
            return Err(ConnectError::Blocked);
        }
        Ok(permitted)
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
