//! The driver over a scripted fetcher: what reaches the workers, in which order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::super::{
    Ask, Attach, Bounds, Fetched, Fetcher, Replicas, Request, Resource, Settings, Snapshot,
};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::hub::testing::Recorder;
use crate::hub::{self, Hub, SessionAction, WorkerMessage};
use crate::metrics::Metrics;
use crate::publication::{Change, Form, Position, Publication};
use crate::resource::{Caller, Endpoint, Failure, Origin};
use crate::session_id::SessionId;

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn session(number: u32) -> SessionId {
    format!("1.{number}").parse().unwrap()
}

fn failure(code: ErrorCode) -> Failure {
    super::super::core::failure(code, "as the test says")
}

fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        grant: None,
        address: [127, 0, 0, 1].into(),
    })
}

/// What becomes of a fetch.
enum Plan {
    Now(Fetched),
    Later(oneshot::Receiver<Fetched>),
}

#[derive(Default)]
struct Script {
    plans: Mutex<VecDeque<Plan>>,
    requests: Mutex<Vec<Request>>,
    undone: Mutex<Vec<Origin>>,
    generation: AtomicU64,
}

impl Fetcher for Script {
    fn generation(&self, _: &Resource) -> u64 {
        self.generation.load(Ordering::SeqCst)
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
enum Told {
    Answer(u32, Result<bool, ErrorCode>),
    All(String),
    To(Vec<u32>, String),
    Unsubscribe(String),
}

struct Rig {
    script: Arc<Script>,
    hub: Arc<Hub>,
    workers: [Arc<Recorder>; 2],
    replicas: Replicas,
    endpoint: Arc<Endpoint>,
}

fn snapshot(number: u64) -> Fetched {
    Fetched::Snapshot(Snapshot {
        code: 200,
        body: format!(r#"{{"n":{number}}}"#).into(),
        etag: None,
        version: None,
    })
}

impl Rig {
    fn new(most: usize) -> Self {
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

    fn resource(&self, uri: &str, variant: &str, shared: bool) -> Arc<Resource> {
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

    fn plan(&self, plan: Plan) {
        self.script.plans.lock().unwrap().push_back(plan);
    }

    fn later(&self) -> oneshot::Sender<Fetched> {
        let (sender, receiver) = oneshot::channel();
        self.plan(Plan::Later(receiver));
        sender
    }

    /// `number`: of the session, whose worker is its parity, and of its call.
    fn show(&self, resource: &Arc<Resource>, number: u32) -> Origin {
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
        self.replicas.attach(Arc::clone(resource), attach);
        origin
    }

    fn event(&self, stream: &str, offset: u64) -> usize {
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
    fn told(&self, worker: usize) -> Vec<Told> {
        let messages = self.workers[worker].take().into_iter();
        messages.map(told).collect()
    }

    async fn hears(&self, worker: usize, wanted: Told) {
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

    async fn until(&self, holds: impl Fn() -> bool) {
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

fn position(offset: u64) -> Position {
    let epoch = "e".into();
    Position { epoch, offset }
}

fn told(message: WorkerMessage) -> Told {
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

#[tokio::test]
async fn what_is_at_hand_is_answered_before_attach_returns() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    assert_eq!(rig.told(0), [Told::Answer(2, Ok(true))]);
    rig.show(&post, 4);
    assert_eq!(rig.told(0), [Told::Answer(4, Ok(true))]);
    assert_eq!(rig.script.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_reaches_every_query_and_audience_of_its_stream() {
    let rig = Rig::new(10);
    let shared = rig.resource("/posts/1", "", true);
    let mine = rig.resource("/posts/1?page=2", "me", false);
    for _ in 0..2 {
        rig.plan(Plan::Now(snapshot(0)));
    }
    rig.show(&shared, 2);
    rig.show(&mine, 3);
    let answered = [Told::Answer(3, Ok(true))];
    assert_eq!(rig.told(1), answered);
    for _ in 0..2 {
        rig.plan(Plan::Now(snapshot(1)));
    }
    assert_eq!(rig.event("/posts/1", 1), 2);
    rig.hears(0, Told::All(r#"update {"n":1} 1"#.into())).await;
    rig.hears(1, Told::To(vec![3], r#"update {"n":1} 1"#.into()))
        .await;
    assert_eq!(rig.event("/posts/2", 1), 0);
}

#[tokio::test]
async fn the_answer_precedes_the_push_in_the_workers_inbox() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    let first = rig.later();
    rig.show(&post, 2);
    rig.show(&post, 4);
    assert_eq!(rig.told(0), []);
    rig.event("/posts/1", 1);
    let more: Vec<_> = (0..3).map(|_| rig.later()).collect();
    let _ = first.send(snapshot(0));
    for (number, sender) in more.into_iter().zip(1..) {
        let _ = number.send(snapshot(sender));
    }
    let mut heard = Vec::new();
    while heard.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        heard.extend(rig.told(0));
    }
    assert_eq!(
        heard[..2],
        [Told::Answer(2, Ok(true)), Told::Answer(4, Ok(true))]
    );
}

#[tokio::test]
async fn a_full_map_refuses_and_lets_go_of_nobody() {
    let rig = Rig::new(1);
    let one = rig.resource("/posts/1", "", true);
    let two = rig.resource("/posts/2", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    let origin = rig.show(&one, 2);
    let refused = rig.show(&two, 4);
    let told = rig.told(0);
    assert_eq!(told[1], Told::Answer(4, Err(ErrorCode::Unavailable)));
    assert_eq!(*rig.script.undone.lock().unwrap(), [refused]);
    // When nobody is bound any more, it goes by itself, and there is room.
    rig.replicas.detach(origin.session, &one.uri);
    rig.until(|| rig.replicas.is_empty()).await;
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&two, 6);
    assert_eq!(rig.told(0), [Told::Answer(6, Ok(true))]);
}

#[tokio::test]
async fn a_join_that_binds_nobody_is_undone() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", false);
    rig.plan(Plan::Now(Fetched::Gone(failure(ErrorCode::NotFound))));
    let origin = rig.show(&post, 2);
    assert_eq!(rig.told(0), [Told::Answer(2, Err(ErrorCode::NotFound))]);
    assert_eq!(*rig.script.undone.lock().unwrap(), [origin]);
    assert!(!rig.replicas.hold(origin.session, &post.uri));
    // A second join of a session that is bound is one too many.
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    rig.show(&post, 2);
    assert_eq!(rig.script.undone.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_fetch_that_breaks_off_is_a_failure() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", false);
    let fetch = rig.later();
    rig.show(&post, 2);
    drop(fetch);
    rig.hears(0, Told::Answer(2, Err(ErrorCode::Internal)))
        .await;
}

#[tokio::test]
async fn who_is_held_moves_or_goes() {
    let rig = Rig::new(10);
    let (mine, other) = (
        rig.resource("/posts/1", "me", false),
        rig.resource("/posts/1", "other", false),
    );
    rig.plan(Plan::Now(snapshot(0)));
    let origins = [2, 4, 6].map(|number| rig.show(&mine, number));
    assert_eq!(rig.replicas.bound_to(&mine.stream).len(), 3);
    for origin in origins {
        assert!(rig.replicas.hold(origin.session, &mine.uri));
    }
    rig.event("/posts/1", 1);
    rig.told(0);
    rig.replicas.deny(
        origins[0].session,
        &mine.uri,
        &failure(ErrorCode::Forbidden),
    );
    assert_eq!(rig.told(0), [Told::Unsubscribe("forbidden".into())]);
    rig.replicas.stay(origins[1], &other, caller());
    let gap = r#"pogo:gap {"epoch":"e","offset":1} 0"#;
    assert_eq!(rig.told(0), [Told::To(vec![4], gap.into())]);
    // Only now somebody may ask for those who stay where they are.
    rig.plan(Plan::Now(snapshot(1)));
    rig.replicas.stay(origins[2], &mine, caller());
    rig.hears(0, Told::To(vec![6], r#"update {"n":1} 1"#.into()))
        .await;
    let bound = rig.replicas.bound(|_, _| true);
    assert_eq!(bound.len(), 2);
}

#[tokio::test]
async fn a_changed_endpoint_takes_everyone_along() {
    let mut rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    let waits = rig.later();
    rig.script.generation.fetch_add(1, Ordering::SeqCst);
    rig.show(&post, 4);
    let mut endpoint = (*rig.endpoint).clone();
    endpoint.ordered = true;
    rig.endpoint = Arc::new(endpoint);
    let renewed = rig.resource("/posts/1", "", true);
    let again = rig.later();
    rig.told(0);
    rig.show(&renewed, 6);
    assert_eq!(rig.replicas.len(), 1);
    let _ = waits.send(snapshot(1));
    let _ = again.send(snapshot(2));
    rig.hears(0, Told::Answer(6, Ok(true))).await;
    let bound = rig.replicas.bound(|_, _| true);
    assert_eq!(bound.len(), 3);
    assert!(bound.iter().all(|one| one.resource.endpoint.ordered));
}
