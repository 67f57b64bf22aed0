//! Fetching a key set over HTTP: one address from the configuration, no redirects, and time and
//! size bounded.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use super::JwksConfig;
use super::jwk::{KeySet, KeySetError};

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer in time")]
    Timeout,
    #[error("the request failed")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer was {0}, not 200 OK")]
    Status(StatusCode),
    #[error("the answer is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the key set is refused")]
    Set(#[from] KeySetError),
}

/// An HTTP client for key sets. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    /// A client that trusts the system's certificate authorities.
    pub(super) fn native() -> io::Result<Self> {
        Self::new(|config| Ok(config.with_native_roots()?.with_no_client_auth()))
    }

    /// A client that trusts `roots` alone: none, for plain `http`.
    pub(super) fn trusting(roots: RootCertStore) -> io::Result<Self> {
        Self::new(|config| Ok(config.with_root_certificates(roots).with_no_client_auth()))
    }

    fn new(
        trust: impl FnOnce(
            rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
        ) -> io::Result<ClientConfig>,
    ) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = trust(config.map_err(io::Error::other)?)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http();
        let connector = connector.enable_http1().wrap_connector(tcp);
        // Fetches are minutes apart: an idle connection would only grow stale.
        Ok(Self(
            Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
        ))
    }

    /// Fetches and reads the set at `uri`.
    pub(super) async fn fetch(
        &self,
        uri: &Uri,
        settings: &JwksConfig,
    ) -> Result<KeySet, FetchError> {
        let body = tokio::time::timeout(settings.timeout, self.body(uri, settings.max_body_bytes));
        let body = body.await.map_err(|_| FetchError::Timeout)??;
        Ok(KeySet::parse(&body, settings.max_keys)?)
    }

    async fn body(&self, uri: &Uri, limit: usize) -> Result<Bytes, FetchError> {
        let failed = |error: legacy::Error| FetchError::Request(Box::new(error));
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(
                header::USER_AGENT,
                concat!("pogo/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())
            .map_err(|error| FetchError::Request(Box::new(error)))?;
        let response = self.0.request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), limit).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLarge { limit }
                } else {
                    FetchError::Request(error)
                }
            })
    }
}
