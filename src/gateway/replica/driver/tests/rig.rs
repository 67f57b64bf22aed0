//! A driver over a scripted fetcher, and what its workers are told.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::gateway::replica::{
    Ask, Attach, Bounds, Fetched, Fetcher, Replicas, Request, Resource, Settings, Snapshot,
};
use crate::hub::testing::Recorder;
use crate::hub::{self, Hub, SessionAction, WorkerMessage};
use crate::metrics::Metrics;
use crate::publication::{Change, Form, Position, Publication};
use crate::resource::{Caller, Endpoint, Failure, Origin};
use crate::session_id::SessionId;

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn session(number: u32) -> SessionId {
    format!("1.{number}").parse().unwrap()
}

pub(super) fn failure(code: ErrorCode) -> Failure {
    crate::gateway::replica::core::failure(code, "as the test says")
}

pub(super) fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        grant: None,
        address: [127, 0, 0, 1].into(),
        turn: 0,
    })
}

/// What becomes of a fetch.
pub(super) enum Plan {
    Now(Fetched),
    Later(oneshot::Receiver<Fetched>),
}

#[derive(Default)]
pub(super) struct Script {
    plans: Mutex<VecDeque<Plan>>,
    pub(super) requests: Mutex<Vec<Request>>,
    pub(super) undone: Mutex<Vec<Origin>>,
    pub(super) generation: AtomicU64,
}

impl Fetcher for Script {
    fn generation(&self, _: &Resource) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn in_force(&self, _: &Resource) -> bool {
        true
    }

    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Fetched> + Send>> {
        self.requests.lock().unwrap().push(request);
        let plan = self.plans.lock().unwrap().pop_front().expect("a plan");
        Box::pin(async move {
            match plan {
                Plan::Now(fetched) => fetched,
                Plan::Later(receiver) => receiver.await.expect("the test goes on"),
            }
        })
    }

    fn undo(&self, _: &Resource, origin: Origin) {
        self.undone.lock().unwrap().push(origin);
    }
}

/// What a worker was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Answer(u32, Result<bool, ErrorCode>),
    All(String),
    To(Vec<u32>, String),
    Unsubscribe(String),
}

pub(super) struct Rig {
    pub(super) script: Arc<Script>,
    hub: Arc<Hub>,
    workers: [Arc<Recorder>; 2],
    pub(super) replicas: Replicas,
    pub(super) endpoint: Arc<Endpoint>,
}

pub(super) fn snapshot(number: u64) -> Fetched {
    Fetched::Snapshot(Snapshot {
        code: 200,
        body: format!(r#"{{"n":{number}}}"#).into(),
        etag: None,
        version: None,
        until: Some(std::time::Instant::now() + std::time::Duration::from_secs(60)),
    })
}

impl Rig {
    pub(super) fn new(most: usize) -> Self {
        let script = Arc::new(Script::default());
        let hub = Arc::new(Hub::new(hub::Config::default(), Metrics::new()));
        let workers = [Recorder::new(), Recorder::new()];
        for worker in &workers {
            hub.attach(worker.clone()).unwrap();
        }
        let fetcher: Arc<dyn Fetcher> = script.clone();
        let fetcher = Arc::downgrade(&fetcher);
        let replicas = Replicas::new(&hub, fetcher, &Handle::current(), most);
        let bases = vec!["http://127.0.0.1:1".parse().unwrap()];
        let endpoint = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases);
        Self {
            script,
            hub,
            workers,
            replicas,
            endpoint: Arc::new(endpoint),
        }
    }

    pub(super) fn resource(&self, uri: &str, variant: &str, shared: bool) -> Arc<Resource> {
        Arc::new(Resource {
            uri: name(uri),
            stream: name(uri.split('?').next().unwrap()),
            variant: variant.into(),
            endpoint: Arc::clone(&self.endpoint),
            settings: Settings {
                collection: false,
                query: uri.contains('?'),
                shared,
                ordered: false,
                realtime: true,
                revalidate: None,
                id: "/id".into(),
                version: None,
                item: None,
                bounds: Bounds {
                    debounce: Duration::from_millis(1),
                    spacing: Duration::from_millis(1),
                    ring_ttl: Duration::from_millis(20),
                    ..Bounds::default()
                },
            },
        })
    }

    pub(super) fn plan(&self, plan: Plan) {
        self.script.plans.lock().unwrap().push_back(plan);
    }

    pub(super) fn later(&self) -> oneshot::Sender<Fetched> {
        let (sender, receiver) = oneshot::channel();
        self.plan(Plan::Later(receiver));
        sender
    }

    /// `number`: of the session, whose worker is its parity, and of its call.
    pub(super) fn show(&self, resource: &Arc<Resource>, number: u32) -> Origin {
        let origin = Origin {
            worker: u8::try_from(number % 2).unwrap(),
            connection: number,
            session: session(number),
        };
        self.hub.join(&resource.uri, origin.worker);
        let attach = Attach {
            origin,
            call: number,
            caller: caller(),
            ask: Ask {
                data: true,
                ..Ask::default()
            },
            position: Some(position(0)),
            fresh: true,
        };
        assert!(self.replicas.attach(resource, attach).is_ok());
        origin
    }

    pub(super) fn event(&self, stream: &str, offset: u64) -> usize {
        self.script.generation.fetch_add(1, Ordering::SeqCst);
        let publication = Publication {
            channel: name(stream),
            event: "update".into(),
            data: "null".into(),
            sequence: offset,
            epoch: Some("e".into()),
            time: 1,
            accepted: std::time::Instant::now(),
            expires: None,
            exclude: None,
            form: Form::Json,
            user: None,
            revision: 0,
            change: Some(Arc::new(Change::default())),
        };
        self.replicas.event(publication, None)
    }

    /// What a worker was told since the last look.
    pub(super) fn told(&self, worker: usize) -> Vec<Told> {
        let messages = self.workers[worker].take().into_iter();
        messages.map(told).collect()
    }

    pub(super) async fn hears(&self, worker: usize, wanted: Told) {
        let mut heard = Vec::new();
        let heard_it = async {
            while !heard.contains(&wanted) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                heard.extend(self.told(worker));
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(5), heard_it).await;
        assert!(in_time.is_ok(), "{wanted:?} is not among {heard:?}");
    }

    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(5), wait)
                .await
                .is_ok()
        );
    }
}

pub(super) fn position(offset: u64) -> Position {
    let epoch = "e".into();
    Position { epoch, offset }
}

pub(super) fn told(message: WorkerMessage) -> Told {
    let text = |publication: &Publication| {
        let data = String::from_utf8_lossy(&publication.data);
        format!("{} {data} {}", publication.event, publication.sequence)
    };
    match message {
        WorkerMessage::Answer { answer, .. } => {
            let bound = answer.bound.is_some();
            Told::Answer(
                answer.call,
                answer.result.map(|_| bound).map_err(|e| e.code),
            )
        }
        WorkerMessage::Deliver(delivery) => Told::All(text(&delivery.publication)),
        WorkerMessage::DeliverTo { delivery, targets } => {
            let targets = targets.iter().map(|target| target.connection).collect();
            Told::To(targets, text(&delivery.publication))
        }
        WorkerMessage::Act {
            action: SessionAction::Unsubscribe(_, reason),
            ..
        } => Told::Unsubscribe(reason.into()),
        other => panic!("{other:?}"),
    }
}
