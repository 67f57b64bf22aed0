//! Joins whose answers come late, and what happens meanwhile.

use std::time::Duration;

use super::*;
use crate::broker::HistoryQuery;
use crate::edge::Config;
use crate::edge::connection::Credential;
use crate::hub::{SessionAction, SessionFilter};

fn offsets(frames: &[Frame]) -> Vec<u64> {
    let texts = frames.iter().filter_map(|frame| match frame {
        Frame::Text(text) => text["offset"].as_u64(),
        _ => None,
    });
    texts.collect()
}

fn subscribe(id: u32, channel: &str) -> Value {
    json!({"id": id, "event": "channel:subscribe", "channel": channel})
}

#[test]
fn publications_that_overtake_a_late_answer_follow_the_reply() {
    for (requests, answers) in [(true, false), (false, true), (true, true)] {
        let mut rig = Rig::new();
        let mut client = rig.join();
        rig.publish("log-a", &json!(1));
        rig.broker.hold(requests, answers);
        client.send(&subscribe(1, "log-a"));
        rig.settle();
        // Held: nothing but the broker's own memory sees these, in whatever order it is asked.
        let mut published = 1;
        let publish = |rig: &mut Rig, published: &mut u64| {
            let held = rig.broker.hold_off();
            rig.publish("log-a", &json!(2));
            rig.broker.hold(held.0, held.1);
            *published += 1;
        };
        publish(&mut rig, &mut published);
        while rig.broker.let_go() {
            rig.settle();
            publish(&mut rig, &mut published);
            rig.settle();
        }
        rig.broker.open();
        rig.settle();
        publish(&mut rig, &mut published);
        let reply = rig.text(&mut client);
        assert_eq!(reply["id"], 1, "the reply comes first");
        let from = reply["data"]["offset"].as_u64().unwrap();
        let pushes = rig.drain(&mut client);
        assert_eq!(offsets(&pushes), (from + 1..=published).collect::<Vec<_>>());
        drop(client);
        rig.assert_empty();
    }
}

#[test]
fn subscribing_again_loses_nothing_that_is_under_way() {
    for channel in ["log-a", "plain"] {
        let mut rig = Rig::new();
        let mut client = rig.join();
        rig.subscribe(&mut client, channel);
        rig.publish(channel, &json!(1));
        rig.drain(&mut client);
        // Both wait for the same turn.
        client.send(&subscribe(1, channel));
        rig.publish(channel, &json!(2));
        rig.publish(channel, &json!(3));
        let frames = rig.drain(&mut client);
        let data: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Text(text) if text["event"] == "e" => text["data"].as_u64(),
                _ => None,
            })
            .collect();
        assert_eq!(data, [2, 3], "{frames:?}");
        let reply = |frame: &Frame| matches!(frame, Frame::Text(text) if text["id"] == 1);
        let at = frames.iter().position(reply).unwrap();
        if let Frame::Text(reply) = &frames[at]
            && let Some(from) = reply["data"]["offset"].as_u64()
        {
            assert!(offsets(&frames[..at]).iter().all(|offset| *offset <= from));
            assert!(offsets(&frames[at..]).iter().all(|offset| *offset > from));
        }
    }
}

#[test]
fn a_rewind_on_a_live_subscription_neither_loses_nor_doubles() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "log-a");
    rig.publish("log-a", &json!(1));
    rig.drain(&mut client);
    client.send(&json!({"id": 1, "event": "channel:subscribe", "channel": "log-a", "options": {"rewind": 2}}));
    for n in 2..=6 {
        rig.publish("log-a", &json!(n));
    }
    let frames = rig.drain(&mut client);
    let mut seen = vec![1];
    for frame in &frames {
        let Frame::Text(text) = frame else { continue };
        if text["id"] == 1 {
            for past in text["data"]["publications"].as_array().unwrap() {
                let offset = past["offset"].as_u64().unwrap();
                assert!(offset <= text["data"]["offset"].as_u64().unwrap());
                if !seen.contains(&offset) {
                    seen.push(offset);
                }
            }
        } else if let Some(offset) = text["offset"].as_u64() {
            assert!(!seen.contains(&offset), "doubled: {frames:?}");
            seen.push(offset);
        }
    }
    assert_eq!(seen, (1..=6).collect::<Vec<_>>(), "{frames:?}");
}

#[test]
fn a_client_that_goes_during_a_join_leaves_nothing_behind() {
    for (channel, goodbye) in [("members-a", true), ("members-a", false), ("log-a", false)] {
        let mut rig = Rig::new();
        let mut client = rig.join();
        rig.broker.hold(true, true);
        client.send(&subscribe(1, channel));
        rig.settle();
        assert!(rig.broker.waiting() > 0, "the join is under way");
        if goodbye {
            client.close(1000);
        }
        drop(client);
        let all = SessionFilter::default();
        rig.act(all, SessionAction::Close(crate::code::CloseCode::Revoked));
        while rig.broker.let_go() {
            rig.settle();
        }
        rig.assert_empty();
        rig.broker.open();
        let members = rig
            .runtime
            .block_on(rig.node.members(&name(channel), None, 10));
        assert_eq!(members.unwrap().total, 0);
    }
}

#[test]
fn a_renewal_that_ends_after_its_session_leaves_no_ghost() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "members-a");
    rig.broker.hold(true, false);
    client.send(&subscribe(1, "members-a"));
    rig.settle();
    assert!(rig.broker.waiting() > 0);
    rig.act(
        SessionFilter::default(),
        SessionAction::Close(crate::code::CloseCode::Revoked),
    );
    drop(client);
    while rig.broker.let_go() {
        rig.settle();
    }
    rig.assert_empty();
    rig.broker.open();
    let members = rig
        .runtime
        .block_on(rig.node.members(&name("members-a"), None, 10));
    assert_eq!(members.unwrap().total, 0, "a ghost is left");
}

fn impatient() -> Rig {
    Rig::with(&Setup {
        config: Config {
            operation_timeout: Duration::from_millis(30),
            ..Config::default()
        },
        ..Setup::default()
    })
}

#[test]
fn a_join_that_takes_too_long_is_refused_and_undone() {
    let mut rig = impatient();
    let mut client = rig.join();
    rig.broker.hold(true, false);
    client.send(&subscribe(1, "members-a"));
    rig.until("the time-out", |rig| {
        rig.workers[0]
            .clients
            .iter()
            .all(|(_, c)| c.operation.is_none())
            && rig.broker.waiting() == 1
    });
    let reply = rig.text(&mut client);
    assert_eq!(reply["error"]["code"], "timeout");
    rig.broker.open();
    rig.until("the undoing", |rig| rig.node.hub().is_empty());
    let members = rig
        .runtime
        .block_on(rig.node.members(&name("members-a"), None, 10));
    assert_eq!(members.unwrap().total, 0);
    rig.publish("members-a", &json!(1));
    assert!(rig.drain(&mut client).is_empty(), "it is not subscribed");
    drop(client);
    rig.assert_empty();
}

#[test]
fn undoing_a_late_join_does_not_undo_the_one_that_followed() {
    let mut rig = impatient();
    let mut other = rig.join();
    rig.subscribe(&mut other, "members-a");
    let mut client = rig.join();
    rig.broker.hold(true, false);
    client.send(&subscribe(1, "members-a"));
    rig.settle();
    rig.until("the time-out", |rig| {
        rig.workers[0]
            .clients
            .iter()
            .all(|(_, c)| c.operation.is_none())
    });
    assert_eq!(rig.text(&mut client)["error"]["code"], "timeout");
    // The late one is still on its way while another one joins.
    rig.broker.hold(false, false);
    rig.subscribe(&mut client, "members-a");
    rig.broker.open();
    rig.settle();
    rig.until("the late one", |rig| rig.broker.waiting() == 0);
    let members = rig
        .runtime
        .block_on(rig.node.members(&name("members-a"), None, 10));
    assert_eq!(members.unwrap().total, 2, "the session is on the channel");
    rig.publish("members-a", &json!(1));
    let push = rig.drain(&mut client).pop();
    assert!(matches!(push, Some(Frame::Text(text)) if text["data"] == 1));
    drop((client, other));
    rig.assert_empty();
}

#[test]
fn what_the_server_wants_meanwhile_is_done_afterwards() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.session(Credential::None);
    assert_eq!(rig.text(&mut client)["event"], "pogo:welcome");
    rig.subscribe(&mut client, "b");
    rig.broker.hold(true, false);
    client.send(&subscribe(1, "log-a"));
    client.send(&json!({"id": 2, "event": "ping"}));
    rig.settle();
    let filter = || SessionFilter {
        session: id,
        ..SessionFilter::default()
    };
    for action in [
        SessionAction::Unsubscribe(name("b"), "over".into()),
        SessionAction::Subscribe(name("c")),
        SessionAction::Send {
            event: "hello".into(),
            data: "1".into(),
        },
    ] {
        assert_eq!(rig.act(filter(), action), 1);
    }
    while rig.broker.let_go() {
        rig.settle();
    }
    rig.broker.open();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let text = rig.text(&mut client);
        let what = if text["id"].is_null() {
            &text["event"]
        } else {
            &text["id"]
        };
        seen.push(what.clone());
    }
    assert_eq!(
        json!(seen),
        json!([1, "pogo:unsubscribed", "pogo:subscribed", "hello", 2])
    );
    let page = HistoryQuery::default();
    let _ = rig
        .runtime
        .block_on(rig.node.history(&name("log-a"), page))
        .unwrap();
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_copy_never_overtakes_the_reply_to_its_publisher() {
    for held in [false, true] {
        let mut rig = Rig::new();
        let mut client = rig.join();
        rig.subscribe(&mut client, "log-a");
        rig.broker.hold(false, held);
        client.send(&json!({"id": 1, "event": "say", "channel": "log-a", "data": 1}));
        rig.settle();
        rig.broker.open();
        assert_eq!(rig.text(&mut client)["id"], 1);
        assert_eq!(rig.text(&mut client)["event"], "say");
    }
}

#[test]
fn a_token_with_a_thousand_channels_is_joined_at_once() {
    let channels: Vec<String> = (0..1_000).map(|n| format!("members-{n}")).collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut rig = Rig::new();
    let grant = rig::grant("ann", &channels);
    let (mut client, _) = rig.session(Credential::Granted(grant));
    let welcome = rig.text(&mut client);
    assert_eq!(welcome["data"]["channels"].as_array().unwrap().len(), 1_000);
    drop(client);
    rig.assert_empty();
}

#[test]
fn silence_while_nothing_is_read_is_not_the_clients_fault() {
    let mut rig = Rig::with(&Setup {
        settings: crate::session::Settings {
            auth_required: false,
            ping_interval: Duration::from_millis(40),
            ..crate::session::Settings::default()
        },
        ..Setup::default()
    });
    let mut client = rig.join();
    rig.broker.hold(true, false);
    client.send(&subscribe(1, "log-a"));
    rig.settle();
    let since = std::time::Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        rig.settle();
        while let Some(frame) = client.pop() {
            assert_eq!(frame, Frame::Ping);
            client.raw(&client::frame(10, b""));
        }
    }
    rig.broker.open();
    assert_eq!(rig.text(&mut client)["status"], "ok");
}
