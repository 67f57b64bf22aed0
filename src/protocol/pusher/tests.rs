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
        revision: 0,
        change: None,
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

fn said(event: &Event<'_>) -> Value {
    let mut frame = read(&encode(event));
    if let Some(inner) = frame["data"].as_str() {
        frame["data"] = json!([serde_json::from_str::<Value>(inner).unwrap()]);
    }
    frame
}

/// Checks events; where the data comes as a string, it is shown in a list.
fn check<const N: usize>(events: [(Event<'_>, Value); N]) {
    for (event, expected) in events {
        assert_eq!(said(&event), expected);
    }
}

#[test]
fn each_event_has_pushers_form() {
    let info = serde_json::value::RawValue::from_string(r#"{"n":"\"x\""}"#.into()).unwrap();
    let members = [("7", Some(&*info)), ("b\"", None)];
    check([
        (
            Event::Established {
                session: "1.2".parse().unwrap(),
                activity_timeout: std::time::Duration::from_secs(120),
            },
            json!({"event": "pusher:connection_established",
                "data": [{"socket_id": "1.2", "activity_timeout": 120}]}),
        ),
        (Event::Ping, json!({"event": "pusher:ping", "data": [{}]})),
        (Event::Pong, json!({"event": "pusher:pong", "data": [{}]})),
        (
            Event::Subscribed {
                channel: "a",
                members: None,
            },
            json!({"event": "pusher_internal:subscription_succeeded", "channel": "a",
                "data": [{}]}),
        ),
        (
            Event::Subscribed {
                channel: "presence-a",
                members: Some(&members),
            },
            json!({"event": "pusher_internal:subscription_succeeded", "channel": "presence-a",
                "data": [{"presence": {"ids": ["7", "b\""], "count": 2,
                    "hash": {"7": {"n": "\"x\""}, "b\"": {}}}}]}),
        ),
    ]);
}

#[test]
fn so_has_each_error_and_what_is_not_a_string() {
    check([
        (
            Event::NotSubscribed {
                channel: "a",
                kind: "AuthError",
                error: "no",
                status: 401,
            },
            json!({"event": "pusher:subscription_error", "channel": "a",
                "data": [{"type": "AuthError", "error": "no", "status": 401}]}),
        ),
        (
            Event::CacheMiss("cache-a"),
            json!({"event": "pusher:cache_miss", "channel": "cache-a", "data": [{}]}),
        ),
        (
            Event::SignedIn(r#"{"id":"7"}"#),
            json!({"event": "pusher:signin_success", "data": {"user_data": r#"{"id":"7"}"#}}),
        ),
        (
            Event::Watchlist {
                online: &["7", "8"],
                offline: &["9"],
            },
            json!({"event": "pusher_internal:watchlist_events", "data": [{"events": [
                {"name": "online", "user_ids": ["7", "8"]},
                {"name": "offline", "user_ids": ["9"]}]}]}),
        ),
        (
            Event::Error {
                code: None,
                message: "a \"b\"",
            },
            json!({"event": "pusher:error", "data": {"code": null, "message": "a \"b\""}}),
        ),
        (
            Event::Error {
                code: Some(4301),
                message: "x",
            },
            json!({"event": "pusher:error", "data": {"code": 4301, "message": "x"}}),
        ),
        (
            Event::Push {
                event: "e",
                channel: None,
                data: b"[1]",
                form: Form::Json,
            },
            json!({"event": "e", "data": [[1]]}),
        ),
    ]);
}

#[test]
fn data_is_read_as_an_object_and_as_a_string() {
    let inner = json!({"channel": "a", "auth": "k:s", "channel_data": "{\"user_id\": 1}"});
    for data in [inner.clone(), json!(inner.to_string())] {
        let text = json!({"event": "pusher:subscribe", "data": data}).to_string();
        let frame = Frame::decode(&text).unwrap();
        let subscribe = frame.subscribe().unwrap();
        assert_eq!(
            (&*subscribe.channel, subscribe.auth.as_deref()),
            ("a", Some("k:s"))
        );
        assert_eq!(subscribe.channel_data.as_deref(), Some("{\"user_id\": 1}"));
        assert_eq!(&*frame.unsubscribe().unwrap(), "a");
        assert!(frame.sign_in().is_err());
    }
    let bare = r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":null},"x":[]}"#;
    let subscribe = Frame::decode(bare).unwrap().subscribe().unwrap();
    assert_eq!((subscribe.auth, subscribe.channel_data), (None, None));
}

#[test]
fn what_is_no_frame_is_refused() {
    for text in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"event":1}"#,
        r#"{"event":"e","channel":1}"#,
    ] {
        assert!(Frame::decode(text).is_err(), "{text}");
    }
    for data in [
        "null",
        "1",
        "[]",
        r#""x""#,
        "{}",
        r#"{"channel":1}"#,
        r#"{"channel":"a","auth":1}"#,
    ] {
        let text = format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#);
        let frame = Frame::decode(&text).unwrap();
        assert!(frame.subscribe().is_err(), "{text}");
        assert!(frame.sign_in().is_err(), "{text}");
    }
}

#[test]
fn ids_may_be_numbers() {
    let id = |text| Identity::decode(text).map(|identity| identity.id.to_string());
    assert_eq!(id(r#"{"user_id":7,"user_info":null}"#).as_deref(), Ok("7"));
    assert_eq!(id(r#"{"user_id":"a\"b"}"#).as_deref(), Ok("a\"b"));
    for bad in [
        "",
        "{}",
        r#"{"user_id":""}"#,
        r#"{"user_id":null}"#,
        r#"{"user_id":[1]}"#,
    ] {
        assert!(id(bad).is_err(), "{bad}");
        assert!(
            User::decode(&bad.replace("user_id", "id")).is_err(),
            "{bad}"
        );
    }
    let user = User::decode(r#"{"id":1,"user_info":{"n":[1]},"watchlist":["a",2]}"#).unwrap();
    assert_eq!(user.identity.info.unwrap().get(), r#"{"n":[1]}"#);
    assert_eq!(user.watchlist, ["a".into(), "2".into()]);
    assert!(User::decode(r#"{"id":1,"watchlist":{}}"#).is_err());
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_said_breaks_the_decoder(text in ".{0,80}", inner in ".{0,40}") {
        if let Ok(frame) = Frame::decode(&text) {
            let _ = (frame.subscribe(), frame.sign_in());
        }
        let text = json!({"event": "pusher:signin", "data": inner}).to_string();
        let _ = Frame::decode(&text).unwrap().sign_in();
        let _ = (Identity::decode(&inner), User::decode(&inner));
    }

    #[test]
    fn every_text_survives_being_encoded_twice(text in ".{0,60}") {
        let frame = said(&Event::SignedIn(&text));
        proptest::prop_assert_eq!(&frame["data"]["user_data"], &json!(text));
        let quoted = json!(text).to_string();
        let push = Event::Push { event: &text, channel: Some(&text), data: quoted.as_bytes(),
            form: Form::Json };
        let frame = said(&push);
        proptest::prop_assert_eq!(&frame["data"][0], &json!(text));
        proptest::prop_assert_eq!(&frame["event"], &json!(text));
    }
}
