//! Workers and what they need, in one thread.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use mio::{Events, Poll, Waker};
use socket2::SockRef;
use tokio::runtime::Runtime;

use super::calls::Scripted;
use super::client::Client;
use super::slow_broker::SlowBroker;
use crate::auth::{Authenticator, Grant, IssuerConfig, KeySource};
use crate::broker::{MemoryBroker, MemoryConfig};
use crate::channel::{Access, ChannelName, ChannelRule, HistoryRule, Pattern, Rules, SlowPolicy};
use crate::edge::connection::{Connection, Credential, Stream};
use crate::edge::worker::inbox::{Inbox, Input};
use crate::edge::worker::operations::Services;
use crate::edge::worker::pool::{Peers, PoolServices, Seed};
use crate::edge::worker::{Gauges, WAKE, Worker};
use crate::edge::{Config, worker};
use crate::hub::Hub;
use crate::limits::{self, ConnectionPermit, Limits};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::protocol::Encoding;
use crate::session::{Settings, Shared};
use crate::session_id::SessionId;

/// How a rig is made.
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) settings: Settings,
    pub(super) workers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config::default(),
            settings: Settings {
                auth_required: false,
                ..Settings::default()
            },
            workers: 1,
        }
    }
}

/// Workers with all that is around them. Channels by their names' parts: `log` keeps history,
/// `members` presence, `drop` drops the oldest of who is slow; everything is open to anyone.
pub(super) struct Rig {
    pub(super) runtime: Runtime,
    pub(super) node: Arc<Node>,
    pub(super) gateway: Arc<Scripted>,
    pub(super) broker: Arc<SlowBroker>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Metrics,
    pub(super) limits: Arc<Limits>,
    pub(super) workers: Vec<Worker>,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    pub(super) events: Events,
    pub(super) listener: TcpListener,
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn rules() -> Rules {
    let history = Some(HistoryRule {
        size: 2_000,
        ttl: Duration::from_secs(600),
    });
    let rule = |pattern: &str, presence, history, slow| ChannelRule {
        pattern: Pattern::parse(pattern).unwrap(),
        subscribe: Access::Anyone,
        publish: Access::Anyone,
        presence,
        history,
        slow,
    };
    let (cut, drop) = (SlowPolicy::Disconnect, SlowPolicy::DropOldest);
    Rules::new(
        vec![
            rule("log-drop-**", false, history, drop),
            rule("drop-**", false, None, drop),
            rule("log-**", false, history, cut),
            rule("members-**", true, None, cut),
            rule("**", false, None, cut),
        ],
        false,
    )
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(&Setup::default())
    }

    pub(super) fn with(setup: &Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let metrics = Metrics::new();
        let hub = Arc::new(Hub::new(crate::hub::Config::default(), metrics.clone()));
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(rules()),
            revocations: Arc::default(),
            routes: ArcSwap::default(),
            apps: ArcSwap::default(),
            settings: ArcSwap::from_pointee(Settings {
                mailbox_bytes: setup.config.mailbox_bytes,
                ..setup.settings.clone()
            }),
            notices: hub.notices().clone(),
            metrics: metrics.clone(),
        });
        let broker = broker(&hub, &shared);
        let denied: Arc<limits::DenyList> = Arc::default();
        let node = runtime.block_on(Node::start(
            hub,
            broker.clone(),
            shared.revocations.clone(),
            denied.clone(),
            crate::node::Config::default(),
        ));
        let gateway = Arc::new(Scripted::default());
        let services = services(node.unwrap(), denied, &shared, gateway.clone());
        let workers = workers(&setup.config, setup.workers, &services);
        Self {
            runtime,
            node: services.node,
            gateway,
            broker,
            shared,
            metrics,
            limits: services.limits,
            inboxes: workers.iter().map(|worker| worker.inbox.clone()).collect(),
            workers,
            events: Events::with_capacity(64),
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        }
    }

    /// A session on the first worker; its welcome is read.
    pub(super) fn join(&mut self) -> Client {
        let (mut client, _) = self.session(Credential::None);
        assert_eq!(self.text(&mut client)["event"], "pogo:welcome");
        client
    }

    /// A session whose sockets hold next to nothing; its welcome is read.
    pub(super) fn narrow(&mut self) -> Client {
        self.narrow_on(0)
    }

    pub(super) fn narrow_on(&mut self, worker: usize) -> Client {
        let (ours, theirs) = self.pair(true);
        self.adopt(worker, theirs, Credential::None);
        let mut client = Client::new(ours, None);
        assert_eq!(self.text(&mut client)["event"], "pogo:welcome");
        client
    }

    /// A session with this credential, and its id.
    pub(super) fn session(&mut self, credential: Credential) -> (Client, Option<SessionId>) {
        let (ours, theirs) = self.pair(false);
        let before = self.ids();
        self.adopt(0, theirs, credential);
        self.settle();
        let id = self.ids().into_iter().find(|id| !before.contains(id));
        (Client::new(ours, None), id)
    }

    fn ids(&self) -> Vec<SessionId> {
        self.workers[0].by_id.keys().copied().collect()
    }

    /// Two ends of a socket: the client's and the server's.
    pub(super) fn pair(&self, narrow: bool) -> (TcpStream, TcpStream) {
        let address = self.listener.local_addr().unwrap();
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let client = client.unwrap();
        if narrow {
            client.set_recv_buffer_size(2_048).unwrap();
        }
        client.connect(&address.into()).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        if narrow {
            SockRef::from(&server).set_send_buffer_size(4_096).unwrap();
        }
        (client.into(), server)
    }

    pub(super) fn adopt(&self, worker: usize, stream: TcpStream, credential: Credential) {
        stream.set_nonblocking(true).unwrap();
        self.adopt_as(worker, connection(stream, credential));
    }

    pub(super) fn adopt_as(&self, worker: usize, connection: Connection) {
        let gauge = &self.workers[worker].gauges.sessions;
        gauge.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inboxes[worker].put(Input::Adopt(Box::new(connection)));
    }
}

/// What the front half hands over for `stream`.
pub(super) fn connection(stream: TcpStream, credential: Credential) -> Connection {
    Connection {
        stream: Stream::Plain(stream),
        early: Bytes::new(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        encoding: Encoding::Json,
        deflate: false,
        credential,
        permit: ConnectionPermit::exempt(),
    }
}

fn broker(hub: &Arc<Hub>, shared: &Arc<Shared>) -> Arc<SlowBroker> {
    let of = shared.clone();
    let broker = MemoryBroker::open(
        MemoryConfig::default(),
        Arc::new(move |channel| of.rules.load().of(channel).history),
        hub.clone(),
        &shared.metrics,
    );
    Arc::new(SlowBroker::new(broker.unwrap()))
}

pub(super) fn services(
    node: Arc<Node>,
    denied: Arc<limits::DenyList>,
    shared: &Arc<Shared>,
    gateway: Arc<Scripted>,
) -> PoolServices {
    let limits = limits::Config {
        commands: limits::RateConfig::new(1_000_000, 1_000_000),
        ..limits::Config::default()
    };
    let issuer = IssuerConfig {
        issuer: None,
        algorithms: Vec::new(),
        keys: KeySource::Secret(b"a secret that is long enough for HS256".to_vec()),
    };
    let auth = crate::auth::Config {
        issuers: vec![issuer],
        ..crate::auth::Config::default()
    };
    PoolServices {
        node,
        authenticator: Arc::new(Authenticator::new(auth).unwrap()),
        limits: Arc::new(Limits::new(&limits, denied, &shared.metrics)),
        shared: shared.clone(),
        metrics: shared.metrics.clone(),
        gateway,
    }
}

fn workers(config: &Config, count: usize, services: &PoolServices) -> Vec<Worker> {
    let mut polls = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..count {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), WAKE).unwrap();
        peers.push((Arc::new(Inbox::new(waker)), Arc::new(Gauges::default())));
        polls.push(poll);
    }
    let peers = Arc::new(Peers(peers));
    let context = Arc::new(Services {
        node: services.node.clone(),
        authenticator: services.authenticator.clone(),
        limits: services.limits.clone(),
        operation_timeout: config.operation_timeout,
        gateway: services.gateway.clone(),
    });
    let made = polls
        .into_iter()
        .zip(&peers.0)
        .map(|(poll, (inbox, gauges))| {
            let seed = Seed {
                id: services.node.hub().attach(inbox.clone()).unwrap(),
                poll,
                inbox: inbox.clone(),
                gauges: gauges.clone(),
                peers: peers.clone(),
                context: context.clone(),
            };
            worker::Worker::new(config, services, seed)
        });
    made.collect()
}

/// A token of `subject` for an hour, with these channels.
pub(super) fn grant(subject: &str, channels: &[&str]) -> Grant {
    let hour = crate::clock::Now::read().unix.as_secs() + 3_600;
    Grant {
        subject: Some(subject.into()),
        token_id: None,
        issued_at: None,
        expires_at: hour,
        channels: channels.iter().map(|channel| name(channel)).collect(),
        capabilities: crate::auth::Capabilities::default(),
        info: None,
        fingerprint: [1; 16],
        presented: None,
    }
}
