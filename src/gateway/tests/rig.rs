//! The whole gateway on one node, and sessions as its workers see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Handle;

use super::upstream::Upstream;
use crate::broker::{HistoryQuery, MemoryBroker, MemoryConfig};
use crate::channel::{ChannelName, HistoryRule, Rules};
use crate::gateway::{Config, Gateway, upstream};
use crate::hub::testing::Recorder;
use crate::hub::{self, Hub, SessionAction, WorkerMessage};
use crate::metrics::Metrics;
use crate::node::{self, NewPublication, Node};
use crate::notice::Notices;
use crate::publication::{Form, Position, Publication};
use crate::resource::{
    Answer, Call, CallOptions, Calls, Endpoint, Failure, Origin, Routes, Success, Verb,
};
use crate::session::Shared;
use crate::session_id::SessionId;

pub(super) use super::client::{Client, How, caller, name, posts, sub};

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
    /// Who is bound to what, and the offset beyond which he is pushed to.
    bound: Mutex<HashMap<(SessionId, ChannelName), u64>>,
    sessions: Mutex<u32>,
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
            bound: Mutex::default(),
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
                echo: !how.quiet,
                re: Some(Bytes::from(id.to_string())),
                ..how.options
            },
            caller: client.caller.clone(),
        };
        self.gateway.call(call, client.origin);
        id
    }

    /// Takes what the worker was told, as a worker does.
    fn hear(&self) {
        let mut log = self.log.lock().unwrap();
        let mut bound = self.bound.lock().unwrap();
        for message in self.worker.take() {
            match message {
                WorkerMessage::Answer { target, answer } => {
                    if let Some(on) = &answer.bound {
                        let after = on.position.as_ref().map_or(0, |position| position.offset);
                        bound.insert((target.session, on.uri.clone()), after);
                    }
                    log.push((target.session, Told::Answer(answer)));
                }
                WorkerMessage::DeliverTo { delivery, targets } => {
                    let publication = &delivery.publication;
                    for target in targets {
                        pushed(&bound, target.session, publication, &mut log);
                    }
                }
                WorkerMessage::Deliver(delivery) => {
                    let publication = &delivery.publication;
                    let on = bound.keys().filter(|(_, uri)| *uri == publication.channel);
                    let sessions: Vec<SessionId> = on.map(|(session, _)| *session).collect();
                    for session in sessions {
                        if publication.exclude != Some(session) {
                            pushed(&bound, session, publication, &mut log);
                        }
                    }
                }
                WorkerMessage::Act {
                    filter,
                    action: SessionAction::Unsubscribe(uri, reason),
                    ..
                } => {
                    let session = filter.session.unwrap();
                    assert!(bound.remove(&(session, uri.clone())).is_some(), "not bound");
                    log.push((session, Told::Unsubscribed(uri.clone(), reason.into())));
                    self.gateway.left(session, &uri);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nothing was told to the client but this, and nothing comes for a while.
    pub(super) async fn silent(&self, client: &Client) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        self.hear();
        let log = self.log.lock().unwrap();
        let told: Vec<_> = log
            .iter()
            .filter(|(session, _)| *session == client.origin.session)
            .collect();
        assert!(told.is_empty(), "{told:?}");
    }

    /// The next thing told to a client, in a line: an answer's code or failure, a push, an end.
    pub(super) async fn line(&self, client: &Client) -> String {
        self.heard(|session, told| {
            (*session == client.origin.session).then(|| match told {
                Told::Answer(answer) => match &answer.result {
                    Ok(success) => {
                        let data = String::from_utf8_lossy(&success.data).into_owned();
                        let on = answer
                            .bound
                            .as_ref()
                            .map_or("-", |bound| bound.uri.as_str());
                        format!("ok {on} {data}")
                    }
                    Err(failure) => format!("error {}", failure.code.name()),
                },
                Told::Push(push) => {
                    let change = push.change.as_deref();
                    let item = change.and_then(|change| change.item.as_ref());
                    let item = item.map_or(String::new(), |item| format!(" {item}"));
                    let re = match change.and_then(|change| change.re.as_ref()) {
                        Some(_) => " re",
                        None => "",
                    };
                    let data = String::from_utf8_lossy(&push.data);
                    format!("{} {}{item} {data}{re}", push.event, push.channel)
                }
                Told::Unsubscribed(uri, reason) => format!("unsubscribed {uri} {reason}"),
            })
        })
        .await
    }

    /// Binds a client with `verb` and the upstream's help.
    pub(super) async fn bind(&self, client: &Client, verb: Verb, uri: &str, body: &str) {
        self.call(client, verb, uri, How::bound());
        self.upstream.next().await.ok(body);
        assert_eq!(self.line(client).await, format!("ok {uri} {body}"));
    }

    fn take<T>(&self, wanted: impl Fn(&SessionId, &Told) -> Option<T>) -> Option<T> {
        self.hear();
        let mut log = self.log.lock().unwrap();
        let mut found = None;
        let at = log.iter().position(|(session, told)| {
            found = wanted(session, told);
            found.is_some()
        });
        log.remove(at?);
        found
    }

    /// The first thing told that `wanted` takes; it is told no more.
    pub(super) async fn heard<T>(&self, wanted: impl Fn(&SessionId, &Told) -> Option<T>) -> T {
        let look = async {
            loop {
                if let Some(found) = self.take(&wanted) {
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

    /// Where a stream stands.
    pub(super) async fn position(&self, uri: &str) -> Position {
        let uri = name(uri);
        let page = self.node.history(&uri, HistoryQuery::default()).await;
        page.unwrap().position.unwrap()
    }

    /// A client leaves a uri.
    pub(super) fn gateway_left(&self, client: &Client, uri: &str) {
        self.hear();
        let key = (client.origin.session, name(uri));
        assert!(self.bound.lock().unwrap().remove(&key).is_some());
        self.gateway.left(client.origin.session, &name(uri));
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

/// A push, unless the session has left or its answer covers it.
fn pushed(
    bound: &HashMap<(SessionId, ChannelName), u64>,
    session: SessionId,
    publication: &Publication,
    log: &mut Vec<(SessionId, Told)>,
) {
    let after = bound.get(&(session, publication.channel.clone()));
    let after = *after.expect("pushed to one who is not bound");
    if publication.sequence == 0 || publication.sequence > after {
        log.push((session, Told::Push(publication.clone())));
    }
}
