//! Commands that are answered at once.

use super::*;

const ALL: &str = r#"{"**": ["*"]}"#;

/// The wrong key for a name of the table, two keys, or none.
const WRONG_KEYS: [(&str, &str); 27] = [
    (
        r#"{"event":"auth","channel":"a","data":{"token":"t"}}"#,
        "bad_request",
    ),
    (r#"{"event":"ping","channel":"a"}"#, "bad_request"),
    (r#"{"event":"ping","uri":"/a"}"#, "bad_request"),
    (r#"{"event":"bind","channel":"a"}"#, "bad_request"),
    (r#"{"event":"unbind","channel":"a"}"#, "bad_request"),
    (r#"{"event":"bind","channels":["a"]}"#, "bad_request"),
    (r#"{"event":"channel:subscribe","uri":"/a"}"#, "bad_request"),
    (
        r#"{"event":"channel:unsubscribe","uri":"/a"}"#,
        "bad_request",
    ),
    (r#"{"event":"channel:presence","uri":"/a"}"#, "bad_request"),
    (
        r#"{"event":"channel:history","channels":["a"]}"#,
        "bad_request",
    ),
    (r#"{"event":"index","channel":"/a"}"#, "bad_request"),
    (r#"{"event":"show","channel":"a"}"#, "bad_request"),
    (r#"{"event":"create","channel":"a"}"#, "bad_request"),
    (r#"{"event":"update","channel":"a"}"#, "bad_request"),
    (r#"{"event":"delete","channel":"a"}"#, "bad_request"),
    (r#"{"event":"shout","channels":["a"]}"#, "bad_request"),
    (
        r#"{"event":"shout","channel":"a","uri":"/a"}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channel":"a","channels":["b"]}"#,
        "bad_request",
    ),
    (r#"{"event":"channel:subscribe"}"#, "bad_request"),
    (r#"{"event":"channel:unsubscribe"}"#, "bad_request"),
    (r#"{"event":"channel:presence"}"#, "bad_request"),
    (r#"{"event":"channel:history"}"#, "bad_request"),
    (r#"{"event":"bind"}"#, "bad_request"),
    (r#"{"event":"unbind"}"#, "bad_request"),
    (r#"{"event":"show"}"#, "bad_request"),
    (r#"{"event":"shout"}"#, "bad_request"),
    (r#"{"event":"channel:shout"}"#, "bad_request"),
];

/// Fields that cannot be used: names, types, reserved events.
const WRONG_FIELDS: [(&str, &str); 24] = [
    (r#"{"event":"show","uri":"posts"}"#, "bad_request"),
    (r#"{"event":"bind","uri":"posts"}"#, "bad_request"),
    (r#"{"event":"bind","uri":"/a b"}"#, "bad_request"),
    (
        r#"{"event":"channel:subscribe","channel":""}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channel":"a*"}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channel":"pogo:a"}"#,
        "bad_request",
    ),
    (
        r##"{"event":"channel:subscribe","channel":"#a"}"##,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channel":7}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channels":"a"}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:subscribe","channels":[1]}"#,
        "bad_request",
    ),
    (r#"{"event":"bind","uri":"/a","options":[]}"#, "bad_request"),
    (
        r#"{"event":"bind","uri":"/a","options":{"rewind":-1}}"#,
        "bad_request",
    ),
    (
        r#"{"event":"bind","uri":"/a","options":{"recover":{"epoch":1}}}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:history","channel":"log-1","options":{"limit":"1"}}"#,
        "bad_request",
    ),
    (
        r#"{"event":"shout","channel":"open-1","options":{"echo":1}}"#,
        "bad_request",
    ),
    (r#"{"event":"auth","data":{}}"#, "bad_request"),
    (r#"{"event":"auth","data":{"token":7}}"#, "bad_request"),
    (r#"{"event":"auth"}"#, "bad_request"),
    (r#"{"event":"pogo:x","channel":"open-1"}"#, "bad_request"),
    (r#"{"event":"channel:x","channel":"open-1"}"#, "bad_request"),
    (r#"{"event":"pusher:x","channel":"open-1"}"#, "bad_request"),
    (
        r#"{"event":"pusher_internal:x","channel":"open-1"}"#,
        "bad_request",
    ),
    (r#"{"event":"","channel":"open-1"}"#, "bad_request"),
    (r#"{"event":"a\nb","channel":"open-1"}"#, "bad_request"),
];

/// What may not be done, or is not there.
const REFUSED: [(&str, &str); 15] = [
    (r#"{"event":"index","uri":"/posts"}"#, "no_route"),
    (r#"{"event":"show","uri":"/posts/1"}"#, "no_route"),
    (r#"{"event":"create","uri":"/posts","data":{}}"#, "no_route"),
    (r#"{"event":"update","uri":"/posts/1"}"#, "no_route"),
    (r#"{"event":"delete","uri":"/posts/1"}"#, "no_route"),
    (r#"{"event":"shout","channel":"news"}"#, "forbidden"),
    (r#"{"event":"shout","channel":"closed-1"}"#, "forbidden"),
    (
        r#"{"event":"channel:subscribe","channel":"private-1"}"#,
        "forbidden",
    ),
    (
        r#"{"event":"channel:subscribe","channel":"closed-1"}"#,
        "forbidden",
    ),
    (
        r#"{"event":"channel:presence","channel":"private-1"}"#,
        "forbidden",
    ),
    (
        r#"{"event":"channel:history","channel":"private-1"}"#,
        "forbidden",
    ),
    (
        r#"{"event":"channel:presence","channel":"news"}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:history","channel":"news"}"#,
        "bad_request",
    ),
    (
        r#"{"event":"channel:unsubscribe","channel":"news"}"#,
        "not_subscribed",
    ),
    (r#"{"event":"unbind","uri":"/news"}"#, "not_subscribed"),
];

#[test]
fn what_is_wrong_with_a_command_is_said_by_code() {
    let mut rig = Rig::ann(r#"{"open-**": ["*"], "closed-**": ["*"]}"#);
    let (long, large) = ("x".repeat(201), "x".repeat(70_000));
    let built = [
        (
            json!({"event": "channel:subscribe", "channel": long}),
            "bad_request",
        ),
        (json!({"event": long, "channel": "open-1"}), "bad_request"),
        (
            json!({"event": "shout", "channel": "open-1", "data": large}),
            "too_large",
        ),
    ];
    let written = [&WRONG_KEYS[..], &WRONG_FIELDS, &REFUSED].concat();
    let written = written
        .iter()
        .map(|(text, code)| (serde_json::from_str(text).unwrap(), *code));
    for (command, expected) in written.chain(built) {
        let mut with_id = command.clone();
        with_id["id"] = json!("q");
        let reply = rig.ask(with_id);
        assert_eq!(reply["id"], "q", "{command}");
        assert_eq!(code(&reply), expected, "{command} → {reply}");
        assert!(
            rig.say(command.clone()).is_empty(),
            "no reply without an id: {command}"
        );
        assert!(!rig.session.is_busy(), "{command}");
    }
}

#[test]
fn settings_are_named_where_a_channel_keeps_nothing() {
    let mut rig = Rig::ann(ALL);
    let reply = rig.ask(json!({"id": 1, "event": "channel:presence", "channel": "news"}));
    assert!(
        reply["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`presence = true`")
    );
    let reply = rig.ask(json!({"id": 1, "event": "channel:history", "channel": "news"}));
    assert!(
        reply["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`history`")
    );
}

#[test]
fn ids_are_echoed_as_sent_and_refusals_without_one_are_counted() {
    let mut rig = Rig::ann(ALL);
    for id in [
        json!(1),
        json!("a\"b"),
        json!(1.5),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
    ] {
        let reply = rig.ask(json!({"id": id, "event": "ping"}));
        assert_eq!(
            reply,
            json!({"id": id, "status": "ok", "data": {"time": START * 1000}})
        );
    }
    assert!(rig.say(json!({"event": "ping"})).is_empty());
    assert!(rig.say(json!({"event": "bind"})).is_empty());
    assert!(
        rig.say(json!({"event": "pogo:x", "channel": "a"}))
            .is_empty()
    );
    assert!(rig.say(json!({"event": "nonsense"})).is_empty());
    assert_eq!(rig.commands("ping", "ok"), 6);
    assert_eq!(rig.commands("bind", "error"), 1);
    assert_eq!(rig.commands("publish", "error"), 1);
    assert_eq!(rig.commands("other", "error"), 1);
}

#[test]
fn what_is_no_command_closes() {
    for (text, expected) in [
        ("", CloseCode::BadFrame),
        ("7", CloseCode::BadFrame),
        ("[]", CloseCode::BadFrame),
        ("{}", CloseCode::BadFrame),
        (r#"{"id":1}"#, CloseCode::BadFrame),
        (r#"{"id":1,"event":7}"#, CloseCode::BadFrame),
        (r#"{"event":"ping""#, CloseCode::BadFrame),
    ] {
        let mut rig = Rig::ann(ALL);
        let out =
            rig.run(|session, now, out| session.handle(Message::Text(text), Ok(()), now, out));
        assert!(
            matches!(out[..], [Seen::Close(code)] if code == expected),
            "{text}: {out:?}"
        );
        assert!(
            rig.say(json!({"id": 1, "event": "ping"})).is_empty(),
            "closed is closed"
        );
        assert!(rig.wait(Duration::from_secs(9999)).is_empty());
    }
    let mut rig = Rig::ann(ALL);
    let out = rig.run(|session, now, out| session.handle(Message::Binary(b"{}"), Ok(()), now, out));
    assert!(matches!(out[..], [Seen::Close(CloseCode::WrongKind)]));
}
