//! Makes the requests: the address is resolved and checked for each connection, which then goes to
//! that very address; time and what is read are bounded; redirects are answers like any other.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::lane::Attempt;
use super::{Config, Hook};
use crate::egress::{self, Connector, Guard, Reach, is_blocked};

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
        let wanted = config.hooks.iter().any(|hook| hook.target.is_https());
        Ok(Self::with_tls(config, egress::tls(wanted)?))
    }

    pub(super) fn with_tls(config: &Config, tls: ClientConfig) -> Self {
        let guard = Guard {
            reach: Reach::Public,
            allow: config.allow.clone(),
            loopback: config.loopback,
            literal: false,
        };
        let connector = Connector::new(guard, config.timeout);
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

#[cfg(test)]
mod tests;
