//! The cap over all mailboxes.

use std::sync::atomic::Ordering;

use super::*;
use crate::edge::Config;

fn capped(total: usize) -> Rig {
    Rig::with(&Setup {
        config: Config {
            mailbox_bytes: 256 * 1024,
            mailbox_total_bytes: total,
            ..Config::default()
        },
        workers: 2,
        ..Setup::default()
    })
}

fn held(rig: &Rig) -> usize {
    rig.workers.iter().map(|worker| worker.mailbox_bytes).sum()
}

#[test]
fn the_largest_mailbox_is_cut_first_on_whichever_worker() {
    let mut rig = capped(200 * 1024);
    let mut small: Vec<_> = [0, 1, 1]
        .into_iter()
        .map(|worker| rig.narrow_on(worker))
        .collect();
    let mut large = rig.narrow_on(1);
    for client in small.iter_mut().chain([&mut large]) {
        rig.subscribe(client, "a");
    }
    rig.subscribe(&mut large, "b");
    let data = json!("x".repeat(1_000));
    for _ in 0..30 {
        rig.publish("a", &data);
        rig.publish("b", &data);
        rig.settle();
    }
    assert_eq!(rig.workers[1].by_id.len(), 3, "all are there still");
    let mut n = 0;
    while rig.workers[1].by_id.len() == 3 {
        rig.publish(if n % 2 == 0 { "b" } else { "a" }, &data);
        rig.settle();
        n += 1;
        assert!(n < 400, "nobody was cut");
    }
    assert_eq!(rig.workers[0].by_id.len(), 1, "a small one was cut");
    let last = rig
        .take(&mut large, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4101)), "the large one was cut");
    assert!(held(&rig) <= 200 * 1024);
    for worker in &rig.workers {
        let told = worker.gauges.mailbox_bytes.load(Ordering::Relaxed);
        assert_eq!(told, worker.mailbox_bytes);
    }
    drop((small, large));
    rig.assert_empty();
}

#[test]
fn cutting_ends_however_many_must_go() {
    let mut rig = capped(64 * 1024);
    let mut clients: Vec<_> = (0..40).map(|n| rig.narrow_on(n % 2)).collect();
    for client in &mut clients {
        rig.subscribe(client, "a");
    }
    for _ in 0..60 {
        rig.publish("a", &json!("x".repeat(1_000)));
        rig.settle();
        assert!(held(&rig) <= 64 * 1024, "{}", held(&rig));
    }
    let left = rig
        .workers
        .iter()
        .map(|worker| worker.by_id.len())
        .sum::<usize>();
    assert!(left < 40);
    drop(clients);
    rig.assert_empty();
}

#[test]
fn a_worker_that_is_quiet_is_not_passed_over() {
    let mut rig = capped(150 * 1024);
    let mut large = rig.narrow_on(0);
    let mut small = rig.narrow_on(1);
    rig.subscribe(&mut large, "b");
    rig.subscribe(&mut small, "a");
    let data = json!("x".repeat(1_000));
    // Together still within the cap, so that this worker has had nothing to complain of.
    while rig.workers[0].mailbox_bytes < 100 * 1024 {
        rig.publish("b", &data);
        rig.settle();
    }
    for _ in 0..300 {
        rig.publish("a", &data);
        rig.settle();
        assert!(held(&rig) <= 150 * 1024, "{}", held(&rig));
        if rig.workers[0].by_id.is_empty() {
            break;
        }
        assert_eq!(rig.workers[1].by_id.len(), 1, "the smaller one was cut");
    }
    assert!(rig.workers[0].by_id.is_empty(), "nobody was cut");
    drop((large, small));
    rig.assert_empty();
}
