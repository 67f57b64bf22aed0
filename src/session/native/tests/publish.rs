//! Publications, presence and history.

use super::*;
use crate::broker::{Accepted, Member, Members};

const ALL: &str = r#"{"**": ["*"]}"#;

#[test]
fn a_publication_goes_out_as_it_came_and_is_answered_with_its_position() {
    let mut rig = Rig::ann(ALL);
    for (command, expected) in [
        (
            json!({"id": 1, "event": "shout", "channel": "news", "data": {"b": 1, "a": [2]}}),
            ("news", r#"{"a":[2],"b":1}"#, true),
        ),
        (
            json!({"id": 1, "event": "client-x", "channel": "news"}),
            ("news", "null", true),
        ),
        (
            json!({"id": 1, "event": "subscribe", "uri": "/posts/1?x=2", "data": "s"}),
            ("/posts/1?x=2", r#""s""#, true),
        ),
        (
            json!({"id": 1, "event": "e", "channel": "news", "data": null, "options": {"echo": false}}),
            ("news", "null", false),
        ),
    ] {
        let event = command["event"].as_str().unwrap().to_owned();
        let Operation::Publish {
            channel,
            event: published,
            data,
            echo,
            ..
        } = operation(rig.say(command))
        else {
            panic!("a publication")
        };
        assert_eq!(*published, *event);
        let data = serde_json::from_slice::<Value>(&data).unwrap().to_string();
        assert_eq!((channel.as_str(), data.as_str(), echo), expected);
        assert!(rig.session.is_busy());
        let accepted = Accepted {
            position: Some(at("e1", 4)),
            receivers: 1,
            deduplicated: false,
        };
        let reply = frame(rig.resume(Outcome::Published(Ok(accepted))));
        assert_eq!(
            reply,
            json!({"id": 1, "status": "ok", "data": {"epoch": "e1", "offset": 4}})
        );
    }
    rig.say(json!({"id": 2, "event": "e", "channel": "news"}));
    let accepted = Accepted {
        position: None,
        receivers: 0,
        deduplicated: false,
    };
    assert_eq!(
        frame(rig.resume(Outcome::Published(Ok(accepted)))),
        json!({"id": 2, "status": "ok", "data": {}})
    );
    rig.say(json!({"id": 3, "event": "e", "channel": "news"}));
    let reply = frame(rig.resume(Outcome::Published(Err(ErrorCode::Unavailable))));
    assert_eq!((&reply["id"], code(&reply)), (&json!(3), "unavailable"));
    assert_eq!(rig.commands("publish", "ok"), 5);
    assert_eq!(rig.commands("publish", "error"), 1);
}

#[test]
fn data_up_to_the_limit_passes() {
    let mut rig = Rig::ann(ALL);
    let fits = "x".repeat(crate::publication::MAX_DATA_BYTES - 2);
    let out = rig.say(json!({"id": 1, "event": "e", "channel": "news", "data": fits}));
    assert!(matches!(operation(out), Operation::Publish { .. }));
}

#[test]
fn presence_lists_a_row_a_session_and_counts_members() {
    let mut rig = Rig::ann(ALL);
    let out = rig.say(json!({"id": 1, "event": "channel:presence", "channel": "members-1"}));
    assert!(
        matches!(operation(out), Operation::Presence(channel) if channel.as_str() == "members-1")
    );
    let (one, two) = (SessionId::random().unwrap(), SessionId::random().unwrap());
    let info = RawValue::from_string(r#"{"n":1}"#.into()).unwrap();
    let rows = vec![
        Member {
            subject: "ann".into(),
            session: one,
            info: Some(Arc::from(info)),
        },
        Member {
            subject: "ann".into(),
            session: two,
            info: None,
        },
    ];
    let reply = frame(rig.resume(Outcome::Members(Ok(Members {
        rows,
        total: 1,
        revision: 0,
    }))));
    let members = json!([
        {"subject": "ann", "session": one.to_string(), "info": {"n": 1}},
        {"subject": "ann", "session": two.to_string(), "info": null},
    ]);
    assert_eq!(reply["data"], json!({"members": members, "total": 1}));
}

#[test]
fn presence_stays_within_half_a_mailbox() {
    let settings = Settings {
        mailbox_bytes: 4096,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, Some(grant("ann", 60)));
    rig.say(json!({"id": 1, "event": "channel:presence", "channel": "members-1"}));
    let row = || Member {
        subject: "ann".into(),
        session: SessionId::random().unwrap(),
        info: None,
    };
    let rows: Vec<_> = std::iter::repeat_with(row).take(100).collect();
    let reply = frame(rig.resume(Outcome::Members(Ok(Members {
        rows,
        total: 100,
        revision: 0,
    }))));
    assert!(reply.to_string().len() < 4096);
    assert!(!reply["data"]["members"].as_array().unwrap().is_empty());
    assert_eq!(reply["data"]["total"], 100);
}

#[test]
fn history_is_asked_by_the_options_and_shown_in_that_order() {
    let mut rig = Rig::ann(ALL);
    for (options, expected) in [
        (json!({}), (None, 100, false)),
        (json!({"limit": 5000, "reverse": true}), (None, 1000, true)),
        (
            json!({"limit": 0, "from": {"epoch": "e1", "offset": 2}}),
            (Some(at("e1", 2)), 0, false),
        ),
    ] {
        let command =
            json!({"id": 1, "event": "channel:history", "channel": "log-1", "options": options});
        let Operation::History(channel, query) = operation(rig.say(command)) else {
            panic!("history")
        };
        assert_eq!(channel.as_str(), "log-1");
        assert_eq!((query.from, query.limit, query.reverse), expected);
        let reply = frame(rig.resume(Outcome::History(Ok(page(9, &[9, 8])))));
        let publications = json!([
            {"event": "e", "data": 9, "offset": 9, "time": 5},
            {"event": "e", "data": 8, "offset": 8, "time": 5},
        ]);
        assert_eq!(
            reply["data"],
            json!({"epoch": "e1", "offset": 9, "publications": publications})
        );
    }
}

#[test]
fn history_leaves_out_what_has_expired_and_counts_it() {
    let mut rig = Rig::ann(ALL);
    rig.say(json!({"id": 1, "event": "channel:history", "channel": "log-1"}));
    let mut page = page(2, &[1, 2]);
    page.publications[0].expires = Some(rig.now.instant);
    let reply = frame(rig.resume(Outcome::History(Ok(page))));
    assert_eq!(reply["data"]["publications"].as_array().unwrap().len(), 1);
    assert_eq!(rig.shared.metrics.expired_publications.get(), 1);
}
