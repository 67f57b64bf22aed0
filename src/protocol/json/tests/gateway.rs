//! What the contract's section 7 adds to replies, errors and pushes.

use super::events::{assert_event, channel, text};
use super::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::{Event, Failure, Past, Reply, Resource, Spelling, Wire, encode_publication};
use crate::publication::{Change, Form, Position, Publication};

fn assert_reply(reply: Reply<'_>, rest: &str) {
    let id = RequestId::Number("1".into());
    let event = Event::Reply { id: &id, reply };
    assert_event(&event, &format!(r#"{{"id":1,"status":{rest}}}"#));
}

#[test]
fn a_resource_stands_beside_its_data() {
    let position = Position {
        epoch: "e".into(),
        offset: 7,
    };
    let past = [Past {
        event: "update",
        item: Some("/posts/1"),
        data: b"{\"id\":1}",
        offset: 7,
        time: 9,
    }];
    let whole = Resource {
        code: Some(200),
        data: Some(b"[{\"id\":1}]"),
        etag: Some("W/\"a\""),
        bound: Some("/posts?page=2"),
        position: Some(&position),
        recovered: Some(true),
        publications: Some(&past),
    };
    assert_reply(
        Reply::Resource(whole),
        r#""ok","data":[{"id":1}],"code":200,"etag":"W/\"a\"","bound":"/posts?page=2","epoch":"e","offset":7,"recovered":true,"publications":[{"event":"update","item":"/posts/1","data":{"id":1},"offset":7,"time":9}]"#,
    );
    let deleted = Resource {
        code: Some(204),
        ..Resource::default()
    };
    assert_reply(
        Reply::Resource(deleted),
        r#""ok","data":null,"code":204,"bound":false"#,
    );
    let lost = Resource {
        recovered: Some(false),
        ..Resource::default()
    };
    assert_reply(
        Reply::Resource(lost),
        r#""ok","data":null,"bound":false,"recovered":false"#,
    );
}

#[test]
fn a_failure_says_what_the_upstream_said() {
    let invalid = Failure {
        retry_after: Some(Duration::from_secs(1)),
        http: Some(422),
        details: Some(b"{\"title\": \"empty\"}"),
        ..Failure::new(ErrorCode::Invalid, "no")
    };
    assert_reply(
        Reply::Error(invalid),
        r#""error","error":{"code":"invalid","message":"no","retry_after_ms":1000,"http":422,"details":{"title": "empty"}}"#,
    );
    let unknown = Failure {
        outcome_unknown: true,
        ..Failure::new(ErrorCode::Timeout, "no")
    };
    assert_reply(
        Reply::Error(unknown),
        r#""error","error":{"code":"timeout","message":"no","outcome":"unknown"}"#,
    );
}

#[test]
fn a_push_says_which_item_and_what_it_answers() {
    let change = Change {
        item: ChannelName::parse("/posts/9").ok(),
        re: Some(Bytes::from_static(b"\"a\\n\"")),
        ..Change::default()
    };
    let publication = Publication {
        channel: ChannelName::parse("/posts").unwrap(),
        event: Arc::from("create"),
        data: Bytes::from_static(b"{\"id\":9}"),
        sequence: 4,
        epoch: Some("e".into()),
        time: 0,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
        form: Form::Json,
        user: None,
        revision: 0,
        change: Some(Arc::new(change)),
    };
    let wire = Wire {
        encoding: Encoding::Json,
        spelling: Spelling::Uri,
        deflate: false,
    };
    assert_eq!(
        text(&encode_publication(wire, &publication)),
        r#"{"event":"create","uri":"/posts","item":"/posts/9","data":{"id":9},"re":"a\n","offset":4}"#,
    );
    let pusher = Wire {
        encoding: Encoding::Pusher,
        ..wire
    };
    assert_eq!(
        text(&encode_publication(pusher, &publication)),
        r#"{"event":"create","channel":"/posts","data":"{\"id\":9}"}"#,
    );
    assert_event(
        &Event::Push {
            event: "update",
            name: Some(channel("/posts/1")),
            data: b"1",
            offset: None,
            item: None,
            re: Some(b"17"),
        },
        r#"{"event":"update","channel":"/posts/1","data":1,"re":17}"#,
    );
}
