//! A control plane in the test's own process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use pogo::auth::Revocations;
use pogo::broker::{HistoryQuery, Member, MemoryBroker, MemoryConfig};
use pogo::channel::{ChannelName, HistoryRule, Rules};
use pogo::control::proto;
use pogo::control::{Config, Control, Key, Limits};
use pogo::gateway::Endpoints;
use pogo::hub::{self, Hub, SessionAction, SessionFilter, SessionInfo, Worker, WorkerMessage};
use pogo::limits::DenyList;
use pogo::metrics::Metrics;
use pogo::node::{self, Join, Node};
use pogo::session::Shared;
use pogo::session_id::SessionId;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub const ADMIN: &str = "the admin's secret";
/// `publish:news-*`
pub const NEWS: &str = "the newsroom's secret";
/// `channels` and `events`
pub const READER: &str = "the reader's secret";
/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The control plane's address and what is behind it. Dropping it stops it.
pub struct Rig {
    pub node: Arc<Node>,
    pub worker: Arc<FakeWorker>,
    pub control: Arc<Control>,
    pub table: Arc<Endpoints>,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<()>,
}

pub fn keys() -> Vec<Key> {
    let key = |name, secret, scopes: &[&str]| {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap());
        Key::new(name, secret, scopes.collect())
    };
    vec![
        key("admin", ADMIN, &["admin"]),
        key("news", NEWS, &["publish:news-*"]),
        key("reader", READER, &["channels", "events"]),
    ]
}

/// The endpoint of the settings file.
pub fn configured() -> pogo::resource::Endpoint {
    let base = "http://blog:8080/v1".parse().unwrap();
    pogo::resource::Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), vec![base])
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One whose settings `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(hub::Config::default(), change).await
    }

    pub async fn on(hub: hub::Config, change: impl FnOnce(&mut Config)) -> Self {
        let metrics = Metrics::default();
        let hub = Arc::new(Hub::new(hub, metrics.clone()));
        let worker = Arc::new(FakeWorker::default());
        hub.attach(Arc::<FakeWorker>::clone(&worker)).unwrap();
        // Channels called `room…` keep history.
        let rule = HistoryRule {
            size: 1_000,
            ttl: Duration::from_secs(600),
        };
        let rules = Arc::new(move |name: &str| name.starts_with("room").then_some(rule));
        let deliver: Arc<Hub> = Arc::clone(&hub);
        let config = MemoryConfig {
            max_revocations: 50,
            ..MemoryConfig::default()
        };
        let broker = MemoryBroker::open(config, rules, deliver, &metrics).unwrap();
        let revocations = Arc::new(Revocations::default());
        let denied = Arc::new(DenyList::default());
        let config = node::Config::default();
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(Rules::new(vec![], false)),
            revocations: Arc::clone(&revocations),
            routes: ArcSwap::default(),
            apps: ArcSwap::default(),
            settings: ArcSwap::default(),
            notices: Arc::clone(hub.notices()),
            metrics,
        });
        let node = Node::start(hub, Arc::new(broker), revocations, denied, config)
            .await
            .unwrap();
        let table = Endpoints::start(shared, Arc::clone(&node), vec![configured()], 3)
            .await
            .unwrap();

        let mut config = Config {
            keys: keys(),
            ..Config::default()
        };
        change(&mut config);
        let control =
            Arc::new(Control::new(config, Arc::clone(&node), Arc::clone(&table)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&control);
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serving.serve(listener, shutdown).await.unwrap();
        });
        Self {
            node,
            worker,
            control,
            table,
            address,
            stop: Some(stop),
            task,
        }
    }

    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Clients with the admin's key.
    pub async fn clients(&self) -> Clients {
        self.clients_of(Some(ADMIN)).await
    }

    pub async fn clients_of(&self, secret: Option<&str>) -> Clients {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        Clients::over(endpoint.connect().await.unwrap(), secret)
    }

    /// Puts a session on a channel, as a worker does.
    pub async fn join(&self, channel: &str, subject: &str) -> SessionId {
        let session = self.worker.add(Some(subject));
        let channel = ChannelName::parse(channel).unwrap();
        self.worker
            .change(session, |info| info.channels.push(channel.clone()));
        let member = Some(Member {
            subject: subject.into(),
            session,
            info: None,
        });
        let query = HistoryQuery::default();
        self.node
            .join(Join {
                channel,
                worker: 0,
                fresh: true,
                member,
                max_members: usize::MAX,
                query,
            })
            .await
            .unwrap();
        session
    }

    pub async fn leave(&self, channel: &str, session: SessionId) {
        let channel = ChannelName::parse(channel).unwrap();
        self.node.leave(0, channel, Some(session)).await;
    }
}

/// Changes limits only.
pub fn limited(change: impl FnOnce(&mut Limits)) -> impl FnOnce(&mut Config) {
    |config| change(&mut config.limits)
}

/// Adds the caller's key to every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

pub type Wire = InterceptedService<Channel, Bearer>;

/// A client for every service.
#[derive(Clone)]
pub struct Clients {
    pub publisher: proto::publisher_client::PublisherClient<Wire>,
    pub channels: proto::channels_client::ChannelsClient<Wire>,
    pub sessions: proto::sessions_client::SessionsClient<Wire>,
    pub firewall: proto::firewall_client::FirewallClient<Wire>,
    pub endpoints: proto::endpoints_client::EndpointsClient<Wire>,
    pub events: proto::events_client::EventsClient<Wire>,
    pub nodes: proto::nodes_client::NodesClient<Wire>,
    pub wire: Wire,
}

impl Clients {
    pub fn over(channel: Channel, secret: Option<&str>) -> Self {
        let bearer = Bearer(secret.map(|secret| format!("Bearer {secret}").parse().unwrap()));
        let wire = InterceptedService::new(channel, bearer);
        Self {
            publisher: proto::publisher_client::PublisherClient::new(wire.clone()),
            channels: proto::channels_client::ChannelsClient::new(wire.clone()),
            sessions: proto::sessions_client::SessionsClient::new(wire.clone()),
            firewall: proto::firewall_client::FirewallClient::new(wire.clone()),
            endpoints: proto::endpoints_client::EndpointsClient::new(wire.clone()),
            events: proto::events_client::EventsClient::new(wire.clone()),
            nodes: proto::nodes_client::NodesClient::new(wire.clone()),
            wire,
        }
    }

    /// Publishes a number on one channel.
    pub async fn publish(&mut self, channel: &str, number: u64) -> proto::Receipt {
        let response = self
            .publisher
            .publish(number_on(channel, number))
            .await
            .unwrap();
        response.into_inner().receipts.pop().unwrap()
    }
}

pub fn number_on(channel: &str, number: u64) -> proto::PublishRequest {
    proto::PublishRequest {
        channels: vec![channel.into()],
        event: "number".into(),
        data: number.to_string().into(),
        ..proto::PublishRequest::default()
    }
}

/// The details of a refusal, whose code must be `code`.
pub fn refused<T: std::fmt::Debug>(code: Code, answer: Result<T, Status>) -> ErrorDetails {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().domain, "pogo", "{status:?}");
    details
}

/// The fields that a refusal names.
pub fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let details = refused(Code::InvalidArgument, answer);
    let violations = &details.bad_request().unwrap().field_violations;
    violations
        .iter()
        .map(|violation| violation.field.clone())
        .collect()
}

/// What must come soon.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it never came")
}

/// Keeps sessions as data, and what was done to them.
#[derive(Default)]
pub struct FakeWorker {
    sessions: Mutex<Vec<SessionInfo>>,
    actions: Mutex<Vec<(SessionId, SessionAction)>>,
    /// Questions are kept and never answered.
    pub mute: AtomicBool,
    unanswered: Mutex<Vec<WorkerMessage>>,
}

impl FakeWorker {
    pub fn add(&self, subject: Option<&str>) -> SessionId {
        let id = SessionId::random().unwrap();
        let mut sessions = self.sessions.lock().unwrap();
        sessions.push(SessionInfo {
            id,
            subject: subject.map(Into::into),
            address: "192.0.2.7".parse().unwrap(),
            protocol: "pogo.v1.json",
            channels: vec![],
            connected_at: Duration::from_secs(1_000_000_000),
            expires_at: Some(2_000_000_000),
            token_id: None,
            tokens: [].into(),
            mailbox_bytes: 0,
        });
        sessions.sort_by_key(|info| info.id);
        id
    }

    pub fn change(&self, session: SessionId, change: impl FnOnce(&mut SessionInfo)) {
        let mut sessions = self.sessions.lock().unwrap();
        change(sessions.iter_mut().find(|info| info.id == session).unwrap());
    }

    /// What was done since the last look.
    pub fn done(&self) -> Vec<(SessionId, SessionAction)> {
        std::mem::take(&mut self.actions.lock().unwrap())
    }

    fn matching(&self, filter: &SessionFilter) -> Vec<SessionInfo> {
        let matches = |info: &&SessionInfo| {
            filter.session.is_none_or(|id| info.id == id)
                && filter
                    .subject
                    .as_deref()
                    .is_none_or(|name| info.subject.as_deref() == Some(name))
                && filter
                    .token_id
                    .as_deref()
                    .is_none_or(|id| info.token_id.as_deref() == Some(id))
                && filter
                    .channel
                    .as_ref()
                    .is_none_or(|name| info.channels.contains(name))
                && (filter.addresses.is_empty()
                    || filter
                        .addresses
                        .iter()
                        .any(|range| range.contains(&info.address)))
        };
        self.sessions
            .lock()
            .unwrap()
            .iter()
            .filter(matches)
            .cloned()
            .collect()
    }

    fn act(&self, filter: &SessionFilter, action: &SessionAction) -> usize {
        let found = self.matching(filter);
        for info in &found {
            if matches!(action, SessionAction::Close(_)) {
                self.sessions
                    .lock()
                    .unwrap()
                    .retain(|session| session.id != info.id);
            }
            if !matches!(action, SessionAction::Count) {
                self.actions.lock().unwrap().push((info.id, action.clone()));
            }
        }
        found.len()
    }
}

impl Worker for FakeWorker {
    fn post(&self, message: WorkerMessage) {
        if self.mute.load(Ordering::Relaxed) {
            self.unanswered.lock().unwrap().push(message);
            return;
        }
        match message {
            WorkerMessage::List {
                filter,
                after,
                limit,
                reply,
            } => {
                let mut found = self.matching(&filter);
                found.retain(|info| after.is_none_or(|after| info.id > after));
                found.truncate(limit);
                let _ = reply.send(found);
            }
            WorkerMessage::Act {
                filter,
                action,
                reply,
            } => {
                let _ = reply.send(self.act(&filter, &action));
            }
            WorkerMessage::Deliver(_)
            | WorkerMessage::DeliverTo { .. }
            | WorkerMessage::Answer { .. }
            | WorkerMessage::Rerouted
            | WorkerMessage::Drain { .. } => {}
        }
    }
}
