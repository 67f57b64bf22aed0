//! Error replies, letter by letter, and the ids that replies bear.

use std::time::Duration;

use super::events::assert_event;
use crate::code::ErrorCode;
use crate::protocol::{Event, Failure, Reply, RequestId};

#[test]
fn who_waits_as_long_as_he_is_told_is_let_in() {
    let id = RequestId::Number("1".into());
    for (nanoseconds, shown) in [(0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
        let failure = Failure {
            retry_after: Some(Duration::from_nanos(nanoseconds)),
            ..Failure::new(ErrorCode::RateLimited, "")
        };
        let reply = Reply::Error(failure);
        let error = format!(r#"{{"code":"rate_limited","message":"","retry_after_ms":{shown}}}"#);
        let expected = format!(r#"{{"id":1,"status":"error","error":{error}}}"#);
        assert_event(&Event::Reply { id: &id, reply }, &expected);
    }
}

#[test]
fn errors_and_ids() {
    let failure = Failure::new(ErrorCode::RateLimited, "slow \"down\"");
    let id = RequestId::Text("a\"\u{1}é".into());
    assert_event(
        &Event::Reply {
            id: &id,
            reply: Reply::Error(failure),
        },
        r#"{"id":"a\"\u0001é","status":"error","error":{"code":"rate_limited","message":"slow \"down\""}}"#,
    );
    let wait = Failure {
        retry_after: Some(Duration::from_millis(250)),
        ..failure
    };
    let id = RequestId::Number("1.50".into());
    assert_event(
        &Event::Reply {
            id: &id,
            reply: Reply::Error(wait),
        },
        r#"{"id":1.50,"status":"error","error":{"code":"rate_limited","message":"slow \"down\"","retry_after_ms":250}}"#,
    );
    assert_event(
        &Event::Reply {
            id: &id,
            reply: Reply::Done,
        },
        r#"{"id":1.50,"status":"ok"}"#,
    );
}
