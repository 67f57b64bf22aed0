//! What Pusher's clients are sent, read again.

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::channel::ChannelName;
use crate::protocol::frame;
use crate::publication::{Form, Publication};

fn publication(channel: ChannelName, data: &'static str, form: Form) -> Publication {
    Publication {
        channel,
        event: "create".into(),
        data: data.into(),
        sequence: 7,
        epoch: Some("e".into()),
        time: 0,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
        form,
        user: None,
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn read(frame: &[u8]) -> Value {
    serde_json::from_slice(frame::payload(frame)).unwrap()
}

#[test]
fn what_others_publish_comes_as_a_string() {
    let publish = |data, form| read(&encode_publication(&publication(name("a"), data, form)));
    let text = "{ \"x\": \"\\\"\\n\" }";
    assert_eq!(
        publish(text, Form::Json),
        json!({"event": "create", "channel": "a", "data": text})
    );
    assert_eq!(publish("7", Form::Json)["data"], "7");
    assert_eq!(publish("\"hi\"", Form::Json)["data"], "\"hi\"");
    assert_eq!(publish("\"not json\"", Form::Text)["data"], "not json");
}

#[test]
fn what_clients_send_stays_as_it_is_and_names_its_user() {
    let event = publication(name("presence-a"), "{\"x\":1}", Form::Client);
    assert_eq!(read(&encode_publication(&event))["data"], json!({"x": 1}));
    assert_eq!(read(&encode_publication(&event)).get("user_id"), None);
    let event = Publication {
        user: Some("7".into()),
        ..event
    };
    assert_eq!(read(&encode_publication(&event))["user_id"], "7");
}

#[test]
fn members_and_signed_in_users_come_and_go() {
    let told = |channel: &ChannelName, info: Option<Value>, joins| {
        let data = json!({"subject": "7", "session": "1.2", "info": info});
        let push = Publication {
            event: if joins { "pogo:join" } else { "pogo:leave" }.into(),
            data: data.to_string().into(),
            ..publication(channel.clone(), "", Form::Json)
        };
        let frame = read(&encode_publication(&push));
        let data: Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
        (frame["event"].clone(), frame.get("channel").cloned(), data)
    };
    let room = name("presence-a");
    let at = Some(json!("presence-a"));
    assert_eq!(
        told(&room, Some(json!({"n": 1})), true),
        (
            json!("pusher_internal:member_added"),
            at.clone(),
            json!({"user_id": "7", "user_info": {"n": 1}})
        )
    );
    assert_eq!(told(&room, None, true).2["user_info"], json!({}));
    assert_eq!(
        told(&room, None, false),
        (
            json!("pusher_internal:member_removed"),
            at,
            json!({"user_id": "7"})
        )
    );
    for (joins, event) in [(true, "online"), (false, "offline")] {
        assert_eq!(
            told(&ChannelName::signed_in("7").unwrap(), None, joins),
            (
                json!("pusher_internal:watchlist_events"),
                None,
                json!({"events": [{"name": event, "user_ids": ["7"]}]})
            )
        );
    }
}
