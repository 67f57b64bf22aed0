//! Clients that do not keep up.

use std::time::Duration;

use super::*;
use crate::edge::Config;
use crate::hub::{SessionAction, SessionFilter};

/// Mailboxes of `bytes`.
fn tight(bytes: usize) -> Rig {
    Rig::with(&Setup {
        config: Config {
            mailbox_bytes: bytes,
            ..Config::default()
        },
        ..Setup::default()
    })
}

/// Publishes `count` numbered publications of some 1,000 bytes, a turn each.
fn flood(rig: &mut Rig, channel: &str, count: u64) {
    let padding = "x".repeat(1_000);
    for n in 1..=count {
        rig.publish(channel, &json!([n, padding]));
        rig.settle();
    }
}

fn pushes(frames: &[Frame]) -> Vec<(&str, &str, &Value)> {
    let texts = frames.iter().filter_map(|frame| match frame {
        Frame::Text(text) => Some((
            text["event"].as_str().unwrap_or_default(),
            text["channel"].as_str().unwrap_or_default(),
            text,
        )),
        _ => None,
    });
    texts.collect()
}

#[test]
fn who_does_not_read_is_closed_and_nobody_else_notices() {
    let mut rig = tight(32 * 1024);
    let mut slow = rig.narrow();
    let mut quick = rig.join();
    rig.subscribe(&mut slow, "a");
    rig.subscribe(&mut quick, "a");
    for n in 0..200 {
        rig.publish("a", &json!([n, "x".repeat(1_000)]));
        let push = rig.text(&mut quick);
        assert_eq!(push["data"][0], n);
    }
    let last = rig
        .take(&mut slow, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4101)));
    drop((slow, quick));
    rig.assert_empty();
}

#[test]
fn the_oldest_are_dropped_and_a_gap_stands_in_their_place() {
    let mut rig = tight(32 * 1024);
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "log-drop-a");
    flood(&mut rig, "log-drop-a", 200);
    let frames = rig.drain(&mut client);
    let mut next = 1;
    let mut gaps = 0;
    for (event, _, text) in pushes(&frames) {
        if event == "pogo:gap" {
            assert_eq!(
                text["data"]["offset"],
                next - 1,
                "the position before the loss"
            );
            gaps += 1;
            next = 0;
        } else {
            let offset = text["offset"].as_u64().unwrap();
            assert!(next == 0 || offset == next, "a hole without a gap");
            next = offset + 1;
        }
    }
    assert_eq!((gaps, next), (1, 201));
    assert_eq!(rig.dropped() as usize, 200 - (pushes(&frames).len() - 1));
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_full_mailbox_of_droppable_publications_has_room_for_replies() {
    let mut rig = tight(32 * 1024);
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "log-drop-a");
    flood(&mut rig, "log-drop-a", 100);
    let command =
        json!({"event": "channel:history", "channel": "log-drop-a", "options": {"limit": 10}});
    let (_, reply) = rig.ask(&mut client, command);
    assert_eq!(reply["data"]["publications"].as_array().unwrap().len(), 10);
}

#[test]
fn what_waits_of_a_channel_that_was_left_is_no_other_channels() {
    let mut rig = tight(32 * 1024);
    let mut client = rig.narrow();
    rig.publish("log-drop-b", &json!(0));
    rig.subscribe(&mut client, "log-drop-a");
    flood(&mut rig, "log-drop-a", 30);
    for command in ["channel:unsubscribe", "channel:subscribe"] {
        let channel = if command == "channel:subscribe" {
            "log-drop-b"
        } else {
            "log-drop-a"
        };
        client.send(&json!({"id": command, "event": command, "channel": channel}));
        rig.settle();
    }
    // Commands take their time to arrive; what is published before says nothing.
    rig.until("the second channel", |rig| {
        rig.node.hub().subscribers("log-drop-b") == 1
    });
    flood(&mut rig, "log-drop-b", 60);
    let frames = rig.drain(&mut client);
    let mut known: i64 = -1;
    let mut lost = false;
    for (event, channel, text) in pushes(&frames) {
        if text["id"] == "channel:subscribe" {
            known = text["data"]["offset"].as_i64().unwrap();
        }
        if channel == "log-drop-b" && event == "pogo:gap" {
            assert_eq!(text["data"]["offset"], known, "{text}");
            lost = true;
        } else if channel == "log-drop-b" && text["id"].is_null() {
            let offset = text["offset"].as_i64().unwrap();
            assert!(lost || offset == known + 1, "a hole without a gap");
            (known, lost) = (offset, false);
        }
    }
    assert!(
        lost || known == 61,
        "{known}: a loss that nobody was told of"
    );
}

#[test]
fn a_long_wait_for_the_broker_is_not_the_clients_slowness() {
    let mut rig = tight(32 * 1024);
    let mut client = rig.join();
    rig.subscribe(&mut client, "log-drop-a");
    rig.broker.hold(false, true);
    client.send(&json!({"id": 1, "event": "channel:subscribe", "channel": "log-b"}));
    rig.settle();
    rig.broker.hold(false, false);
    flood(&mut rig, "log-drop-a", 100);
    rig.broker.open();
    rig.settle();
    assert_eq!(rig.text(&mut client)["status"], "ok");
    let frames = rig.drain(&mut client);
    let all = pushes(&frames);
    assert_eq!(all[0].0, "pogo:gap", "{:?}", all[0]);
    assert_eq!(all[0].2["data"]["offset"], 0);
    let last = all.last().unwrap().2["offset"].as_u64();
    assert_eq!(last, Some(100));
    let first = all[1].2["offset"].as_u64().unwrap();
    assert_eq!(all.len() as u64, 1 + 101 - first);
    assert_eq!(rig.dropped(), first - 1);
    drop(client);
    rig.assert_empty();
}

#[test]
fn who_overflows_while_leaving_has_left() {
    let mut rig = tight(16 * 1024);
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    let all = SessionFilter::default();
    let reason = "because ".repeat(4_096);
    rig.act(all, SessionAction::Unsubscribe(name("a"), reason.into()));
    let last = rig
        .take(&mut client, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4101)));
    drop(client);
    rig.assert_empty();
    // Whoever gets the place must not get the channel.
    let mut next = rig.join();
    rig.publish("a", &json!(1));
    assert!(rig.drain(&mut next).is_empty());
}

#[test]
fn what_expires_in_a_mailbox_is_dropped_and_counted_once() {
    let mut rig = tight(256 * 1024);
    let mut client = rig.narrow();
    rig.subscribe(&mut client, "log-a");
    let padding = "x".repeat(1_000);
    let ttl = Duration::from_millis(100);
    for n in 1..=100 {
        let ttl = (n > 20 && n % 2 == 0).then_some(ttl);
        rig.publish_for("log-a", &json!([n, padding]), ttl);
    }
    rig.settle();
    std::thread::sleep(ttl);
    let frames = rig.drain(&mut client);
    let got: Vec<u64> = pushes(&frames)
        .iter()
        .map(|(_, _, text)| text["offset"].as_u64().unwrap())
        .collect();
    let lost = 100 - got.len() as u64;
    assert!(lost > 10 && got.windows(2).all(|two| two[0] < two[1]));
    let missing = |n: &u64| !got.contains(n);
    assert!((1..=100).filter(missing).all(|n| n > 20 && n % 2 == 0));
    assert_eq!(rig.expired(), lost);
    drop(client);
    rig.assert_empty();
}

#[test]
fn the_expired_make_room_before_anyone_is_slow() {
    for channel in ["a", "drop-a"] {
        let mut rig = tight(64 * 1024);
        let mut client = rig.narrow();
        rig.subscribe(&mut client, channel);
        let padding = "x".repeat(1_000);
        let ttl = Duration::from_millis(20);
        let mut published = 0;
        for _ in 0..5 {
            for n in 0..20 {
                rig.publish_for(channel, &json!([n, padding]), Some(ttl));
                published += 1;
            }
            rig.settle();
            std::thread::sleep(ttl);
        }
        rig.publish(channel, &json!("last"));
        let frames = rig.drain(&mut client);
        let all = pushes(&frames);
        assert!(
            all.iter().all(|(event, ..)| *event == "e"),
            "no gap: {all:?}"
        );
        assert_eq!(all.last().unwrap().2["data"], "last");
        assert_eq!(rig.expired() + all.len() as u64, published + 1);
    }
}

#[test]
fn replies_fill_a_mailbox_too() {
    let mut rig = tight(16 * 1024);
    let mut client = rig.narrow();
    let mut commands = Vec::new();
    for id in 0..500 {
        let command = json!({"id": id, "event": "ping"}).to_string();
        commands.extend(client::frame(1, command.as_bytes()));
    }
    client.raw(&commands);
    let last = rig
        .take(&mut client, |frame| matches!(frame, Frame::Close(_)))
        .pop();
    assert_eq!(last, Some(Frame::Close(4101)));
    drop(client);
    rig.assert_empty();
}
