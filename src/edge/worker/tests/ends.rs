//! How connections end.

use std::time::{Duration, Instant};

use super::*;
use crate::clock::Now;
use crate::code::CloseCode;
use crate::edge::connection::Credential;
use crate::edge::worker::inbox::Input;
use crate::hub::{SessionAction, SessionFilter, WorkerMessage};
use crate::metrics::CodeLabel;

#[test]
fn a_close_is_answered_though_the_client_ends_its_half() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    client.close(1000);
    client.end();
    assert_eq!(rig.next(&mut client), Frame::Close(1000));
    assert_eq!(rig.next(&mut client), Frame::End);
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_client_that_only_ends_its_half_is_gone() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "members-a");
    client.end();
    rig.assert_empty();
}

#[test]
fn what_the_peer_says_after_a_close_cannot_hold_it() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    client.raw(&client::frame(1, b"no command"));
    assert_eq!(rig.next(&mut client), Frame::Close(4000));
    assert_eq!(rig.next(&mut client), Frame::End);
    let since = Instant::now();
    rig.until("it lingers for ever", |rig| {
        if !rig.workers[0].clients.is_empty() {
            assert!(since.elapsed() < Duration::from_secs(10));
            client.flood();
        }
        rig.workers[0].clients.is_empty()
    });
    rig.assert_empty();
}

#[test]
fn a_revoked_session_gets_nothing_more() {
    let mut rig = Rig::new();
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "a");
    for n in 0..50 {
        rig.publish("a", &json!([n, "x".repeat(1_000)]));
    }
    rig.settle();
    let waiting = rig.workers[0].mailbox_bytes;
    assert!(waiting > 20_000, "{waiting}");
    rig.act(
        SessionFilter::default(),
        SessionAction::Close(CloseCode::Revoked),
    );
    assert!(rig.workers[0].mailbox_bytes < 3_000);
    let frames = rig.take(&mut client, |frame| matches!(frame, Frame::Close(_)));
    assert!(frames.len() < 40);
    assert_eq!(frames.last(), Some(&Frame::Close(4002)));
    drop(client);
    rig.assert_empty();
}

#[test]
fn an_address_denied_during_the_handshake_is_closed() {
    let mut rig = Rig::new();
    let range = "127.0.0.0/8".parse().unwrap();
    rig.limits.denied().set(range, "", None);
    let (mut client, id) = rig.session(Credential::None);
    assert_eq!(id, None);
    assert_eq!(rig.next(&mut client), Frame::Close(4003));
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_refused_credential_is_closed_and_counted() {
    let mut rig = Rig::new();
    let refused = Credential::Refused(CloseCode::Unauthenticated);
    let (mut client, _) = rig.session(refused);
    assert_eq!(rig.next(&mut client), Frame::Close(4001));
    let label = CodeLabel { code: 4001 };
    assert_eq!(rig.metrics.disconnects.get_or_create(&label).get(), 1);
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_drain_is_spread_over_its_period() {
    let mut rig = Rig::new();
    let mut clients: Vec<_> = (0..20).map(|_| rig.join()).collect();
    let period = Duration::from_millis(400);
    let since = Instant::now();
    rig.inboxes[0].put(Input::Message(WorkerMessage::Drain { period }));
    rig.settle();
    let mut waits = Vec::new();
    for client in &mut clients {
        let drain = rig.text(client);
        assert_eq!(drain["event"], "pogo:drain");
        waits.push(drain["data"]["reconnect_after_ms"].as_u64().unwrap());
    }
    waits.sort_unstable();
    assert_eq!(waits, (0..20).map(|n| n * 20).collect::<Vec<_>>());
    rig.until("half of them", |rig| rig.workers[0].by_id.len() <= 10);
    assert!(since.elapsed() >= period * 9 / 20, "{:?}", since.elapsed());
    for client in &mut clients {
        let last = rig
            .take(client, |frame| matches!(frame, Frame::Close(_)))
            .pop();
        assert_eq!(last, Some(Frame::Close(4200)));
    }
    drop(clients);
    rig.assert_empty();
}

#[test]
fn a_stop_waits_for_no_operation() {
    let mut rig = Rig::with(&Setup {
        config: crate::edge::Config {
            // It must not be the operation's own end that is waited for.
            operation_timeout: Duration::from_secs(3_600),
            ..crate::edge::Config::default()
        },
        ..Setup::default()
    });
    let mut client = rig.join();
    rig.broker.hold(true, true);
    client.send(&json!({"id": 1, "event": "channel:subscribe", "channel": "log-a"}));
    rig.settle();
    rig.inboxes[0].put(Input::Stop);
    rig.settle();
    let last = rig
        .take(&mut client, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4200)));
    drop(client);
    rig.until("the worker stays", |rig| rig.workers[0].is_done());
}

#[test]
fn a_key_is_not_given_away_before_its_operation_has_ended() {
    let mut rig = Rig::new();
    let mut first = rig.join();
    rig.broker.hold(true, true);
    first.send(&json!({"id": 1, "event": "channel:subscribe", "channel": "log-a"}));
    rig.settle();
    rig.act(
        SessionFilter::default(),
        SessionAction::Close(CloseCode::Revoked),
    );
    drop(first);
    rig.settle();
    let mut second = rig.join();
    while rig.broker.let_go() {
        rig.settle();
    }
    rig.broker.open();
    rig.publish("log-a", &json!(1));
    assert!(
        rig.drain(&mut second).is_empty(),
        "that was the first one's channel"
    );
    drop(second);
    rig.assert_empty();
}

#[test]
fn no_deadline_makes_a_worker_spin() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    // Part of a frame: the reader's deadline runs as well.
    client.raw(&[0x81]);
    rig.settle();
    let worker = &mut rig.workers[0];
    let next = worker.timers.next().unwrap();
    assert!(next > Now::read().instant, "it would not sleep");
    assert!(worker.sleep_time().unwrap() > Duration::from_millis(10));
}

#[test]
fn a_worker_that_has_ended_lets_nothing_pile_up() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    let inbox = rig.inboxes[0].clone();
    rig.workers.clear();
    rig.publish("a", &json!(1));
    let mut left = Vec::new();
    inbox.take(&mut left);
    assert!(left.is_empty());
    let asked = rig.node.sessions(SessionFilter::default(), None, 10);
    assert!(
        rig.runtime.block_on(asked).is_empty(),
        "answered at once, by nobody"
    );
    assert!(matches!(rig.next(&mut client), Frame::End | Frame::Reset));
}
