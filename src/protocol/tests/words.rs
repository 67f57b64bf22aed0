//! The letters of the compact encodings.

use super::reference::{REFERENCE, examples};
use super::*;
use crate::channel::COMMANDS;

#[test]
fn every_command_has_a_letter_of_its_own() {
    let names = LETTERS.map(|(name, _)| name);
    for command in COMMANDS {
        assert!(names.contains(&command), "{command}");
    }
    for letters in [
        LETTERS.map(|(_, letter)| letter).to_vec(),
        Key::ALL.iter().map(|key| key.text(true)).collect(),
    ] {
        let distinct: std::collections::BTreeSet<_> = letters.iter().collect();
        assert_eq!(distinct.len(), letters.len());
        assert!(letters.iter().all(|letter| letter.len() == 1));
    }
}

fn text(event: &Event<'_>) -> String {
    let frame = encode(Encoding::CompactJson, event);
    String::from_utf8(frame::payload(&frame).to_vec()).unwrap()
}

#[test]
fn only_the_envelope_is_shortened() {
    let push = |event| Event::Push {
        event,
        name: Some(Name {
            spelling: Spelling::Uri,
            text: "/posts/1",
        }),
        data: br#"{"event":"update","id":1}"#,
        offset: Some(812),
        item: Some("/posts/1"),
        re: Some(b"17"),
    };
    let rest = r#""u":"/posts/1","item":"/posts/1","d":{"event":"update","id":1},"re":17,"f":812}"#;
    for (event, short) in [
        ("update", "u"),
        ("u", ":u"),
        (":u", "::u"),
        ("a\"", ":a\\\""),
    ] {
        assert_eq!(text(&push(event)), format!(r#"{{"e":"{short}",{rest}"#));
    }
}

#[test]
fn in_replies_that_is_the_message_and_its_error() {
    let id = RequestId::Number("17".into());
    let failure = Failure {
        http: Some(404),
        details: Some(br#"{"code":1}"#),
        ..Failure::new(ErrorCode::NotFound, "no")
    };
    let results = [SubscribeResult::Failed {
        channel: "a",
        failure,
    }];
    let past = [Past {
        event: "update",
        item: None,
        data: b"1",
        offset: 7,
        time: 9,
    }];
    let position = Position {
        epoch: "e".into(),
        offset: 7,
    };
    let resource = Resource {
        code: Some(200),
        data: Some(br#"{"code":1}"#),
        bound: Some("/posts/1"),
        position: Some(&position),
        publications: Some(&past),
        ..Resource::default()
    };
    for (reply, expected) in [
        (
            Reply::Error(failure),
            r#""s":1,"x":{"n":"not_found","m":"no","http":404,"details":{"code":1}}"#,
        ),
        (
            Reply::Results(&results),
            r#""s":0,"d":{"results":[{"channel":"a","error":{"code":"not_found","message":"no","http":404,"details":{"code":1}}}]}"#,
        ),
        (
            Reply::Resource(resource),
            r#""s":0,"d":{"code":1},"n":200,"bound":"/posts/1","p":"e","f":7,"publications":[{"event":"update","data":1,"offset":7,"time":9}]"#,
        ),
        (
            Reply::Published(Some(&position)),
            r#""s":0,"d":{"epoch":"e","offset":7}"#,
        ),
        (Reply::Done, r#""s":0"#),
    ] {
        let reply = Event::Reply { id: &id, reply };
        assert_eq!(text(&reply), format!(r#"{{"i":17,{expected}}}"#));
    }
    let drain = Event::Drain {
        reconnect_after: std::time::Duration::from_millis(5),
    };
    assert_eq!(
        text(&drain),
        r#"{"e":":pogo:drain","d":{"reconnect_after_ms":5}}"#
    );
}

#[test]
fn compact_commands_are_letters_or_marked() {
    let read = |text: &str| read(Encoding::CompactJson, text.as_bytes());
    for (short, event) in [
        ("s", "channel:subscribe"),
        (":s", "s"),
        (":", ""),
        ("::x", ":x"),
        (":auth", "auth"),
        ("\\u003ax", "x"),
    ] {
        let command = read(&format!(r#"{{"i":1,"e":"{short}","c":"a"}}"#)).unwrap();
        assert_eq!(
            (&command["event"], &command["fault"]),
            (&json!(event), &Value::Null)
        );
    }
    for event in ["say", "auth", "z", ""] {
        let command = read(&format!(r#"{{"i":1,"e":"{event}","c":"a"}}"#)).unwrap();
        assert_eq!(
            (&command["event"], &command["id"]),
            (&json!(event), &json!(1))
        );
        assert!(command["fault"].is_string(), "{event} is neither");
    }
    let full = r#"{"id":1,"event":"ping"}"#;
    assert_eq!(
        read(full),
        Err(CloseCode::BadFrame),
        "the words are unknown keys"
    );
    let command = read(r#"{"e":"i","i":2,"id":1,"event":"x","channel":"y","options":1}"#).unwrap();
    assert_eq!(
        (&command["id"], &command["channel"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(command["options"], Value::Null);
}

#[test]
fn the_reference_has_every_letter_and_good_examples() {
    let keys = Key::ALL.iter().map(|key| (key.text(false), key.text(true)));
    for (word, letter) in keys.chain(LETTERS) {
        let row = format!("| `{word}` | `{letter}` |");
        assert!(REFERENCE.contains(&row), "{row}");
    }
    let mut seen = 0;
    for text in examples("cjson", "→ ") {
        let command = read(Encoding::CompactJson, text.as_bytes()).expect(text);
        assert_eq!(command["fault"], Value::Null, "{text}");
        seen += 1;
    }
    for text in examples("cjson", "← ") {
        let frame = in_full(serde_json::from_str(text).expect(text));
        assert!(
            frame["event"].is_string() || frame["status"].is_string(),
            "{text}"
        );
        seen += 1;
    }
    assert_eq!(seen, 6);
}
