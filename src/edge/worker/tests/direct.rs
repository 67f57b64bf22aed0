//! Publications written straight from the walk: nobody's order, exclusion, ttl or bound changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::edge::Config;
use crate::edge::worker::Worker;
use crate::edge::worker::walks::Lane;

fn waiting(worker: &Worker) -> usize {
    let clients = worker.clients.iter();
    clients.map(|(_, client)| client.mailbox.bytes()).sum()
}

fn deliveries(rig: &Rig) -> u64 {
    rig.workers[0].gauges.deliveries.load(Ordering::Relaxed)
}

/// Takes what was published and walks it, without a flush.
fn walk(rig: &mut Rig) {
    let worker = &mut rig.workers[0];
    worker.take_inbox();
    worker.walk(Lane::Small);
}

#[test]
fn a_lone_publication_is_written_by_the_walk() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    rig.publish("a", &json!(1));
    walk(&mut rig);
    assert_eq!(waiting(&rig.workers[0]), 0, "no mailbox is touched");
    assert_eq!(rig.text(&mut client)["data"], 1);
    rig.turn();
    assert_eq!(deliveries(&rig), 1);
}

#[test]
fn publications_of_several_channels_leave_together() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    for channel in ["a", "b", "c"] {
        rig.subscribe(&mut client, channel);
    }
    for channel in ["a", "b", "c"] {
        rig.publish(channel, &json!(channel));
    }
    walk(&mut rig);
    let worker = &rig.workers[0];
    let counts = worker
        .clients
        .iter()
        .map(|(_, client)| client.mailbox.chunks().count());
    assert_eq!(counts.collect::<Vec<_>>(), [3], "they wait for one write");
    rig.turn();
    for channel in ["a", "b", "c"] {
        assert_eq!(rig.text(&mut client)["data"], channel);
    }
}

#[test]
fn what_a_socket_does_not_take_at_once_comes_in_order() {
    let mut rig = Rig::new();
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "log-a");
    let padding = "x".repeat(60_000);
    for n in 1..=10 {
        rig.publish("log-a", &json!([n, padding]));
        rig.publish("log-a", &json!([n]));
    }
    walk(&mut rig);
    assert!(
        waiting(&rig.workers[0]) > 0,
        "a narrow socket cannot take it all"
    );
    rig.publish("log-a", &json!("last"));
    let offsets: Vec<_> = rig
        .drain(&mut client)
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::Text(text) => text["offset"].as_u64(),
            _ => None,
        })
        .collect();
    assert_eq!(offsets, (1..=21).collect::<Vec<_>>());
    rig.turn();
    assert_eq!(deliveries(&rig), 21);
    drop(client);
    rig.assert_empty();
}

#[test]
fn one_publication_larger_than_a_mailbox_closes_its_slow_reader_only() {
    let mut rig = Rig::with(&Setup {
        config: Config {
            mailbox_bytes: 32 * 1024,
            ..Config::default()
        },
        ..Setup::default()
    });
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    rig.publish("a", &json!("x".repeat(60_000)));
    let last = rig
        .take(&mut client, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(
        last,
        Some(Frame::Close(4101)),
        "the bound is the same either way"
    );
}

#[test]
fn an_expired_publication_is_left_out_and_the_rest_is_not() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    rig.publish_for("a", &json!("late"), Some(Duration::from_nanos(1)));
    rig.publish("a", &json!("well"));
    assert_eq!(rig.text(&mut client)["data"], "well");
}

#[test]
fn what_is_left_of_many_leaves_room_for_replies_where_the_oldest_may_go() {
    let mut rig = Rig::with(&Setup {
        config: Config {
            mailbox_messages: 20,
            ..Config::default()
        },
        ..Setup::default()
    });
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "drop-a");
    for n in 0..20 {
        rig.publish("drop-a", &json!([n, "x".repeat(700)]));
    }
    rig.settle();
    let clients = rig.workers[0].clients.iter();
    let waiting: usize = clients
        .map(|(_, client)| client.mailbox.chunks().count())
        .sum();
    assert!(waiting <= 10, "{waiting} of 20");
    for n in 0..10 {
        client.send(&json!({"id": n, "event": "ping"}));
    }
    rig.settle();
    rig.take(
        &mut client,
        |frame| matches!(frame, Frame::Text(text) if text["id"] == 9),
    );
}
