//! The join between history and the live stream, at every place where the two can overlap.

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::auth::Revocations;
use crate::broker::{MemoryBroker, MemoryConfig};
use crate::channel::HistoryRule;
use crate::hub::{self, Hub};
use crate::limits::DenyList;
use crate::metrics::Metrics;
use crate::node::{self, NewPublication};

async fn node(queue: usize) -> Arc<Node> {
    let metrics = Metrics::default();
    let config = hub::Config {
        watcher_publications: queue,
        ..hub::Config::default()
    };
    let hub = Arc::new(Hub::new(config, metrics.clone()));
    let rule = HistoryRule {
        size: 10_000,
        ttl: std::time::Duration::from_secs(600),
    };
    let rules = Arc::new(move |_: &str| Some(rule));
    let deliver: Arc<Hub> = Arc::clone(&hub);
    let broker = MemoryBroker::open(MemoryConfig::default(), rules, deliver, &metrics).unwrap();
    let (revocations, denied) = (
        Arc::new(Revocations::default()),
        Arc::new(DenyList::default()),
    );
    Node::start(
        hub,
        Arc::new(broker),
        revocations,
        denied,
        node::Config::default(),
    )
    .await
    .unwrap()
}

async fn publish(node: &Node, times: usize) -> Position {
    let mut at = None;
    for _ in 0..times {
        let publication = NewPublication {
            channel: ChannelName::parse("room").unwrap(),
            event: "e".into(),
            data: "1".into(),
            ttl: None,
            exclude: None,
            form: crate::publication::Form::Json,
            user: None,
            skip_history: false,
            change: None,
            idempotency: None,
        };
        at = node.publish(publication).await.unwrap().position;
    }
    at.unwrap()
}

fn open(node: &Arc<Node>, from: &Position) -> Feed {
    let mut request = SubscribeRequest {
        channels: vec!["r*".into()],
        ..Default::default()
    };
    request
        .recover
        .insert("room".into(), convert::position(from));
    Feed::open(node, &Limits::default(), request).unwrap()
}

/// Reads all that is there, and checks that nothing comes twice and nothing is missing without a
/// gap that names where.
fn read_all(feed: &mut Feed, mut last: u64) -> (u64, usize) {
    let mut gaps = 0;
    while let Some(item) = feed.next().now_or_never() {
        match item.unwrap().item.unwrap() {
            Item::Publication(publication) => {
                let offset = publication.position.unwrap().offset;
                assert!(
                    offset == last + 1 || gaps > 0 && offset > last,
                    "{last} then {offset}"
                );
                last = offset;
            }
            Item::Gap(gap) => {
                assert_eq!(gap.offset, last, "a gap starts where we are");
                gaps += 1;
            }
        }
    }
    (last, gaps)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Published before the watch, between watch and reading, in the middle of reading and after
    /// it: everything comes once and in order.
    #[test]
    fn everything_comes_once(
        missed in 0..250_usize,
        between in 0..50_usize,
        taken in 0..150_usize,
        middle in 0..50_usize,
        after in 1..50_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = node(1_000).await;
            let from = publish(&node, 1).await;
            if missed > 0 {
                publish(&node, missed).await;
            }
            let mut feed = open(&node, &from);
            if between > 0 {
                publish(&node, between).await;
            }
            let mut last = 1;
            for _ in 0..taken.min(missed + between) {
                let item = feed.next().now_or_never().unwrap().unwrap().item.unwrap();
                let Item::Publication(publication) = item else { panic!("a gap") };
                assert_eq!(publication.position.unwrap().offset, last + 1);
                last += 1;
            }
            if middle > 0 {
                publish(&node, middle).await;
            }
            (last, _) = read_all(&mut feed, last);
            let end = publish(&node, after).await;
            let (last, gaps) = read_all(&mut feed, last);
            assert_eq!((last, gaps), (end.offset, 0));
        });
    }

    /// The same with a queue that overflows: what is lost is told, and where.
    #[test]
    fn a_loss_is_told_with_its_place(
        between in 0..40_usize,
        middle in 0..40_usize,
        after in 1..40_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = node(5).await;
            let from = publish(&node, 1).await;
            let mut feed = open(&node, &from);
            if between > 0 {
                publish(&node, between).await;
            }
            let (last, _) = read_all(&mut feed, 1);
            if middle > 0 {
                publish(&node, middle).await;
            }
            let (last, gaps) = read_all(&mut feed, last);
            assert_eq!(gaps, usize::from(middle > 5), "after {between}, {middle}");
            let last = if gaps > 0 { 1 + (between + middle) as u64 } else { last };
            publish(&node, after.min(5)).await;
            read_all(&mut feed, last);
        });
    }
}
