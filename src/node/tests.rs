//! Publishing, joining, leaving, refusing.

mod covered;
mod gapless;
mod interest;
mod presence;
mod refuse;
mod scripted;

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::*;
use crate::broker::{Accepted, Draft, MemoryBroker, MemoryConfig};
use crate::channel::HistoryRule;
use crate::hub;
use crate::hub::testing::Recorder;
use crate::metrics::Metrics;
use crate::notice::{News, Notice, NoticeKind};

const AGE: Duration = Duration::from_secs(60);
const SIZE: usize = 20;

/// `kept…` and `/posts` retain, the rest does not.
fn rule(name: &str) -> Option<HistoryRule> {
    let rule = HistoryRule {
        size: SIZE,
        ttl: AGE,
    };
    (name.starts_with("kept") || name == "/posts").then_some(rule)
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn memory(hub: &Arc<Hub>) -> MemoryBroker {
    let config = MemoryConfig::default();
    MemoryBroker::open(config, Arc::new(rule), hub.clone(), hub.metrics()).unwrap()
}

fn a_hub() -> Arc<Hub> {
    let config = hub::Config {
        answer_timeout: Duration::from_millis(50),
        ..hub::Config::default()
    };
    Arc::new(Hub::new(config, Metrics::new()))
}

fn start(hub: Arc<Hub>, broker: Arc<dyn Broker>) -> Arc<Node> {
    let node = Node::start(
        hub,
        broker,
        Arc::default(),
        Arc::default(),
        Config::default(),
    );
    node.now_or_never().unwrap().unwrap()
}

/// A node over the memory broker, with so many workers.
fn node(workers: usize) -> (Arc<Node>, Vec<Arc<Recorder>>) {
    let hub = a_hub();
    let recorders: Vec<_> = (0..workers).map(|_| Recorder::new()).collect();
    for recorder in &recorders {
        hub.attach(recorder.clone()).unwrap();
    }
    let broker = Arc::new(memory(&hub));
    (start(hub, broker), recorders)
}

fn publication(channel: &str, data: &str) -> NewPublication {
    NewPublication {
        channel: name(channel),
        event: "e".into(),
        data: data.to_owned().into(),
        ttl: None,
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: None,
    }
}

fn join(channel: &str, worker: WorkerId) -> Join {
    Join {
        channel: name(channel),
        worker,
        fresh: true,
        member: None,
        max_members: usize::MAX,
        query: HistoryQuery {
            limit: 1_000,
            ..HistoryQuery::default()
        },
    }
}

/// The futures must be so for the workers and the control plane.
fn spawnable<T>(future: impl Future<Output = T> + Send + 'static) -> impl Future<Output = T> {
    future
}

#[test]
fn every_future_is_ready_at_its_first_poll_and_may_be_spawned() {
    let (node, workers) = node(1);
    let ready = |node: &Arc<Node>| {
        let node = node.clone();
        spawnable(async move {
            let page = node.join(join("kept", 0)).await.unwrap();
            let accepted = node.publish(publication("kept", "1")).await.unwrap();
            let history = node.history(&name("kept"), page_of(10)).await.unwrap();
            let members = node.members(&name("kept"), None, 1).await.unwrap();
            node.leave(0, name("kept"), None).await;
            node.sweep(Now::read()).await;
            (page, accepted, history, members)
        })
    };
    // In a runtime, too, whose budget for a task must not get between.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        for round in 1..=300 {
            let (page, accepted, history, members) = ready(&node).now_or_never().unwrap();
            assert_eq!(page.sequence, round - 1);
            assert_eq!(accepted.receivers, 1);
            assert_eq!(history.sequence, round);
            assert_eq!(members.total, 0);
        }
    });
    assert_eq!(workers[0].publications().len(), 300);
    assert_eq!(node.hub().metrics().publications.get(), 300);
}

fn page_of(limit: usize) -> HistoryQuery {
    HistoryQuery {
        limit,
        ..HistoryQuery::default()
    }
}

#[test]
fn a_publication_without_room_waits() {
    let config = hub::Config {
        budget_publications: 1,
        ..hub::Config::default()
    };
    let hub = Arc::new(Hub::new(config, Metrics::new()));
    let worker = Recorder::new();
    hub.attach(worker.clone()).unwrap();
    let broker = Arc::new(memory(&hub));
    let node = start(hub, broker);
    node.join(join("a", 0)).now_or_never().unwrap().unwrap();
    let publish = || node.publish(publication("a", "1"));
    assert!(publish().now_or_never().is_some());
    let mut second = Box::pin(publish());
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(worker.publications().len(), 1);
    assert!(second.now_or_never().is_some());
    assert_eq!(worker.publications().len(), 1);
}

#[test]
fn a_deduplicated_publication_is_counted_once() {
    let (node, _) = node(1);
    for deduplicated in [false, true] {
        let mut publication = publication("a", "1");
        publication.idempotency = Some("caller key".into());
        let accepted = node.publish(publication).now_or_never().unwrap().unwrap();
        assert_eq!(accepted.deduplicated, deduplicated);
    }
    assert_eq!(node.hub().metrics().publications.get(), 1);
}

#[tokio::test]
async fn it_knows_itself_and_sweeps_until_told() {
    let (node, workers) = node(1);
    let identity = node.identity();
    assert_eq!(identity.id.len(), 16);
    assert!(!identity.draining);
    assert_ne!(identity.id, self::node(0).0.identity().id);
    assert_eq!(node.hub().metrics().broker_up.get(), 1);
    node.drain(Duration::from_secs(1));
    assert!(node.identity().draining);
    let messages = workers[0].take();
    assert!(matches!(messages[..], [hub::WorkerMessage::Drain { .. }]));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(node.clone().run(async move {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[test]
fn webhooks_are_told_of_clients_events_that_were_accepted() {
    let (node, _) = node(1);
    let mut reader = node.hub().notices().reader().unwrap();
    let by_client = |data: &str| NewPublication {
        form: Form::Client,
        exclude: "1.2".parse().ok(),
        user: Some("ann".into()),
        idempotency: Some("once".into()),
        ..publication("presence-a", data)
    };
    let publish = |publication| {
        let published = node.publish(publication).now_or_never();
        published.unwrap().unwrap();
    };
    publish(by_client("0"));
    assert!(reader.is_empty(), "nobody wants to know");
    node.hub().notices().want([NoticeKind::ClientEvent]);
    let first = NewPublication {
        idempotency: None,
        ..by_client("1")
    };
    publish(first);
    // Not the same again, nor what others publish.
    publish(by_client("0"));
    publish(publication("presence-a", "2"));
    let mut notices = vec![];
    reader.read(&mut notices, 10).now_or_never().unwrap();
    let [Notice { channel, news }] = &notices[..] else {
        panic!("one: {notices:?}");
    };
    let News::ClientEvent {
        event,
        data,
        session,
        user,
    } = news
    else {
        panic!("{news:?}");
    };
    assert_eq!(
        (channel, &**event, &data[..]),
        (&name("presence-a"), "e", &b"1"[..])
    );
    assert_eq!(
        (session.to_string(), user.as_deref()),
        ("1.2".to_owned(), Some("ann"))
    );
}
