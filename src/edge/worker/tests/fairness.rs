//! Who waits for whom while huge channels are walked, counted in slices rather than time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;
use crate::edge::worker::walks::{Lane, SLICE, SMALL_SLICES};

/// Sessions that are all on `channels`.
fn crowd(rig: &mut Rig, count: usize, channels: &[String]) -> Vec<Client> {
    let mut crowd: Vec<_> = (0..count).map(|_| rig.join()).collect();
    for client in &mut crowd {
        for channel in channels {
            client.send(&json!({"event": "channel:subscribe", "channel": channel}));
        }
        rig.settle();
    }
    crowd
}

fn huge(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("huge-{n}")).collect()
}

/// What the worker has written, ever.
fn written(rig: &Rig) -> usize {
    let deliveries = rig.workers[0].gauges.deliveries.load(Ordering::Relaxed);
    usize::try_from(deliveries).unwrap()
}

/// The data of the next texts that come to `client`, which are written: no worker is turned.
fn come(client: &mut Client, count: usize) -> Vec<Value> {
    let since = Instant::now();
    let mut data = Vec::new();
    while data.len() < count {
        match client.pop() {
            Some(Frame::Text(text)) => data.push(text["data"].clone()),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(since.elapsed() < Duration::from_secs(20), "only {data:?}");
    }
    data
}

#[test]
fn a_small_channel_goes_before_the_rest_of_a_huge_walk() {
    let mut rig = Rig::new();
    let mut crowd = crowd(&mut rig, 5 * SLICE, &huge(1));
    let mut one = rig.join();
    rig.subscribe(&mut one, "small");
    rig.publish("huge-0", &json!(1));
    rig.turn();
    assert_eq!(written(&rig), SLICE, "a turn is a slice");
    rig.publish("small", &json!(2));
    let worker = &mut rig.workers[0];
    worker.take_inbox();
    worker.walk(Lane::Small);
    worker.flush();
    assert_eq!(written(&rig), SLICE + 1, "nothing of the huge one between");
    assert_eq!(come(&mut one, 1), [json!(2)]);
    rig.settle();
    for client in &mut crowd {
        assert_eq!(come(client, 1), [json!(1)]);
    }
}

#[test]
fn replies_go_before_the_rest_of_a_huge_walk() {
    let mut rig = Rig::new();
    let _crowd = crowd(&mut rig, 9 * SLICE, &huge(1));
    let mut one = rig.join();
    for command in [
        json!({"id": 1, "event": "ping"}),
        json!({"id": 2, "event": "hi", "channel": "elsewhere", "data": 1}),
        json!({"id": 3, "event": "channel:subscribe", "channel": "elsewhere"}),
    ] {
        rig.publish("huge-0", &json!(1));
        rig.turn();
        one.send(&command);
        // The worker sees it in one turn or another; from then on it is one slice.
        let mut heard = 0;
        while heard == 0 {
            let before = written(&rig);
            let reply = rig.workers[0].clients.len() - 1;
            let silent = rig.workers[0].clients[reply].mailbox.is_empty();
            assert!(silent, "a reply was left behind in the turn before");
            rig.turn();
            assert!(written(&rig) - before <= SLICE);
            heard = one.pop().map_or(0, |frame| match frame {
                Frame::Text(reply) => usize::from(reply["id"] == command["id"]),
                other => panic!("{other:?} instead of a reply"),
            });
        }
        rig.settle();
    }
}

#[test]
fn many_huge_channels_make_a_small_one_wait_no_longer_than_one_does() {
    let mut rig = Rig::new();
    let channels = huge(8);
    let crowd = crowd(&mut rig, 2 * SLICE, &channels);
    let mut one = rig.join();
    rig.subscribe(&mut one, "small");
    for n in 0..20 {
        for channel in &channels {
            rig.publish(channel, &json!(n));
        }
        rig.publish("small", &json!(n));
        let before = written(&rig);
        rig.turn();
        assert_eq!(come(&mut one, 1), [json!(n)], "in the turn that it came in");
        assert!(written(&rig) > before + 1, "and the huge ones go on");
    }
    rig.settle();
    assert_eq!(written(&rig), 20 + crowd.len() * 8 * 20);
}

/// A session each for so many small channels.
fn small(rig: &mut Rig, count: usize) -> (Vec<Client>, Vec<String>) {
    let names: Vec<_> = (0..count).map(|n| format!("small-{n}")).collect();
    let mut sessions = Vec::new();
    for part in names.chunks(2 * SLICE) {
        let mut client = rig.join();
        for channel in part {
            client.send(&json!({"event": "channel:subscribe", "channel": channel}));
        }
        rig.settle();
        sessions.push(client);
    }
    (sessions, names)
}

#[test]
fn many_small_channels_wait_for_no_more_than_a_slice_of_a_huge_one() {
    let mut rig = Rig::new();
    let _crowd = crowd(&mut rig, 5 * SLICE, &huge(1));
    let (_sessions, small) = small(&mut rig, 10 * SLICE);
    rig.publish("huge-0", &json!("all"));
    for channel in &small {
        rig.publish(channel, &json!(1));
    }
    rig.turn();
    assert_eq!(
        written(&rig),
        small.len() + SLICE,
        "all of them, and a slice"
    );
}

#[test]
fn small_channels_do_not_starve_a_huge_one() {
    let mut rig = Rig::new();
    let mut crowd = crowd(&mut rig, 3 * SLICE, &huge(1));
    let (_sessions, small) = small(&mut rig, (SMALL_SLICES + 1) * SLICE);
    rig.publish("huge-0", &json!("all"));
    for _ in 0..3 {
        for channel in &small {
            rig.publish(channel, &json!(1));
        }
        rig.turn();
    }
    assert!(
        !rig.workers[0].walks.is_empty(Lane::Small),
        "small ones wait still"
    );
    for client in &mut crowd {
        assert_eq!(come(client, 1), [json!("all")]);
    }
}

#[test]
fn what_comes_during_a_walk_leaves_together_with_the_rest_of_it() {
    let mut rig = Rig::new();
    let mut crowd = crowd(&mut rig, 2 * SLICE + 10, &huge(1));
    rig.publish("huge-0", &json!(0));
    rig.turn();
    assert_eq!(written(&rig), SLICE);
    for n in 1..=10 {
        rig.publish("huge-0", &json!(n));
    }
    rig.turn();
    assert_eq!(
        written(&rig),
        SLICE + 11 * SLICE,
        "all eleven for who is ahead"
    );
    rig.turn();
    rig.turn();
    assert!(
        !rig.workers[0].walks.go_on(),
        "one turn, and a slice for who was passed"
    );
    assert_eq!(written(&rig), 11 * crowd.len());
    let all: Vec<Value> = (0..=10).map(|n| json!(n)).collect();
    for client in &mut crowd {
        assert_eq!(come(client, 11), all);
    }
}

#[test]
fn a_channel_that_was_huge_once_is_a_small_one() {
    let mut rig = Rig::new();
    let mut crowd = crowd(&mut rig, 4 * SLICE, &huge(2));
    let _stay = crowd.split_off(4 * SLICE - 3);
    for client in &mut crowd {
        client.send(&json!({"event": "channel:unsubscribe", "channel": "huge-0"}));
    }
    rig.until("they leave", |rig| {
        rig.node.hub().subscribers("huge-0") == 3
    });
    for n in 0..2 {
        rig.publish("huge-1", &json!(1));
        let before = written(&rig);
        rig.publish("huge-0", &json!(2));
        let worker = &mut rig.workers[0];
        worker.take_inbox();
        worker.walk(Lane::Small);
        worker.flush();
        assert_eq!(written(&rig) - before, 3, "all in one slice, pass {n}");
        rig.settle();
    }
}

#[test]
fn who_joins_and_leaves_during_a_walk_takes_nothing_from_the_others() {
    let mut rig = Rig::new();
    let mut stay = crowd(&mut rig, 6 * SLICE, &huge(1));
    let mut others: Vec<_> = (0..4 * SLICE).map(|_| rig.join()).collect();
    for n in 0..40_usize {
        rig.publish("huge-0", &json!(n));
        for (index, client) in others.iter_mut().enumerate() {
            let command = match (index + n) % 4 {
                0 => "channel:subscribe",
                2 => "channel:unsubscribe",
                _ => continue,
            };
            client.send(&json!({"event": command, "channel": "huge-0"}));
        }
        rig.turn();
        rig.turn();
    }
    rig.settle();
    let all: Vec<Value> = (0..40).map(|n| json!(n)).collect();
    for client in &mut stay {
        assert_eq!(come(client, 40), all);
    }
    for client in &mut others {
        let frames = rig.drain(client);
        let numbers: Vec<u64> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Text(text) => text["data"].as_u64(),
                _ => None,
            })
            .collect();
        let rising = numbers.windows(2).all(|two| two[0] < two[1]);
        assert!(rising, "nothing twice: {numbers:?}");
    }
}
