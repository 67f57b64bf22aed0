//! Requests to the REST APIs behind the endpoints. What leaves here has a host, a path and headers
//! that no client chose; what comes in has been bounded and freed of what is between two peers.
//!
//! Each endpoint has an upstream of its own: connections, health of its bases, breaker, slots and
//! retry budget. So nothing that one endpoint may reach, or fails to reach, touches another.

mod balance;
mod body;
mod breaker;
mod credentials;
mod exchange;
mod failed;
mod headers;
mod prepared;
mod retry;
mod slots;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use ipnet::IpNet;
use rustls::ClientConfig;

pub use body::{BoxError, RequestBody, UpstreamBody};
pub use credentials::NoCredentials;
pub use retry::retry_after;

use credentials::Mint;
use exchange::Upstream;

use crate::egress;
use crate::metrics::Metrics;
use crate::resource::{self, Caller, Endpoint};

/// What all upstreams have in common.
#[derive(Debug, Clone)]
pub struct Config {
    /// `gateway.allow`: addresses that may be reached beside public and private ones.
    pub allow: Vec<IpNet>,
    /// Whether this machine may be (`--dev`).
    pub loopback: bool,
    /// What a body that comes from a client may take beyond the upstream's own time
    /// (`gateway.upload_time`).
    pub upload_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            loopback: false,
            upload_time: Duration::from_secs(60),
        }
    }
}

/// One request.
#[derive(Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// Path and query below the base, as the endpoint's resource writes them.
    pub path: String,
    /// The client's headers: only those of the allow-list go on. Those of [`Upstreams::identity`]
    /// go in `identity`.
    pub headers: HeaderMap,
    /// What says who asks; goes on as it is.
    pub identity: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// May be made twice although it is a write: it has an idempotency key that the endpoint knows.
    pub idempotent: bool,
    /// On whose behalf, for `Forwarded`; none: the gateway's own.
    pub address: Option<std::net::IpAddr>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// It did not come in time.
    #[error("the upstream did not answer in time")]
    Timeout {
        /// The request was on its way: a write may have been done.
        sent: bool,
    },
    /// It was not asked.
    #[error("{why}")]
    Unavailable {
        /// Why not.
        why: Unasked,
        /// When it may be.
        retry_after: Option<Duration>,
    },
    /// What came is no answer.
    #[error("{why}")]
    BadAnswer {
        /// What is wrong with it.
        why: BadAnswer,
        /// The request was on its way: a write may have been done.
        sent: bool,
    },
    /// Its address may not be reached.
    #[error("the upstream's address is not allowed; `gateway.allow` can allow it")]
    Blocked,
    /// The client's own body ended early or was too long; never of a body that is whole.
    #[error("the request's body did not come whole")]
    Body,
}

/// Why an upstream is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// It failed too often of late.
    #[error("the upstream fails at present")]
    Open,
    /// As many requests as it may have are under way.
    #[error("the upstream is busy")]
    Full,
    /// Nobody answers at its address.
    #[error("the upstream cannot be reached")]
    Unreachable,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// The connection is not secure.
    #[error("the upstream's TLS failed")]
    Tls,
    /// Not HTTP, or cut off.
    #[error("the upstream's answer is no HTTP, or was cut off")]
    Http,
    /// It leads elsewhere, which nobody follows.
    #[error("the upstream redirects")]
    Redirect,
    /// Longer than allowed.
    #[error("the upstream's answer is too long")]
    TooLong,
    /// What was to be sent is no request: a misconfigured base.
    #[error("no request can be made of this")]
    Request,
}

impl UpstreamError {
    /// Whether a write that ended so may have been done all the same.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::Timeout { sent: true } | Self::BadAnswer { sent: true, .. }
        )
    }

    /// The status for `pogo_gateway_requests_total`.
    fn label(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::BadAnswer { .. } => "bad_gateway",
            Self::Blocked => "blocked",
            Self::Body => "body",
        }
    }
}

/// The upstreams of all endpoints.
#[derive(Debug)]
pub struct Upstreams {
    config: Config,
    metrics: Metrics,
    table: Arc<Table>,
    tls: OnceLock<ClientConfig>,
    mint: Mint,
}

/// By the endpoint's name.
type Table = Mutex<HashMap<Box<str>, Arc<Upstream>>>;

impl Upstreams {
    /// None yet; an endpoint's comes with its first request.
    pub fn new(config: Config, metrics: Metrics) -> Self {
        let table = Arc::new(Table::default());
        let shown = Arc::clone(&table);
        metrics.on_scrape(move |_| {
            for upstream in lock(&shown).values() {
                upstream.show();
            }
        });
        Self {
            config,
            metrics,
            table,
            tls: OnceLock::new(),
            mint: Mint::new(),
        }
    }

    /// Forgets the upstreams of endpoints whose names `has` does not know any more; requests under
    /// way end on them.
    pub fn retain(&self, has: impl Fn(&str) -> bool) {
        lock(&self.table).retain(|name, _| {
            let stays = has(name);
            if !stays {
                self.metrics.gateway.forget(name);
            }
            stays
        });
    }

    /// The whole answer in memory, at most `limit` bytes of it. An answer that redirects is none.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn fetch(
        &self,
        endpoint: &Endpoint,
        asked: Asked,
        limit: usize,
    ) -> Result<Response<Bytes>, UpstreamError> {
        self.of(endpoint)?.fetch(asked, limit).await
    }

    /// The answer as it comes.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn stream(
        &self,
        endpoint: &Endpoint,
        asked: Asked,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.of(endpoint)?.stream(asked).await
    }

    /// What tells the endpoint's upstream who asks; `reads`: nothing is changed, so that
    /// `fetch_as` counts.
    ///
    /// # Errors
    /// The caller has no credentials that can be shown there.
    pub fn identity(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        reads: bool,
    ) -> Result<HeaderMap, NoCredentials> {
        self.mint.identity(endpoint, caller, reads)
    }

    /// The endpoint's upstream: the one there is, or a new one where its settings are others. A
    /// request that began before they changed may bring the old settings back for a moment; all
    /// that costs is what was known of the upstream's health.
    fn of(&self, endpoint: &Endpoint) -> Result<Arc<Upstream>, UpstreamError> {
        if let Some(known) = lock(&self.table).get(&endpoint.name)
            && known.settings == endpoint.upstream
        {
            return Ok(Arc::clone(known));
        }
        let tls = self.tls(&endpoint.upstream)?;
        let metrics = self.metrics.gateway.clone();
        let (name, settings) = (&*endpoint.name, &endpoint.upstream);
        let upstream = Arc::new(Upstream::new(name, settings, &self.config, tls, metrics));
        lock(&self.table).insert(name.into(), Arc::clone(&upstream));
        Ok(upstream)
    }

    /// The system's certificate authorities, looked for when an upstream first needs them.
    fn tls(&self, upstream: &resource::Upstream) -> Result<ClientConfig, UpstreamError> {
        let unusable = |error: std::io::Error| {
            tracing::error!(%error, "no certificate authorities: upstreams by https cannot be asked");
            failed::unsent(BadAnswer::Tls)
        };
        let is_https = |base: &http::Uri| base.scheme_str() == Some("https");
        if !upstream.bases.iter().any(is_https) {
            return egress::tls(false).map_err(unusable);
        }
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = egress::tls(true).map_err(unusable)?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
