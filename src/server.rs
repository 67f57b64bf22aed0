//! The composition root: binds the listeners, builds the parts, runs them, drains.
//!
//! Invariant: what fails at start stops the start; after it nothing falls back silently.

mod apps;
mod files;
mod gateway;
mod reload;
mod site;

pub use reload::{ReloadError, Reloader};

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{Admin, Readiness};
use crate::auth::{AuthConfigError, Authenticator, Revocations};
use crate::broker::{MemoryBroker, StateError};
use crate::channel::Rules;
use crate::config::Config;
use crate::control::{Control, ControlError};
use crate::edge::{self, Front, FrontServices, PoolServices, WorkerError, Workers};
use crate::gateway::{Endpoints, EndpointsError, Gateway};
use crate::hub::Hub;
use crate::limits::{DenyList, Limits};
use crate::metrics::Metrics;
use crate::node::{Node, NodeError};
use crate::pusher::webhook::{WebhookError, Webhooks};
use crate::session::Shared;

/// Connections that wait in the kernel while all handshakes are under way; the kernel cuts it to
/// `net.core.somaxconn`. With the library's own 128, most of a storm of reconnects waits for a SYN
/// that is sent again after a second or more.
const BACKLOG: u32 = 16_384;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum StartError {
    #[error("{what} cannot listen on {address}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    #[error("the tokens' keys")]
    Auth(#[from] AuthConfigError),
    #[error("the broker's state")]
    State(#[from] StateError),
    #[error("the node")]
    Node(#[from] NodeError),
    #[error("the workers")]
    Workers(#[from] WorkerError),
    #[error("the edge's certificate")]
    EdgeTls(#[from] edge::TlsError),
    #[error("the control plane")]
    Control(#[from] ControlError),
    #[error("the webhooks")]
    Webhooks(#[from] WebhookError),
    #[error("the endpoints")]
    Endpoints(#[from] EndpointsError),
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// WebSockets and HTTP.
    pub edge: SocketAddr,
    /// gRPC.
    pub control: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// A server whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    edge: TcpListener,
    control: TcpListener,
    admin: Admin,
    readiness: Readiness,
    drain: Duration,
    metrics: Metrics,
    workers: Arc<Workers>,
    parts: Parts,
}

/// What a reload changes, and what runs.
#[derive(Debug, Clone)]
struct Parts {
    dev: bool,
    shared: Arc<Shared>,
    authenticator: Arc<Authenticator>,
    limits: Arc<Limits>,
    node: Arc<Node>,
    front: Arc<Front>,
    control: Arc<Control>,
    webhooks: Arc<Webhooks>,
    endpoints: Arc<Endpoints>,
    gateway: Arc<Gateway>,
}

impl Server {
    /// Builds every part and binds every listener; nothing is served before [`Self::run`]. Call
    /// it within a multi-thread runtime.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn bind(mut config: Config) -> Result<Self, StartError> {
        if let Some(files) = files::raise() {
            let most = files::sessions(files, &config);
            config.edge.max_sessions = Some(config.edge.max_sessions.unwrap_or(most).min(most));
        }
        let edge = listen("the edge", config.edge.listen)?;
        edge::limit_unsent(&edge, config.edge.unsent_bytes).map_err(|source| {
            StartError::Listen {
                what: "the edge",
                address: config.edge.listen,
                source,
            }
        })?;
        let control = listen("the control plane", config.control.listen)?;
        let metrics = Metrics::new();
        let (parts, workers) = build(&config, &metrics).await?;
        let node = parts.node.clone();
        let readiness = Readiness::new(move || node.broker().is_up());
        let address = config.admin.listen;
        let failed = |source| StartError::Listen {
            what: "the admin listener",
            address,
            source,
        };
        let admin = Admin::bind(&config.admin, readiness.clone(), metrics.clone()).await;
        let admin = admin.map_err(failed)?;
        let addresses = Addresses {
            edge: local("the edge", config.edge.listen, &edge)?,
            control: local("the control plane", config.control.listen, &control)?,
            admin: admin.local_addr().map_err(failed)?,
        };
        let drain = config.drain;
        Ok(Self {
            addresses,
            edge,
            control,
            admin,
            readiness,
            drain,
            metrics,
            workers,
            parts,
        })
    }

    /// Where it listens; a port 0 of the configuration is the port that was given.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Reloads the running server.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.parts.clone())
    }

    /// Serves until `shutdown`, then drains: unready at once, sessions told to go and closed over
    /// the drain's period, calls in flight finished.
    ///
    /// # Errors
    /// The control plane cannot serve.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let (stop, stopped) = watch::channel(Stage::Serving);
        let reached = |stage: Stage| {
            let mut stopped = stopped.clone();
            async move {
                // The sender lives until the end of this function.
                let _ = stopped.wait_for(|now| *now >= stage).await;
            }
        };
        let Parts {
            node,
            front,
            control,
            limits,
            authenticator,
            webhooks,
            gateway,
            ..
        } = self.parts;
        authenticator.start(&Handle::current());
        let mut background = JoinSet::new();
        background.spawn(front.clone().serve(self.edge, reached(Stage::Ending)));
        background.spawn(self.admin.run(reached(Stage::Over)));
        background.spawn(node.clone().run(reached(Stage::Ending)));
        background.spawn(async move { limits.keep_swept().await });
        if let Some(tls) = front.tls() {
            background.spawn(tls.clone().watch());
        }
        let closed = reached(Stage::Ending);
        let mut control = tokio::spawn(async move { control.serve(self.control, closed).await });
        let over = reached(Stage::Over);
        let webhooks = tokio::spawn(async move { webhooks.run(over).await });
        self.readiness.serving();
        tokio::select! {
            () = shutdown => {}
            ended = &mut control => return flatten(ended),
        }
        self.readiness.draining();
        tracing::info!(period = ?self.drain, sessions = self.workers.sessions(), "draining");
        let end = Instant::now() + self.drain;
        self.workers.drain(&node, self.drain, &self.metrics).await;
        gateway::finish(&gateway, end).await;
        stop.send_replace(Stage::Ending);
        let ended = flatten(control.await);
        let workers = self.workers;
        // Joining threads blocks; nothing is left that it could keep waiting.
        let joined = tokio::task::spawn_blocking(move || workers.stop()).await;
        stop.send_replace(Stage::Over);
        // What the sessions' end was worth telling is still told.
        let told = webhooks.await;
        background.shutdown().await;
        tracing::info!(clean = joined.is_ok() && told.is_ok(), "stopped");
        ended
    }
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// No new connections; calls in flight are finished.
    Ending,
    /// The probes may go as well.
    Over,
}

/// Builds everything but the admin listener.
async fn build(config: &Config, metrics: &Metrics) -> Result<(Parts, Arc<Workers>), StartError> {
    let dev = config.dev.is_some();
    let revocations = Arc::new(Revocations::default());
    let hub = Arc::new(Hub::new(config.hub.clone(), metrics.clone()));
    let shared = Arc::new(Shared {
        rules: ArcSwap::from_pointee(Rules::new(config.rules.clone(), dev)),
        revocations: revocations.clone(),
        // Filled when the broker has been read.
        routes: ArcSwap::default(),
        apps: ArcSwap::from_pointee(config.apps.clone()),
        settings: ArcSwap::from_pointee(config.session.clone()),
        notices: hub.notices().clone(),
        metrics: metrics.clone(),
    });
    let webhooks = Arc::new(Webhooks::new(config.webhooks.clone(), hub.clone())?);
    let history = gateway::history(config, &shared);
    let broker = MemoryBroker::open(config.broker.clone(), history, hub.clone(), metrics)?;
    let (denied, own) = (Arc::new(DenyList::default()), config.node.clone());
    let limits = Arc::new(Limits::new(&config.limits, denied.clone(), metrics));
    let node = Node::start(hub, Arc::new(broker), revocations, denied, own).await?;
    apps::in_force(&config.apps, &node);
    let (configured, limit) = (config.endpoints.clone(), config.gateway.max_endpoints);
    let endpoints = Endpoints::start(shared.clone(), node.clone(), configured, limit).await?;
    let authenticator = Arc::new(Authenticator::new(config.auth.clone())?);
    let gateway = gateway::start(config, &node, &shared, &authenticator);
    endpoints.attach(gateway.clone());
    let services = PoolServices {
        node: node.clone(),
        authenticator: authenticator.clone(),
        limits: limits.clone(),
        shared: shared.clone(),
        metrics: metrics.clone(),
        gateway: gateway.clone(),
    };
    let (front, workers) = front(config, &services, &gateway)?;
    let control = Arc::new(Control::new(
        config.control.clone(),
        node.clone(),
        endpoints.clone(),
    )?);
    Ok((
        Parts {
            dev,
            shared,
            authenticator,
            limits,
            node,
            front,
            control,
            webhooks,
            endpoints,
            gateway,
        },
        workers,
    ))
}

/// The edge: the workers, and before them what answers handshakes and plain HTTP.
fn front(
    config: &Config,
    services: &PoolServices,
    gateway: &Arc<Gateway>,
) -> Result<(Arc<Front>, Arc<Workers>), StartError> {
    let workers = Arc::new(Workers::start(&config.edge, services)?);
    let front = FrontServices {
        sessions: workers.clone(),
        sites: site::all(config, services),
        stream: Some(site::covered(config, services, gateway)),
        limits: services.limits.clone(),
        authenticator: services.authenticator.clone(),
        revocations: services.shared.revocations.clone(),
        shared: services.shared.clone(),
        metrics: services.metrics.clone(),
    };
    let front = Arc::new(Front::new(config.edge.clone(), front)?);
    Ok((front, workers))
}

fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart must not wait for the last server's connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| StartError::Listen {
        what,
        address,
        source,
    })
}

fn local(
    what: &'static str,
    address: SocketAddr,
    listener: &TcpListener,
) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        what,
        address,
        source,
    })
}

fn flatten(
    ended: Result<Result<(), ControlError>, tokio::task::JoinError>,
) -> Result<(), StartError> {
    match ended {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "the control plane ended");
            Ok(())
        }
    }
}
