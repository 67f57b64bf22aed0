//! A publisher at full speed while clients join, leave and recover: nothing lost, doubled or
//! reordered between a reply's offset and the pushes that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Control, TestServer, Token, publish_request};

const SETTINGS: &str = "[[channel]]\npattern = \"race\"\nhistory = { size = 20000, ttl = \"5m\" }";
const CLIENTS: usize = 8;
const ROUNDS: usize = 25;

/// Publishes 1, 2, 3 … as fast as the server takes it, several calls at a time, until told to end.
/// The data is the offset that the publisher expects, so that it proves the order on its own.
async fn publish(mut control: Control, done: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    for n in 1_u64.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let receipt = control.send(publish_request("race", "n", &json!(n))).await;
        assert_eq!(receipt.position.unwrap().offset, n);
        sent.store(n, Ordering::Relaxed);
    }
}

/// Checks that `publication` is the one after `last`.
fn follows(publication: &Value, last: &mut u64) {
    let offset = publication["offset"].as_u64().unwrap();
    assert_eq!(offset, *last + 1, "lost, doubled or reordered");
    assert_eq!(
        publication["data"], offset,
        "the data of another publication"
    );
    *last = offset;
}

/// Joins, reads a few, goes (politely or not) and comes back where it was.
async fn come_and_go(server: Arc<TestServer>, number: usize) {
    let token = Token::of(&format!("s{number}")).sign();
    let mut at: Option<(Value, u64)> = None;
    for round in 0..ROUNDS {
        let mut client = Client::with(&*server, &token).await;
        let options = match &at {
            Some((epoch, offset)) => json!({"recover": {"epoch": epoch, "offset": offset}}),
            None => json!({}),
        };
        let join = json!({"event": "channel:subscribe", "channel": "race", "options": options});
        let data = client.ok(join.clone()).await;
        let mut last = at
            .as_ref()
            .map_or_else(|| data["offset"].as_u64().unwrap(), |(_, last)| *last);
        if at.is_some() && data["recovered"] == true {
            for publication in data["publications"].as_array().unwrap() {
                follows(publication, &mut last);
            }
            assert_eq!(
                data["offset"], last,
                "the reply's offset is the last recovered"
            );
        } else if at.is_some() {
            last = data["offset"].as_u64().unwrap();
        }
        for _ in 0..(number * 7 + round * 3) % 40 {
            follows(&client.next().await, &mut last);
        }
        if round % 3 == 0 {
            // Subscribed already: recovering again must neither repeat nor lose.
            last = rejoin(&mut client, &data["epoch"], last).await;
        }
        at = Some((data["epoch"].clone(), last));
        if round % 2 == 0 {
            drop(client);
        } else {
            client
                .ok(json!({"event": "channel:unsubscribe", "channel": "race"}))
                .await;
        }
    }
}

/// Subscribes again on a live subscription; pushes may come before the reply.
async fn rejoin(client: &mut Client, epoch: &Value, mut last: u64) -> u64 {
    let recover = json!({"recover": {"epoch": epoch, "offset": last}});
    let join =
        json!({"id": "again", "event": "channel:subscribe", "channel": "race", "options": recover});
    client.send(&join).await;
    let from = last;
    let data = loop {
        let frame = client.next().await;
        if frame["id"] == "again" {
            break frame["data"].clone();
        }
        follows(&frame, &mut last);
    };
    assert_eq!(data["recovered"], true, "{data}");
    let mut recovered = from;
    for publication in data["publications"].as_array().unwrap() {
        follows(publication, &mut recovered);
    }
    assert!(
        recovered >= last,
        "what was pushed before is within what was recovered"
    );
    recovered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_recoveries_race_a_publisher_at_full_speed() {
    let server = Arc::new(TestServer::with(SETTINGS).await);
    let done = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let publisher = tokio::spawn(publish(server.control().await, done.clone(), sent.clone()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(come_and_go(server.clone(), n)))
        .collect();
    for client in clients {
        tokio::time::timeout(Duration::from_secs(120), client)
            .await
            .expect("stuck")
            .unwrap();
    }
    done.store(true, Ordering::Relaxed);
    publisher.await.unwrap();
    assert!(
        sent.load(Ordering::Relaxed) > 500,
        "there was a race: {sent:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_share_one_order() {
    let server = TestServer::with(SETTINGS).await;
    let mut first = Client::with(&server, &Token::of("a").sign()).await;
    let mut second = Client::with(&server, &Token::of("b").sign()).await;
    first.subscribe("race").await;
    second.subscribe("race").await;
    let mut publishers = vec![];
    for publisher in 0..4 {
        let mut control = server.control().await;
        publishers.push(tokio::spawn(async move {
            for n in 0..100 {
                control.publish("race", "n", &json!([publisher, n])).await;
            }
        }));
    }
    let mut next = [0_u64; 4];
    for offset in 1..=400_u64 {
        let (one, other) = (first.next().await, second.next().await);
        assert_eq!(one, other, "both see the same");
        assert_eq!(one["offset"], offset);
        let publisher = usize::try_from(one["data"][0].as_u64().unwrap()).unwrap();
        assert_eq!(
            one["data"][1], next[publisher],
            "each publisher's own order is kept"
        );
        next[publisher] += 1;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
}
