//! A publisher at full speed on a thread of its own, while sessions join and leave and the broker
//! answers when it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::slow_broker::SlowBroker;
use super::*;
use crate::broker::Draft;

fn draft(n: u64) -> Draft {
    Draft {
        channel: name("log-a"),
        event: "e".into(),
        data: n.to_string().into(),
        ttl: None,
        accepted: Instant::now(),
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: None,
        admission: None,
    }
}

/// Checks that what follows a reply follows its position.
#[derive(Default)]
struct Follower {
    at: Option<u64>,
    pushes: u64,
    joins: u64,
}

impl Follower {
    fn take(&mut self, text: &Value) {
        if text["id"] == "join" {
            self.at = Some(text["data"]["offset"].as_u64().unwrap());
            self.joins += 1;
        } else if text["id"] == "leave" {
            self.at = None;
        } else if let Some(offset) = text["offset"].as_u64() {
            assert_eq!(Some(offset), self.at.map(|at| at + 1), "{text}");
            self.at = Some(offset);
            self.pushes += 1;
        }
    }
}

/// Publications for each round of the test: more than that, and on a busy machine nobody keeps up.
const A_ROUND: u64 = 128;

/// Publishes until it is told to stop, so much for each of the `rounds` there were.
fn publish_on(
    broker: Arc<SlowBroker>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            if n < rounds.load(Ordering::Relaxed) * A_ROUND {
                n += 1;
                broker.publish_now(draft(n));
            } else {
                std::thread::yield_now();
            }
        }
    })
}

#[test]
fn joins_race_a_publisher_without_a_gap() {
    let mut rig = Rig::new();
    let mut clients: Vec<_> = (0..4).map(|_| (rig.join(), Follower::default())).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let publisher = publish_on(rig.broker.clone(), stop.clone(), rounds.clone());
    let since = Instant::now();
    let mut round = 0_usize;
    while since.elapsed() < Duration::from_secs(1) {
        round += 1;
        rounds.fetch_add(1, Ordering::Relaxed);
        rig.broker
            .hold(round.is_multiple_of(3), round.is_multiple_of(2));
        let count = clients.len();
        let (client, _) = &mut clients[round % count];
        for command in ["channel:unsubscribe", "channel:subscribe"] {
            // The first leaving finds nothing to leave, and says so.
            let id = if command == "channel:subscribe" {
                "join"
            } else {
                "leave"
            };
            client.send(&json!({"id": id, "event": command, "channel": "log-a"}));
        }
        for _ in 0..round % 7 {
            rig.turn();
            rig.broker.let_go();
        }
        for (client, follower) in &mut clients {
            while let Some(frame) = client.pop() {
                match frame {
                    Frame::Text(text) => follower.take(&text),
                    other => assert_eq!(other, Frame::Ping),
                }
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    publisher.join().unwrap();
    rig.broker.open();
    for (client, follower) in &mut clients {
        for frame in rig.drain(client) {
            if let Frame::Text(text) = frame {
                follower.take(&text);
            }
        }
        assert!(follower.joins > 1 && follower.pushes > 100);
    }
    let last = clients[0].1.at;
    assert!(
        clients.iter().all(|(_, follower)| follower.at == last),
        "not all got all"
    );
    drop(clients);
    rig.assert_empty();
}
