//! The state machine of each channel: who subscribes when, and what a failure leaves behind.

use super::scripted::{Scripted, Step};
use super::*;

const DELAY: Duration = Duration::from_secs(5);

fn node() -> (Arc<Node>, Arc<Scripted>) {
    let hub = a_hub();
    for _ in 0..4 {
        hub.attach(Recorder::new()).unwrap();
    }
    let broker = Scripted::new(memory(&hub));
    (start(hub, broker.clone()), broker)
}

fn later(by: Duration) -> Now {
    let now = Now::read();
    Now {
        instant: now.instant + by,
        unix: now.unix + by,
    }
}

async fn join_and_count(node: &Node, worker: WorkerId) -> usize {
    node.join(join("a", worker)).await.unwrap();
    node.hub().subscribers("a")
}

#[tokio::test]
async fn the_first_subscribes_and_the_rest_share_it() {
    let (node, broker) = node();
    for count in 1..=3 {
        assert_eq!(join_and_count(&node, 0).await, count);
    }
    let steps = broker.take_steps();
    let subscribed = steps.iter().filter(|step| **step == Step::Subscribe);
    assert_eq!(subscribed.count(), 1);
    assert_eq!(node.own.interests.len(), 1);
}

#[tokio::test]
async fn those_who_come_meanwhile_wait_for_the_first() {
    let (node, broker) = node();
    broker.close_gate();
    let mut waiting: Vec<_> = (0..4)
        .map(|worker| Box::pin(node.join(join("a", worker))))
        .collect();
    for join in &mut waiting {
        assert!(join.as_mut().now_or_never().is_none());
    }
    assert_eq!(broker.take_steps(), [Step::Subscribe]);
    broker.gate.add_permits(1);
    for join in waiting {
        join.await.unwrap();
    }
    assert_eq!(broker.take_steps(), [Step::History; 4]);
}

#[tokio::test]
async fn a_dropped_join_hands_its_turn_on_and_has_not_happened() {
    let (node, broker) = node();
    broker.close_gate();
    let mut first = Box::pin(node.join(join("a", 0)));
    let mut second = Box::pin(node.join(join("a", 1)));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(node.hub().subscribers("a"), 2);
    drop(first);
    assert_eq!(node.hub().subscribers("a"), 1);
    broker.gate.add_permits(1);
    second.await.unwrap();
    assert_eq!(
        broker.take_steps(),
        [Step::Subscribe, Step::Subscribe, Step::History]
    );
}

#[tokio::test]
async fn a_failed_join_undoes_everything() {
    for failing in [Step::Subscribe, Step::Enter, Step::History] {
        let (node, broker) = node();
        broker.failing.lock().unwrap().push(failing);
        let mut join = join("a", 0);
        join.member = Some(presence::member("ann", 1));
        assert!(node.join(join).await.is_err(), "{failing:?}");
        assert_eq!(node.hub().len(), 0);
        let members = node.members(&name("a"), None, 9).await.unwrap();
        assert_eq!(members.total, 0);
        node.sweep(later(DELAY)).await;
        assert_eq!(node.own.interests.len(), 0);
        broker.failing.lock().unwrap().clear();
        assert_eq!(join_and_count(&node, 0).await, 1);
    }
}

#[tokio::test]
async fn a_failed_repetition_leaves_the_session_where_it_was() {
    let (node, broker) = node();
    let mut member = join("a", 0);
    member.member = Some(presence::member("ann", 1));
    node.join(member).await.unwrap();
    broker.failing.lock().unwrap().push(Step::History);
    let mut again = join("a", 0);
    again.fresh = false;
    again.member = Some(presence::member("ann", 1));
    assert!(node.join(again).await.is_err());
    assert_eq!(node.hub().subscribers("a"), 1);
    assert_eq!(node.members(&name("a"), None, 9).await.unwrap().total, 1);
}

#[tokio::test]
async fn leaving_is_delayed_and_a_quick_return_costs_nothing() {
    let (node, broker) = node();
    join_and_count(&node, 0).await;
    node.leave(0, name("a"), None).await;
    node.sweep(later(DELAY - Duration::from_secs(1))).await;
    join_and_count(&node, 1).await;
    node.sweep(later(DELAY)).await;
    assert_eq!(
        broker.take_steps(),
        [Step::Subscribe, Step::History, Step::History]
    );
    node.leave(1, name("a"), None).await;
    node.leave(1, name("a"), None).await;
    node.sweep(later(DELAY)).await;
    node.sweep(later(DELAY)).await;
    assert_eq!(broker.take_steps(), [Step::Unsubscribe]);
    assert_eq!(node.own.interests.len(), 0);
    join_and_count(&node, 1).await;
    assert_eq!(broker.take_steps(), [Step::Subscribe, Step::History]);
}

#[tokio::test]
async fn who_left_again_meanwhile_is_waited_for_anew() {
    let (node, broker) = node();
    let interests = &node.own.interests;
    let start = Instant::now();
    join_and_count(&node, 0).await;
    node.hub().leave(&name("a"), 0);
    interests.left(&name("a"), start);
    // Back, and gone again one second before the first time is over.
    interests.left(&name("a"), start + DELAY - Duration::from_secs(1));
    let sweep = |by: Duration| interests.sweep(node.hub(), node.broker(), start + by);
    sweep(DELAY).await;
    assert_eq!(interests.len(), 1);
    sweep(DELAY * 2 - Duration::from_secs(1)).await;
    assert_eq!(interests.len(), 0);
    assert_eq!(broker.take_steps().last(), Some(&Step::Unsubscribe));
}

#[tokio::test]
async fn who_comes_while_it_unsubscribes_subscribes_after_it() {
    let (node, broker) = node();
    join_and_count(&node, 0).await;
    node.leave(0, name("a"), None).await;
    broker.take_steps();
    broker.close_gate();
    let mut sweep = Box::pin(node.sweep(later(DELAY)));
    assert!(sweep.as_mut().now_or_never().is_none());
    let mut join = Box::pin(node.join(join("a", 1)));
    assert!(join.as_mut().now_or_never().is_none());
    assert_eq!(broker.take_steps(), [Step::Unsubscribe]);
    broker.gate.add_permits(2);
    let ((), joined) = tokio::join!(sweep, join);
    joined.unwrap();
    assert_eq!(broker.take_steps(), [Step::Subscribe, Step::History]);
    node.sweep(later(DELAY * 3)).await;
    assert!(broker.take_steps().is_empty(), "it is live");
    assert_eq!(node.own.interests.len(), 1);
}

#[tokio::test]
async fn a_dropped_sweep_leaves_the_channel_for_whoever_comes() {
    let (node, broker) = node();
    join_and_count(&node, 0).await;
    node.leave(0, name("a"), None).await;
    broker.close_gate();
    let mut sweep = Box::pin(node.sweep(later(DELAY)));
    assert!(sweep.as_mut().now_or_never().is_none());
    drop(sweep);
    broker.gate.add_permits(1);
    assert_eq!(join_and_count(&node, 1).await, 1);
}
