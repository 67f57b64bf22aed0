//! The whole gateway on one node, and sessions as its workers see them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::upstream::Upstream;
use crate::auth::{Capabilities, Grant, Presented};
use crate::broker::{MemoryBroker, MemoryConfig};
use crate::channel::{ChannelName, HistoryRule, Rules};
use crate::gateway::{Config, Gateway, upstream};
use crate::hub::testing::Recorder;
use crate::hub::{self, Hub, WorkerMessage};
use crate::metrics::Metrics;
use crate::node::{self, NewPublication, Node};
use crate::notice::Notices;
use crate::publication::{Form, Publication};
use crate::resource::{
    AccessRule, Answer, Audience, Call, CallOptions, Caller, Calls, Endpoint, Failure, Origin,
    Routes, Success, Verb,
};
use crate::session::Shared;
use crate::session_id::SessionId;

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a session's worker was told for it.
#[derive(Debug)]
pub(super) enum Told {
    Answer(Box<Answer>),
    Push(Publication),
    /// `pogo:unsubscribed` with its reason.
    Unsubscribed(ChannelName, String),
}

pub(super) struct Rig {
    pub(super) upstream: Upstream,
    pub(super) node: Arc<Node>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) shared: Arc<Shared>,
    worker: Arc<Recorder>,
    log: Mutex<Vec<(SessionId, Told)>>,
    sessions: Mutex<u32>,
}

/// One client.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) origin: Origin,
    pub(super) caller: Arc<Caller>,
}

/// `/posts` and `/posts/{id}` of `upstream`, public and shared.
pub(super) fn posts(base: &str) -> Endpoint {
    let bases = vec![base.parse().unwrap()];
    let mut posts = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases);
    posts.access = AccessRule::Public;
    posts.audience = Audience::Shared;
    posts.query = vec!["page".into()];
    posts.upstream.timeout = Duration::from_secs(2);
    posts
}

impl Rig {
    /// With endpoints made from the upstream's base.
    pub(super) async fn new(endpoints: impl FnOnce(&str) -> Vec<Endpoint>) -> Self {
        let upstream = Upstream::start().await;
        let metrics = Metrics::new();
        let hub = Arc::new(Hub::new(hub::Config::default(), metrics.clone()));
        let worker = Recorder::new();
        hub.attach(worker.clone()).unwrap();
        let rule = |name: &str| {
            name.starts_with('/').then_some(HistoryRule {
                size: 128,
                ttl: Duration::from_secs(60),
            })
        };
        let broker = MemoryBroker::open(
            MemoryConfig::default(),
            Arc::new(rule),
            hub.clone(),
            &metrics,
        );
        let broker = Arc::new(broker.unwrap());
        let config = node::Config::default();
        let node = Node::start(hub, broker, Arc::default(), Arc::default(), config);
        let node = node.await.unwrap();
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(Rules::new(Vec::new(), false)),
            revocations: Arc::default(),
            routes: ArcSwap::from_pointee(Routes::new(endpoints(&upstream.base)).unwrap()),
            apps: ArcSwap::default(),
            settings: ArcSwap::default(),
            notices: Arc::new(Notices::new(100, 100_000, &metrics)),
            metrics,
        });
        let config = Config {
            upstream: upstream::Config {
                loopback: true,
                ..upstream::Config::default()
            },
            ..Config::default()
        };
        let gateway = Gateway::start(config, &node, &shared, &Handle::current());
        Self {
            upstream,
            node,
            gateway,
            shared,
            worker,
            log: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// The posts alone.
    pub(super) async fn of_posts(change: impl FnOnce(&mut Endpoint)) -> Self {
        Self::new(|base| {
            let mut posts = posts(base);
            change(&mut posts);
            vec![posts]
        })
        .await
    }

    /// A client with a token of these claims; null: without one.
    pub(super) fn client(&self, claims: &Value) -> Client {
        let mut sessions = self.sessions.lock().unwrap();
        *sessions += 1;
        let origin = Origin {
            worker: 0,
            connection: *sessions,
            session: SessionId::random().unwrap(),
        };
        let caller = caller(claims);
        Client { origin, caller }
    }

    pub(super) fn anonymous(&self) -> Client {
        self.client(&Value::Null)
    }

    /// Makes a call; its answer comes by [`Self::answer`].
    pub(super) fn call(&self, client: &Client, verb: Verb, uri: &str, how: How<'_>) -> u32 {
        let mut calls = self.sessions.lock().unwrap();
        *calls += 1;
        let id = *calls;
        drop(calls);
        let call = Call {
            id,
            verb,
            uri: name(uri),
            body: Bytes::copy_from_slice(how.body.as_bytes()),
            options: CallOptions {
                echo: true,
                re: Some(Bytes::from(id.to_string())),
                ..how.options
            },
            caller: client.caller.clone(),
        };
        self.gateway.call(call, client.origin);
        id
    }

    fn hear(&self) {
        let mut log = self.log.lock().unwrap();
        for message in self.worker.take() {
            match message {
                WorkerMessage::Answer { target, answer } => {
                    log.push((target.session, Told::Answer(answer)));
                }
                WorkerMessage::DeliverTo { delivery, targets } => {
                    for target in targets {
                        let push = Told::Push(delivery.publication.clone());
                        log.push((target.session, push));
                    }
                }
                _ => {}
            }
        }
    }

    /// The first thing told that `wanted` takes; it is told no more.
    pub(super) async fn heard<T>(&self, wanted: impl Fn(&SessionId, &Told) -> Option<T>) -> T {
        let look = async {
            loop {
                self.hear();
                let mut log = self.log.lock().unwrap();
                let mut found = None;
                let at = log.iter().position(|(session, told)| {
                    found = wanted(session, told);
                    found.is_some()
                });
                if let Some(at) = at {
                    log.remove(at);
                }
                drop(log);
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("not heard; but {:?}", self.log.lock().unwrap()))
    }

    /// The answer to a call, if it is there.
    pub(super) fn answer_now(&self, call: u32) -> Option<Result<Success, Failure>> {
        self.hear();
        let mut log = self.log.lock().unwrap();
        let at = log
            .iter()
            .position(|(_, told)| matches!(told, Told::Answer(answer) if answer.call == call))?;
        match log.remove(at).1 {
            Told::Answer(answer) => Some(answer.result),
            _ => None,
        }
    }

    /// The answer to a call.
    pub(super) async fn answer(&self, call: u32) -> Result<Success, Failure> {
        self.heard(|_, told| match told {
            Told::Answer(answer) if answer.call == call => Some(answer.result.clone()),
            _ => None,
        })
        .await
    }

    /// Asks for something and waits for its answer, with the upstream's help.
    pub(super) async fn ask(&self, client: &Client, verb: Verb, uri: &str, body: &str) -> u32 {
        let call = self.call(client, verb, uri, How::alone());
        self.upstream.next().await.ok(body);
        call
    }

    /// A service publishes.
    pub(super) async fn publish(&self, uri: &str, event: &str, data: &str) -> usize {
        let publication = NewPublication {
            channel: name(uri),
            event: event.into(),
            data: data.to_owned().into(),
            ttl: None,
            exclude: None,
            form: Form::Json,
            user: None,
            skip_history: false,
            idempotency: None,
            change: None,
        };
        self.node.publish(publication).await.unwrap().receivers
    }
}

/// How a call is made.
#[derive(Default, Clone)]
pub(super) struct How<'a> {
    pub(super) body: &'a str,
    pub(super) options: CallOptions,
}

impl<'a> How<'a> {
    /// Without binding.
    pub(super) fn alone() -> Self {
        Self::default()
    }

    /// With binding.
    pub(super) fn bound() -> Self {
        let options = CallOptions {
            bind: true,
            ..CallOptions::default()
        };
        Self {
            options,
            ..Self::default()
        }
    }

    pub(super) fn with(self, body: &'a str) -> Self {
        Self { body, ..self }
    }
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn caller(claims: &Value) -> Arc<Caller> {
    static TOKENS: Mutex<u8> = Mutex::new(0);
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    if claims.is_null() {
        let grant = None;
        return Arc::new(Caller { grant, address });
    }
    let mut tokens = TOKENS.lock().unwrap();
    *tokens = tokens.wrapping_add(1);
    let text = claims.to_string();
    let grant = Grant {
        subject: claims["sub"].as_str().map(Into::into),
        token_id: claims["jti"].as_str().map(Into::into),
        issued_at: None,
        expires_at: u64::MAX,
        channels: Vec::new(),
        capabilities: Capabilities::default(),
        info: None,
        fingerprint: [*tokens; 16],
        presented: Some(Arc::new(Presented {
            token: format!("token-{tokens}").into(),
            claims: RawValue::from_string(text).unwrap(),
        })),
    };
    let grant = Some(Arc::new(grant));
    Arc::new(Caller { grant, address })
}

/// Who is `sub`.
pub(super) fn sub(name: &str) -> Value {
    json!({ "sub": name })
}
