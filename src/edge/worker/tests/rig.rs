//! Workers and what they need, in one thread.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use mio::{Events, Poll, Waker};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::runtime::Runtime;

use super::client::{Client, Frame};
use super::slow_broker::SlowBroker;
use crate::auth::{Authenticator, Grant, IssuerConfig, KeySource};
use crate::broker::{Accepted, MemoryBroker, MemoryConfig};
use crate::channel::{Access, ChannelName, ChannelRule, HistoryRule, Pattern, Rules, SlowPolicy};
use crate::edge::connection::{Connection, Credential};
use crate::edge::worker::inbox::{Inbox, Input};
use crate::edge::worker::operations::Services;
use crate::edge::worker::pool::{Peers, PoolServices, Seed};
use crate::edge::worker::{Gauges, WAKE, Worker};
use crate::edge::{Config, worker};
use crate::hub::{Hub, SessionAction, SessionFilter, WorkerMessage};
use crate::limits::{self, ConnectionPermit, Limits};
use crate::metrics::Metrics;
use crate::node::{NewPublication, Node};
use crate::protocol::Encoding;
use crate::session::{Settings, Shared};
use crate::session_id::SessionId;

/// Beyond it a test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

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
    pub(super) broker: Arc<SlowBroker>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Metrics,
    pub(super) limits: Arc<Limits>,
    pub(super) workers: Vec<Worker>,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    events: Events,
    listener: TcpListener,
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
        Self::with(Setup::default())
    }

    pub(super) fn with(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let metrics = Metrics::new();
        let hub = Arc::new(Hub::new(crate::hub::Config::default(), metrics.clone()));
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(rules()),
            revocations: Arc::default(),
            settings: ArcSwap::from_pointee(Settings {
                mailbox_bytes: setup.config.mailbox_bytes,
                ..setup.settings
            }),
            metrics: metrics.clone(),
        });
        let of = shared.clone();
        let broker = MemoryBroker::open(
            MemoryConfig::default(),
            Arc::new(move |channel| of.rules.load().of(channel).history),
            hub.clone(),
            &metrics,
        );
        let broker = Arc::new(SlowBroker::new(broker.unwrap()));
        let denied: Arc<limits::DenyList> = Arc::default();
        let node = runtime.block_on(Node::start(
            hub,
            broker.clone(),
            shared.revocations.clone(),
            denied.clone(),
            crate::node::Config::default(),
        ));
        let node = node.unwrap();
        let rate = limits::RateConfig::new(1_000_000, 1_000_000);
        let limits = limits::Config {
            commands: rate,
            ..limits::Config::default()
        };
        let limits = Arc::new(Limits::new(&limits, denied, &metrics));
        let issuer = IssuerConfig {
            issuer: None,
            algorithms: Vec::new(),
            keys: KeySource::Secret(b"a secret that is long enough for HS256".to_vec()),
        };
        let auth = crate::auth::Config {
            issuers: vec![issuer],
            ..crate::auth::Config::default()
        };
        let services = PoolServices {
            node: node.clone(),
            authenticator: Arc::new(Authenticator::new(auth).unwrap()),
            limits: limits.clone(),
            shared: shared.clone(),
            metrics: metrics.clone(),
        };
        let workers = workers(&setup, &services);
        Self {
            runtime,
            node,
            broker,
            shared,
            metrics,
            limits,
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
        self.adopt_as(
            worker,
            Connection {
                stream,
                tls: None,
                early: Bytes::new(),
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                encoding: Encoding::Json,
                credential,
                permit: ConnectionPermit::exempt(),
            },
        );
    }

    pub(super) fn adopt_as(&self, worker: usize, connection: Connection) {
        let gauge = &self.workers[worker].gauges.sessions;
        gauge.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inboxes[worker].put(Input::Adopt(Box::new(connection)));
    }

    /// One turn of each worker, and what waits in the runtime.
    pub(super) fn turn(&mut self) {
        for worker in &mut self.workers {
            let _entered = self.runtime.enter();
            worker.turn(&mut self.events, Some(Duration::ZERO)).unwrap();
        }
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Turns until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let mut calm = 0;
        for _ in 0..100_000 {
            self.turn();
            let at_rest = |worker: &Worker| {
                worker.walks.is_empty()
                    && worker.unread.is_empty()
                    && worker.dirty.is_empty()
                    && worker.inbox.may_sleep()
            };
            let idle = self.events.is_empty() && self.workers.iter().all(at_rest);
            calm = if idle { calm + 1 } else { 0 };
            if calm == 3 {
                return;
            }
        }
        panic!("the workers never come to rest");
    }

    /// The next frame that comes to `client`.
    pub(super) fn next(&mut self, client: &mut Client) -> Frame {
        self.take(client, |_| true).pop().unwrap()
    }

    /// The next text that comes to `client`, pings aside.
    pub(super) fn text(&mut self, client: &mut Client) -> Value {
        let mut last = self.take(client, |frame| !matches!(frame, Frame::Ping));
        match last.pop() {
            Some(Frame::Text(value)) => value,
            other => panic!("{other:?} instead of a text"),
        }
    }

    /// What comes to `client` up to the first that `is_last`; what follows waits.
    pub(super) fn take(
        &mut self,
        client: &mut Client,
        is_last: impl Fn(&Frame) -> bool,
    ) -> Vec<Frame> {
        let since = Instant::now();
        let mut taken = Vec::new();
        loop {
            while let Some(frame) = client.pop() {
                let last = is_last(&frame) || matches!(frame, Frame::End | Frame::Reset);
                taken.push(frame);
                if last {
                    return taken;
                }
            }
            assert!(since.elapsed() < PATIENCE, "nothing comes after {taken:?}");
            self.settle();
        }
    }

    /// Everything that comes up to the answer to a ping.
    pub(super) fn drain(&mut self, client: &mut Client) -> Vec<Frame> {
        // Else the answer to the ping could come before what waits to be walked.
        self.settle();
        client.send(&json!({"id": "barrier", "event": "ping"}));
        let mut frames = self.take(client, |frame| match frame {
            Frame::Text(text) => text["id"] == "barrier",
            _ => false,
        });
        if matches!(frames.last(), Some(Frame::Text(_))) {
            frames.pop();
        }
        frames
    }

    /// Sends `command` and returns what comes up to its reply, and the reply.
    pub(super) fn ask(&mut self, client: &mut Client, mut command: Value) -> (Vec<Frame>, Value) {
        command["id"] = json!("asked");
        client.send(&command);
        let mut frames = self.take(client, |frame| match frame {
            Frame::Text(text) => text["id"] == "asked",
            _ => false,
        });
        match frames.pop() {
            Some(Frame::Text(reply)) => (frames, reply),
            other => panic!("{other:?} instead of a reply"),
        }
    }

    pub(super) fn subscribe(&mut self, client: &mut Client, channel: &str) -> Value {
        let command = json!({"event": "channel:subscribe", "channel": channel});
        let (_, reply) = self.ask(client, command);
        assert_eq!(reply["status"], "ok", "{reply}");
        reply["data"].clone()
    }

    pub(super) fn publish(&self, channel: &str, data: &Value) -> Accepted {
        self.publish_for(channel, data, None)
    }

    pub(super) fn publish_for(
        &self,
        channel: &str,
        data: &Value,
        ttl: Option<Duration>,
    ) -> Accepted {
        let publication = NewPublication {
            channel: name(channel),
            event: "e".into(),
            data: data.to_string().into(),
            ttl,
            exclude: None,
            skip_history: false,
            idempotency: None,
        };
        let published = self.runtime.block_on(self.node.publish(publication));
        published.unwrap()
    }

    /// Asks the first worker to act.
    pub(super) fn act(&mut self, filter: SessionFilter, action: SessionAction) -> usize {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let message = WorkerMessage::Act {
            filter,
            action,
            reply,
        };
        self.inboxes[0].put(Input::Message(message));
        self.settle();
        answer.try_recv().unwrap()
    }

    /// Turns until `done`, in real time.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let since = Instant::now();
        loop {
            self.settle();
            if done(self) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Nothing is left of any session.
    pub(super) fn assert_empty(&mut self) {
        self.until("connections stay", |rig| {
            rig.workers.iter().all(|worker| worker.clients.is_empty())
        });
        self.settle();
        for worker in &self.workers {
            assert_eq!(worker.mailbox_bytes, 0, "bytes in no mailbox");
            assert!(worker.by_id.is_empty());
            assert_eq!(worker.table.len(), 0, "channels without a session");
            assert_eq!(
                worker
                    .gauges
                    .sessions
                    .load(std::sync::atomic::Ordering::Relaxed),
                0
            );
        }
        assert!(self.node.hub().is_empty(), "interest without a session");
    }

    pub(super) fn expired(&self) -> u64 {
        self.metrics.expired_publications.get()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.metrics.dropped_publications.get()
    }
}

fn workers(setup: &Setup, services: &PoolServices) -> Vec<Worker> {
    let mut polls = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..setup.workers {
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
        operation_timeout: setup.config.operation_timeout,
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
            worker::Worker::new(&setup.config, services, seed)
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
    }
}
