//! The front half: what happens to a request, from its head to the answer. Runs on the ordinary
//! multi-thread runtime; a WebSocket leaves it for the workers once its 101 is on the wire.
//!
//! The order: whom the request comes from, whether that address is denied, then the route. A
//! WebSocket's handshake must be in order and its origin allowed before it costs the address
//! anything, and has its slot before its token is looked at.

mod apps;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::accept::Progress;
use super::fallback::{self, Fallback, Receiving};
use super::handshake::{self, Token};
use super::response::{self, Answer, Refusal};
use super::tls::{TlsError, TlsReloader};
use super::{Busy, Config, Credential, Origins, Sessions, Site, StreamSite};
use crate::auth::{AuthError, Authenticator, Grant, Revocations};
use crate::clock::Now;
use crate::code::CloseCode;
use crate::limits::{self, ConnectionPermit, Limits, TrustedProxies};
use crate::metrics::{Metrics, ProtocolLabel};
use crate::protocol::Encoding;
use crate::session::Shared;

/// What the front half works with.
#[derive(Clone)]
#[allow(missing_docs, reason = "each is its type")]
pub struct FrontServices {
    pub limits: Arc<Limits>,
    pub authenticator: Arc<Authenticator>,
    pub revocations: Arc<Revocations>,
    pub sessions: Arc<dyn Sessions>,
    /// Who answers plain HTTP; the first that has a path.
    pub sites: Vec<Arc<dyn Site>>,
    /// Who answers plain HTTP on what is left, bodies as they come.
    pub stream: Option<Arc<dyn StreamSite>>,
    /// What Pusher sessions need to begin.
    pub shared: Arc<Shared>,
    pub metrics: Metrics,
}

/// The front half of the edge; [`Front::serve`] runs it on a listener.
pub struct Front {
    pub(super) config: Config,
    origins: ArcSwap<Origins>,
    pub(super) trusted: TrustedProxies,
    pub(super) tls: Option<Arc<TlsReloader>>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) fallback: Arc<Fallback>,
    pub(super) services: FrontServices,
}

/// What a session will begin with, but for its socket.
pub(super) struct Ticket {
    pub(super) address: IpAddr,
    pub(super) encoding: Encoding,
    pub(super) deflate: bool,
    pub(super) credential: Credential,
    pub(super) permit: ConnectionPermit,
}

/// What a connection is after its 101.
pub(super) enum Upgraded {
    /// A worker's.
    Session(Ticket),
    /// Spoken to here, for a session of the fallback transports.
    SockJs(Receiving),
}

impl Front {
    /// Reads the certificate, if there is one.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn new(config: Config, services: FrontServices) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(TlsReloader::load).transpose()?;
        services
            .metrics
            .set_bound("handshakes", config.max_handshakes);
        let body = config.max_body_bytes;
        services.metrics.set_bound("edge.max_body_bytes", body);
        let http = config.max_http_connections;
        services
            .metrics
            .set_bound("edge.max_http_connections", http);
        for encoding in config.encodings.iter().chain([&Encoding::Pusher]) {
            let protocol = encoding.subprotocol();
            let _ = services
                .metrics
                .sessions
                .get_or_create(&ProtocolLabel { protocol });
        }
        Ok(Self {
            trusted: TrustedProxies::new(&config.trusted_proxies),
            tls: tls.map(Arc::new),
            origins: ArcSwap::from_pointee(config.allowed_origins.clone()),
            slots: Arc::new(Semaphore::new(config.max_handshakes)),
            streams: Arc::new(Semaphore::new(http)),
            fallback: Fallback::new(config.fallback.clone(), &services.metrics),
            config,
            services,
        })
    }

    /// Puts other origins in force, for connections to come.
    pub fn set_origins(&self, origins: Origins) {
        self.origins.store(Arc::new(origins));
    }

    pub(super) fn origins(&self) -> Arc<Origins> {
        self.origins.load_full()
    }

    /// The certificate in use, to reload it.
    pub fn tls(&self) -> Option<&Arc<TlsReloader>> {
        self.tls.as_ref()
    }

    /// Answers a request from `peer` (the proxy's client, where there was a PROXY header). What is
    /// beside the answer follows a 101.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        progress: &Progress,
    ) -> (Answer, Option<Upgraded>) {
        let (head, body) = request.into_parts();
        match self.route(head, body, peer, progress).await {
            Ok(routed) => routed,
            Err(refusal) => (refusal.answer(), None),
        }
    }

    async fn route(
        &self,
        head: Parts,
        body: Incoming,
        peer: IpAddr,
        progress: &Progress,
    ) -> Result<(Answer, Option<Upgraded>), Refusal> {
        let address = self
            .trusted
            .client(peer, &head.headers)
            .map_err(|limits::Conflict| {
                Refusal::bad("Forwarded and X-Forwarded-For name different clients; send one.")
            })?;
        let limits = &self.services.limits;
        if limits.denied().is_denied(address, Now::read()) {
            return Err(DENIED);
        }
        let upgrade = handshake::is_upgrade(&head.headers);
        match head.uri.path() {
            "/" | "/ws" if upgrade => {
                let (answer, ticket) = self.upgrade(&head, address).await?;
                Ok((answer, Some(Upgraded::Session(ticket))))
            }
            path if upgrade && let Some(key) = apps::key_of(path) => {
                let (answer, ticket) = self.upgrade_app(&head, key, address)?;
                Ok((answer, Some(Upgraded::Session(ticket))))
            }
            path if upgrade && fallback::is_websocket(path) => {
                let (handshake, receiving) = self.open_sockjs(&head, address)?;
                let answer = response::switching(&handshake);
                Ok((answer, Some(Upgraded::SockJs(receiving))))
            }
            path if fallback::has(path) => Ok((self.fall_back(&head, body, address).await?, None)),
            // Plain HTTP.
            path => {
                self.one_request(address)?;
                let answer = match path {
                    "/" | "/ws" => self.plain(&head),
                    path if apps::key_of(path).is_some() => self.plain(&head),
                    _ if self.is_stream(&head.uri) => {
                        self.ask_stream(head, body, address, progress).await
                    }
                    _ => {
                        let asked = self.ask_site(head, body, address).await;
                        asked.unwrap_or(Err(response::NOTHING))
                    }
                };
                Ok((answer?, None))
            }
        }
    }

    /// A request that counts as one.
    pub(super) fn one_request(&self, address: IpAddr) -> Result<(), Refusal> {
        let counted = self.services.limits.request(address);
        counted.map_err(|wait| {
            Refusal::too_many("Too many requests from this address; slow down.", wait)
        })
    }

    fn plain(&self, head: &Parts) -> Result<Answer, Refusal> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Use GET."));
        }
        match &self.config.demo_page {
            Some(html) if head.uri.path() == "/" => Ok(response::page(html.clone())),
            _ => Err(Refusal::new(
                StatusCode::UPGRADE_REQUIRED,
                "Open a WebSocket here: send `Connection: Upgrade` and `Upgrade: websocket`.",
            )),
        }
    }

    async fn upgrade(&self, head: &Parts, address: IpAddr) -> Result<(Answer, Ticket), Refusal> {
        let handshake = handshake::examine(head, &self.config, &self.origins.load())?;
        let permit = self.admit(address)?;
        let ticket = Ticket {
            address,
            encoding: handshake.encoding,
            deflate: handshake.extensions.is_some(),
            credential: self.credential(&handshake.token, address).await?,
            permit,
        };
        Ok((response::switching(&handshake), ticket))
    }

    /// A place for one more session of `address`.
    pub(super) fn admit(&self, address: IpAddr) -> Result<ConnectionPermit, Refusal> {
        self.services.sessions.ready().map_err(|busy| match busy {
            Busy::Draining => {
                Refusal::unavailable("This node is going away.", response::RETRY_DRAINING)
            }
            Busy::Overloaded => {
                Refusal::unavailable("This node is full.", response::RETRY_OVERLOADED)
            }
        })?;
        self.services
            .limits
            .admit(address, Now::read())
            .map_err(|refusal| match refusal {
                limits::Refusal::Denied => DENIED,
                limits::Refusal::TooFast(wait) => {
                    Refusal::too_many("Too many connects from this address; slow down.", wait)
                }
                limits::Refusal::TooMany => Refusal::too_many(
                    "Too many connections from this address; close some.",
                    response::RETRY_TOO_MANY,
                ),
            })
    }

    async fn credential(&self, token: &Token, address: IpAddr) -> Result<Credential, Refusal> {
        let limits = &self.services.limits;
        let (text, readable) = match token {
            Token::Absent => return Ok(Credential::None),
            Token::Header(text) => (Some(text), false),
            Token::Readable(text) => (Some(text), true),
            Token::Ambiguous => (None, true),
        };
        limits.may_present_token(address).map_err(|wait| {
            Refusal::too_many("Too many refused tokens from this address; wait.", wait)
        })?;
        let why = match text {
            Some(text) => self.grant(text).await,
            None => Err(AuthError::Malformed {
                why: "there are several",
            }),
        };
        let code = match why {
            Ok(grant) => return Ok(Credential::Granted(grant)),
            // Nothing is wrong with the token, as far as we know.
            Err(AuthError::KeysUnavailable) => {
                let says = "Tokens cannot be checked at present.";
                return Err(Refusal::unavailable(says, response::RETRY_KEYS));
            }
            Err(AuthError::Revoked) => CloseCode::Revoked,
            Err(_) => CloseCode::Unauthenticated,
        };
        // This one is answered as what it is; the next finds the address barred.
        let _ = limits.failed_token(address);
        if readable {
            Ok(Credential::Refused(code))
        } else {
            Err(Refusal::unauthorized())
        }
    }

    async fn grant(&self, token: &str) -> Result<Grant, AuthError> {
        let services = &self.services;
        let authenticator = &services.authenticator;
        authenticator
            .authenticate_unrevoked(token, Now::read(), &services.revocations)
            .await
    }
}

const DENIED: Refusal = Refusal::new(StatusCode::FORBIDDEN, "This address is denied.");

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FrontServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontServices").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
