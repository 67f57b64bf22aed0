//! The control plane: tonic services over a [`Node`]. Wire types stop here.
//!
//! A call comes in through `listen`, passes the `gate` (who, whether, how long), has its
//! fields checked, and only then reaches the node. `convert` alone knows both sides' types.

mod access;
mod caller;
mod channels;
mod check;
mod config;
mod convert;
mod deadline;
mod endpoints;
mod events;
mod firewall;
mod gate;
mod listen;
mod meter;
mod nodes;
mod page;
pub mod proto;
mod publisher;
mod sessions;
mod status;
mod subscribe;
mod tls;
mod turns;

pub use caller::{Key, Scope, ScopeError};
pub use config::{Config, Limits, Tls};
pub use endpoints::message as endpoint_message;
pub use tls::TlsError;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::gateway::Endpoints;
use crate::node::Node;
use access::Access;
use gate::{Gate, Stopping};
use listen::Listen;
use proto::channels_server::ChannelsServer;
use proto::endpoints_server::EndpointsServer;
use proto::events_server::EventsServer;
use proto::firewall_server::FirewallServer;
use proto::nodes_server::NodesServer;
use proto::publisher_server::PublisherServer;
use proto::sessions_server::SessionsServer;
use tls::Certificates;

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The certificates do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The descriptors that are compiled in do not decode.
    #[error("reflection has no descriptors")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The control plane, ready to serve.
#[derive(Debug)]
pub struct Control {
    limits: Limits,
    access: Arc<Access>,
    certificates: Option<Arc<Certificates>>,
    node: Arc<Node>,
    endpoints: Arc<Endpoints>,
}

/// What each service has at hand.
#[derive(Debug, Clone)]
struct Service {
    node: Arc<Node>,
    endpoints: Arc<Endpoints>,
    limits: Arc<Limits>,
}

impl Control {
    /// Reads the certificates, if there are any.
    ///
    /// # Errors
    /// [`ControlError`]
    pub fn new(
        config: Config,
        node: Arc<Node>,
        endpoints: Arc<Endpoints>,
    ) -> Result<Self, ControlError> {
        let certificates = config
            .tls
            .map(Certificates::load)
            .transpose()?
            .map(Arc::new);
        let access = Arc::new(Access::new(config.keys, config.open));
        Ok(Self {
            limits: config.limits,
            access,
            certificates,
            node,
            endpoints,
        })
    }

    /// Puts the keys of `config` in force and reads the certificates again. Streams of callers
    /// that may no longer do what they do end.
    ///
    /// # Errors
    /// [`TlsError`]: the keys are in force, the certificates are the old ones.
    pub fn reload(&self, config: Config) -> Result<(), TlsError> {
        self.access.replace(config.keys, config.open);
        match &self.certificates {
            Some(certificates) => certificates.refresh().map(|_| ()),
            None => Ok(()),
        }
    }

    /// Serves until `shutdown` ends, then lets what is in flight finish within its grace.
    ///
    /// # Errors
    /// [`ControlError::Reflection`]
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ControlError> {
        let (health, publisher, routes) = self.services()?;
        for name in SERVICES {
            health
                .set_service_status(name, ServingStatus::Serving)
                .await;
        }
        let gate = Gate {
            publisher,
            routes,
            access: Arc::clone(&self.access),
            default_deadline: self.limits.default_deadline,
            certificate: false,
            known: Arc::default(),
            stopping: watch::channel(Stopping::None).1,
        };
        let listen = Listen {
            limits: self.limits.clone(),
            certificates: self.certificates.clone(),
            gate,
        };
        let shutdown = async {
            let mut shutdown = pin!(shutdown);
            // Unready from the start of a drain, which may be long before its end.
            let draining = tokio::select! {
                () = &mut shutdown => false,
                () = self.node.draining() => true,
            };
            unhealthy(&health).await;
            if draining {
                shutdown.await;
            }
        };
        listen.run(listener, shutdown).await;
        Ok(())
    }

    fn services(&self) -> Result<(HealthReporter, PublisherServer<Service>, Routes), ControlError> {
        let service = Service {
            node: Arc::clone(&self.node),
            endpoints: Arc::clone(&self.endpoints),
            limits: Arc::new(self.limits.clone()),
        };
        let (health, health_server) = tonic_health::server::health_reporter();
        // Every service takes and gives messages up to the same sizes.
        macro_rules! sized {
            ($server:ident) => {
                $server::new(service.clone())
                    .max_decoding_message_size(self.limits.request_bytes)
                    .max_encoding_message_size(self.limits.response_bytes)
            };
        }
        let routes = Routes::new(health_server)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(sized!(ChannelsServer))
            .add_service(sized!(SessionsServer))
            .add_service(sized!(FirewallServer))
            .add_service(sized!(EndpointsServer))
            .add_service(sized!(EventsServer))
            .add_service(sized!(NodesServer))
            .prepare();
        Ok((health, sized!(PublisherServer), routes))
    }
}

async fn unhealthy(health: &HealthReporter) {
    for name in SERVICES {
        health
            .set_service_status(name, ServingStatus::NotServing)
            .await;
    }
}

/// What health checks may ask for; the empty name is the server.
const SERVICES: [&str; 8] = [
    "",
    "pogo.v1.Publisher",
    "pogo.v1.Channels",
    "pogo.v1.Sessions",
    "pogo.v1.Firewall",
    "pogo.v1.Endpoints",
    "pogo.v1.Events",
    "pogo.v1.Nodes",
];

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
