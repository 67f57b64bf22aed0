//! How much of a stalled reader's backlog the kernel takes: little, so that the slow policy sees it.

use std::sync::atomic::Ordering;

use super::*;
use crate::edge::{Config, limit_unsent};

/// Of one publication's data.
const LENGTH: usize = 64 * 1024 - 100;
/// 8 MiB of them.
const COUNT: u64 = 128;
/// What the kernel may have: what is on its way, which the reader's own buffer bounds, and the
/// backlog. Far below `tcp_wmem`'s 4 MiB.
const KERNEL: usize = 768 * 1024;

fn rig(mailbox_bytes: usize) -> Rig {
    let config = Config {
        mailbox_bytes,
        ..Config::default()
    };
    let unsent = config.unsent_bytes;
    let rig = Rig::with(&Setup {
        config,
        ..Setup::default()
    });
    limit_unsent(&rig.listener, unsent).unwrap();
    rig
}

#[test]
fn the_backlog_waits_in_the_mailbox_and_comes_in_order() {
    let mut rig = rig(64 << 20);
    let mut stalled = rig.join();
    rig.subscribe(&mut stalled, "a");
    let padding = "x".repeat(LENGTH);
    for n in 0..COUNT {
        rig.publish("a", &json!([n, padding]));
        rig.settle();
    }
    let all = COUNT as usize * LENGTH;
    let taken = all.saturating_sub(rig.workers[0].mailbox_bytes);
    println!("the kernel took {taken} of {all} bytes");
    assert!(taken < KERNEL, "the kernel took {taken} bytes");
    for n in 0..COUNT {
        assert_eq!(rig.text(&mut stalled)["data"][0], n);
    }
    assert_eq!(rig.workers[0].mailbox_bytes, 0);
    let written = rig.workers[0].gauges.deliveries.load(Ordering::Relaxed);
    assert_eq!(written, COUNT);
}

#[test]
fn the_slow_policy_fires_at_about_the_configured_bytes() {
    let bytes = 1 << 20;
    let mut rig = rig(bytes);
    let mut stalled = rig.join();
    rig.subscribe(&mut stalled, "a");
    let padding = "x".repeat(LENGTH);
    let mut published = 0;
    while rig.workers[0].by_id.len() == 1 {
        rig.publish("a", &json!([published, padding]));
        published += LENGTH;
        rig.settle();
        assert!(
            published <= bytes + KERNEL,
            "{published} bytes and still open"
        );
    }
    assert!(published >= bytes, "closed after {published} bytes");
    let last = rig
        .take(&mut stalled, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4101)));
}
