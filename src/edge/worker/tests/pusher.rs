//! Pusher's clients and native ones on one worker.

use std::sync::Arc;

use super::rig::connection;
use super::*;
use crate::auth::pusher::{App, Apps, Subject};
use crate::edge::connection::{Connection, Credential};
use crate::node::NewPublication;
use crate::protocol::Encoding;
use crate::publication::Form;
use crate::session_id::SessionId;

fn app() -> App {
    App::new("1", "key", "secret")
}

/// A Pusher client that knows its id.
fn open(rig: &mut Rig) -> (Client, SessionId) {
    rig.shared.apps.store(Arc::new(Apps::new([app()])));
    let (ours, theirs) = rig.pair(false);
    theirs.set_nonblocking(true).unwrap();
    let credential = Credential::App(Arc::new(app()), Some(7));
    let connection = Connection {
        encoding: Encoding::Pusher,
        ..connection(theirs, credential)
    };
    rig.adopt_as(0, connection);
    let mut client = Client::new(ours, None);
    let established = rig.text(&mut client);
    let id = inner(&established)["socket_id"].as_str().unwrap().parse();
    (client, id.unwrap())
}

fn inner(frame: &Value) -> Value {
    serde_json::from_str(frame["data"].as_str().unwrap()).unwrap()
}

fn subscribe(channel: &str, id: SessionId, user: Option<&str>) -> Value {
    let channel_data = user.map(|user| json!({"user_id": user}).to_string());
    let subject = Subject::Channel {
        channel,
        channel_data: channel_data.as_deref(),
    };
    let auth = app().sign(id, subject, None);
    let data = json!({"channel": channel, "auth": auth, "channel_data": channel_data});
    json!({"event": "pusher:subscribe", "data": data})
}

/// Everything that comes before the answer to a ping.
fn pushed(rig: &mut Rig, client: &mut Client) -> Vec<Value> {
    client.send(&json!({"event": "pusher:ping", "data": {}}));
    let mut frames = Vec::new();
    loop {
        let frame = rig.text(client);
        if frame["event"] == "pusher:pong" {
            return frames;
        }
        frames.push(frame);
    }
}

#[test]
fn each_gets_its_own_form_of_one_publication_encoded_once() {
    let mut rig = Rig::new();
    let mut native = rig.join();
    rig.subscribe(&mut native, "private-a");
    let mut clients: Vec<Client> = (0..3)
        .map(|_| {
            let (mut client, id) = open(&mut rig);
            client.send(&subscribe("private-a", id, None));
            let told = rig.text(&mut client);
            assert_eq!(told["event"], "pusher_internal:subscription_succeeded");
            client
        })
        .collect();
    let before = rig.metrics.encodings.get();
    rig.publish("private-a", &json!({"a": [1]}));
    let push = rig.text(&mut native);
    assert_eq!(push["data"], json!({"a": [1]}));
    for client in &mut clients {
        let push = rig.text(client);
        assert_eq!(push["channel"], "private-a");
        assert_eq!(push["data"], "{\"a\":[1]}");
    }
    assert_eq!(rig.metrics.encodings.get() - before, 2, "one for each form");

    for (form, shown) in [(Form::Text, json!("x")), (Form::Client, json!("x"))] {
        let publication = NewPublication {
            channel: name("private-a"),
            event: "e".into(),
            data: "\"x\"".into(),
            ttl: None,
            exclude: None,
            form,
            user: None,
            skip_history: false,
            change: None,
            idempotency: None,
        };
        rig.runtime.block_on(rig.node.publish(publication)).unwrap();
        assert_eq!(rig.text(&mut native)["data"], shown);
        for client in &mut clients {
            assert_eq!(rig.text(client)["data"], shown);
        }
    }
}

/// Members come while the list is on its way: each is in it, or is told of after it, never both.
#[test]
fn who_comes_while_members_are_listed_is_told_once() {
    for stage in 0..6 {
        let mut rig = Rig::new();
        let channel = "presence-a";
        let (mut one, id) = open(&mut rig);
        rig.broker.hold(true, true);
        one.send(&subscribe(channel, id, Some("one")));
        rig.settle();
        let mut waits = 0;
        let come = |rig: &mut Rig, number: u64| {
            let held = rig.broker.hold_off();
            let (mut other, id) = open(rig);
            other.send(&subscribe(channel, id, Some(&format!("u{number}"))));
            rig.settle();
            rig.broker.hold(held.0, held.1);
            other
        };
        let mut others = Vec::new();
        loop {
            if waits == stage {
                others.push(come(&mut rig, waits));
            }
            if !rig.broker.let_go() {
                break;
            }
            waits += 1;
            rig.settle();
        }
        rig.broker.open();
        rig.settle();
        others.push(come(&mut rig, 100));
        let frames = pushed(&mut rig, &mut one);
        let (list, pushes) = frames.split_first().unwrap();
        assert_eq!(list["event"], "pusher_internal:subscription_succeeded");
        let ids = inner(list)["presence"]["ids"].clone();
        let mut seen: Vec<Value> = ids.as_array().unwrap().clone();
        for push in pushes {
            assert_eq!(push["event"], "pusher_internal:member_added");
            seen.push(inner(push)["user_id"].clone());
        }
        seen.sort_by_key(ToString::to_string);
        let mut expected = vec![json!("one"), json!("u100")];
        if others.len() == 2 {
            expected.push(json!(format!("u{stage}")));
        }
        expected.sort_by_key(ToString::to_string);
        assert_eq!(seen, expected, "{stage}: {frames:?}");
        drop((one, others));
        rig.assert_empty();
    }
}
