//! Each frame of the contract's section 3, letter by letter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::{
    Encoding, Event, Failure, Member, Name, Past, Reply, RequestId, Spelling, SubscribeResult,
    Subscribed, Welcome, Wire, encode, encode_publication, frame, member_data,
};
use crate::publication::{Position, Publication};
use crate::session_id::SessionId;

/// The frame's text, after checking its header.
pub(super) fn text(frame: &Bytes) -> &str {
    let long = frame[1] == 126;
    let body = &frame[if long { 4 } else { 2 }..];
    assert_eq!(
        frame[..frame.len() - body.len()],
        frame::header(frame::Opcode::Text, body.len())[..]
    );
    std::str::from_utf8(body).expect("utf-8")
}

pub(super) fn assert_event(event: &Event<'_>, expected: &str) {
    let frame = encode(Encoding::Json, event);
    assert_eq!(text(&frame), expected);
    serde_json::from_str::<serde_json::Value>(expected).expect("json");
}

fn assert_reply(reply: Reply<'_>, expected: &str) {
    let id = RequestId::Number("1".into());
    let event = Event::Reply { id: &id, reply };
    assert_event(
        &event,
        &format!(r#"{{"id":1,"status":"ok","data":{expected}}}"#),
    );
}

fn session() -> SessionId {
    "123.456".parse().expect("an id")
}

fn position() -> Position {
    Position {
        epoch: "e\"1".into(),
        offset: u64::MAX,
    }
}

pub(super) fn channel(text: &str) -> Name<'_> {
    Name {
        spelling: Spelling::Channel,
        text,
    }
}

fn uri(text: &str) -> Name<'_> {
    Name {
        spelling: Spelling::Uri,
        text,
    }
}

const PAST: [Past<'static>; 2] = [
    Past {
        event: "a",
        item: None,
        data: b"{\"x\": 1.0}",
        offset: 1,
        time: 1_700_000_000_000,
    },
    Past {
        event: "b",
        item: None,
        data: b"null",
        offset: 2,
        time: 0,
    },
];

#[test]
fn publications() {
    let mut publication = Publication {
        channel: ChannelName::parse("/posts/1?page=2").expect("a name"),
        event: Arc::from("update \"x\""),
        data: Bytes::from_static(b"{\"a\":\n1e2}"),
        sequence: 42,
        epoch: Some("e".into()),
        time: 0,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        revision: 0,
        change: None,
    };
    let wire = |spelling| Wire {
        encoding: Encoding::Json,
        spelling,
        deflate: false,
    };
    let by_uri = encode_publication(wire(Spelling::Uri), &publication);
    let rest = "\"data\":{\"a\":\n1e2}";
    let expected =
        format!(r#"{{"event":"update \"x\"","uri":"/posts/1?page=2",{rest},"offset":42}}"#);
    assert_eq!(text(&by_uri), expected);
    publication.epoch = None;
    let by_channel = encode_publication(wire(Spelling::Channel), &publication);
    let expected = format!(r#"{{"event":"update \"x\"","channel":"/posts/1?page=2",{rest}}}"#);
    assert_eq!(text(&by_channel), expected, "no position without history");
}

#[test]
fn the_servers_own_events() {
    let channels = [
        ChannelName::parse("a").unwrap(),
        ChannelName::parse("b").unwrap(),
    ];
    let welcome = Welcome {
        session: session(),
        protocol: Encoding::Json,
        ping_interval: Duration::from_secs(25),
        version: "0.1.0",
        subject: Some("anna"),
        expires: Some(1_700_000_000),
        channels: &channels,
    };
    let bare = Welcome {
        subject: None,
        expires: None,
        channels: &[],
        ..welcome.clone()
    };
    assert_event(
        &Event::Welcome(welcome),
        r#"{"event":"pogo:welcome","data":{"session":"123.456","protocol":"pogo.v1.json","ping_interval":25000,"version":"0.1.0","subject":"anna","expires":1700000000,"channels":["a","b"]}}"#,
    );
    assert_event(
        &Event::Welcome(bare),
        r#"{"event":"pogo:welcome","data":{"session":"123.456","protocol":"pogo.v1.json","ping_interval":25000,"version":"0.1.0","channels":[]}}"#,
    );
    assert_event(
        &Event::Expiring { expires: 5 },
        r#"{"event":"pogo:expiring","data":{"expires":5}}"#,
    );
    assert_event(
        &Event::Drain {
            reconnect_after: Duration::from_millis(1500),
        },
        r#"{"event":"pogo:drain","data":{"reconnect_after_ms":1500}}"#,
    );
    assert_event(
        &Event::Push {
            event: "hi",
            name: None,
            data: b"[]",
            offset: None,
            item: None,
            re: None,
        },
        r#"{"event":"hi","data":[]}"#,
    );
}

#[test]
fn what_the_server_says_of_a_channel() {
    let position = position();
    let place = r#"{"epoch":"e\"1","offset":18446744073709551615}"#;
    assert_event(
        &Event::Subscribed {
            name: channel("a"),
            position: Some(&position),
        },
        &format!(r#"{{"event":"pogo:subscribed","channel":"a","data":{place}}}"#),
    );
    assert_event(
        &Event::Subscribed {
            name: uri("/a"),
            position: None,
        },
        r#"{"event":"pogo:subscribed","uri":"/a","data":{}}"#,
    );
    assert_event(
        &Event::Unsubscribed {
            name: uri("/a"),
            reason: "gone",
        },
        r#"{"event":"pogo:unsubscribed","uri":"/a","data":{"reason":"gone"}}"#,
    );
    assert_event(
        &Event::Gap {
            name: channel("a"),
            before: Some(&position),
        },
        &format!(r#"{{"event":"pogo:gap","channel":"a","data":{place}}}"#),
    );
    assert_event(
        &Event::Gap {
            name: channel("a"),
            before: None,
        },
        r#"{"event":"pogo:gap","channel":"a","data":{}}"#,
    );
}

#[test]
fn replies() {
    let channels = [ChannelName::parse("a").unwrap()];
    let auth = |subject| Reply::Authenticated {
        expires: 9,
        session: session(),
        subject,
        channels: &channels,
    };
    assert_reply(
        auth(Some("anna")),
        r#"{"expires":9,"session":"123.456","subject":"anna","channels":["a"]}"#,
    );
    assert_reply(
        auth(None),
        r#"{"expires":9,"session":"123.456","subject":null,"channels":["a"]}"#,
    );
    assert_reply(
        Reply::Time {
            time: 1_700_000_000_123,
        },
        r#"{"time":1700000000123}"#,
    );
    assert_reply(Reply::Published(None), "{}");
    let place = Position {
        epoch: "e".into(),
        offset: 7,
    };
    assert_reply(
        Reply::Published(Some(&place)),
        r#"{"epoch":"e","offset":7}"#,
    );
    assert_reply(
        Reply::History {
            position: Some(&place),
            publications: &PAST,
        },
        r#"{"epoch":"e","offset":7,"publications":[{"event":"a","data":{"x": 1.0},"offset":1,"time":1700000000000},{"event":"b","data":null,"offset":2,"time":0}]}"#,
    );
    assert_reply(
        Reply::History {
            position: None,
            publications: &[],
        },
        r#"{"publications":[]}"#,
    );
}

#[test]
fn replies_to_subscribe() {
    let place = Position {
        epoch: "e".into(),
        offset: 7,
    };
    let subscribed = |name| Subscribed {
        name,
        position: None,
        recovered: None,
        publications: None,
    };
    assert_reply(
        Reply::Subscribed(subscribed(channel("a"))),
        r#"{"channel":"a"}"#,
    );
    let whole = Subscribed {
        name: uri("/a"),
        position: Some(&place),
        recovered: Some(true),
        publications: Some(&PAST[1..]),
    };
    let past = r#""publications":[{"event":"b","data":null,"offset":2,"time":0}]"#;
    let expected = format!(r#"{{"epoch":"e","offset":7,"recovered":true,{past}}}"#);
    assert_reply(Reply::Subscribed(whole), &expected);
    let lost = Subscribed {
        recovered: Some(false),
        ..subscribed(channel("a"))
    };
    let failure = Failure::new(ErrorCode::Forbidden, "no");
    assert_reply(
        Reply::Results(&[
            SubscribeResult::Ok(lost),
            SubscribeResult::Failed {
                channel: "b\"",
                failure,
            },
        ]),
        r#"{"results":[{"channel":"a","recovered":false},{"channel":"b\"","error":{"code":"forbidden","message":"no"}}]}"#,
    );
}

#[test]
fn presence() {
    let info = RawValue::from_string(r#"{"name":"Anna"}"#.into()).unwrap();
    let anna = Member {
        subject: "anna",
        session: session(),
        info: Some(&info),
    };
    let nobody = Member {
        subject: "1.2",
        session: "1.2".parse().unwrap(),
        info: None,
    };
    assert_reply(
        Reply::Presence {
            members: &[anna, nobody],
            total: 2,
        },
        r#"{"members":[{"subject":"anna","session":"123.456","info":{"name":"Anna"}},{"subject":"1.2","session":"1.2","info":null}],"total":2}"#,
    );
    assert_eq!(
        member_data(anna)[..],
        *br#"{"subject":"anna","session":"123.456","info":{"name":"Anna"}}"#
    );
}

proptest! {
    #[test]
    fn strings_survive(event in any::<String>(), name in any::<String>(), offset: Option<u64>) {
        let push = Event::Push { event: &event, name: Some(channel(&name)), data: b"0", offset,
            item: None, re: None };
        let frame = encode(Encoding::Json, &push);
        let read: serde_json::Value = serde_json::from_str(text(&frame)).expect("json");
        prop_assert_eq!(read["event"].as_str(), Some(&*event));
        prop_assert_eq!(read["channel"].as_str(), Some(&*name));
        prop_assert_eq!(read["offset"].as_u64(), offset);
    }

    #[test]
    fn an_echoed_id_is_what_was_sent(text_id in any::<String>(), number: f64) {
        for id in [serde_json::json!(text_id), serde_json::json!(number)] {
            let sent = serde_json::json!({ "id": id, "event": "x" }).to_string();
            let command = super::command(&sent);
            let Some(id) = command.id else { continue };
            let id = id.into_owned();
            let frame = encode(Encoding::Json, &Event::Reply { id: &id, reply: Reply::Done });
            let sent: serde_json::Value = serde_json::from_str(&sent).expect("json");
            let read: serde_json::Value = serde_json::from_str(text(&frame)).expect("json");
            prop_assert_eq!(&read["id"], &sent["id"]);
        }
    }
}
