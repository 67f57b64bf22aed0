//! The first frame, and what a session may do without a token.

use super::*;

fn open_to_all() -> Settings {
    Settings {
        auth_required: false,
        ..Settings::default()
    }
}

#[test]
fn without_a_token_the_welcome_comes_at_once() {
    let (rig, out) = Rig::open(Settings::default(), None);
    let expected = json!({"event": "pogo:welcome", "data": {
        "session": rig.session.id().to_string(),
        "protocol": "pogo.v1.json",
        "ping_interval": 25_000,
        "version": env!("CARGO_PKG_VERSION"),
        "channels": [],
    }});
    assert_eq!(frame(out), expected);
    assert!(!rig.session.is_busy());
}

#[test]
fn with_a_token_its_channels_come_first() {
    let channels = names(&["b", "a", "/posts/1", "b", "closed-1", "private-1", "down"]);
    let grant = Grant {
        channels,
        ..grant("ann", 3600)
    };
    let (mut rig, out) = Rig::open(Settings::default(), Some(grant));
    assert!(rig.session.is_busy());
    let requests = joins(out);
    let asked: Vec<_> = requests
        .iter()
        .map(|request| (request.channel.as_str(), request.spelling))
        .collect();
    let (channel, uri) = (Spelling::Channel, Spelling::Uri);
    // Once each, whatever the capabilities, but nothing that is open to nobody.
    let expected = [
        ("b", channel),
        ("a", channel),
        ("/posts/1", uri),
        ("private-1", channel),
        ("down", channel),
    ];
    assert_eq!(asked, expected);
    assert!(
        requests
            .iter()
            .all(|request| request.slot.is_none() && request.recover.is_none())
    );
    let join = |index| {
        Ok(Joined {
            slot: slot(index),
            page: blank(),
            members: None,
        })
    };
    let results = vec![
        join(0),
        join(1),
        join(2),
        join(3),
        Err(ErrorCode::Unavailable),
    ];
    let welcome = frame(rig.resume(Outcome::Joined(results)));
    assert_eq!(
        welcome["data"]["channels"],
        json!(["b", "a", "/posts/1", "private-1"])
    );
    assert_eq!(welcome["data"]["subject"], "ann");
    assert_eq!(welcome["data"]["expires"], START + 3600);
    let listed: Vec<_> = rig
        .session
        .info()
        .channels
        .iter()
        .map(|c| c.as_str().to_owned())
        .collect();
    assert_eq!(listed, ["/posts/1", "a", "b", "private-1"], "in order");
}

#[test]
fn a_revoked_token_is_refused_before_the_welcome() {
    let shared = shared(Settings::default());
    shared.revocations.insert(&tokens::revocation("token-ann"));
    let grant = Grant {
        channels: names(&["a"]),
        ..grant("ann", 3600)
    };
    let (mut rig, out) = Rig::open_on(shared, Some(grant));
    assert!(
        matches!(out[..], [Seen::Close(CloseCode::Revoked)]),
        "{out:?}"
    );
    assert!(!rig.session.is_busy());
    assert!(rig.run(|session, _, out| session.end(out)).is_empty());
}

#[test]
fn the_welcome_comes_first_even_if_the_server_has_something_to_say() {
    let grant = Grant {
        channels: names(&["log-1", "b"]),
        ..grant("ann", 20)
    };
    let (mut rig, out) = Rig::open(Settings::default(), Some(grant));
    assert_eq!(joins(out).len(), 2);
    assert!(
        rig.wait(Duration::from_secs(1))
            .iter()
            .all(|seen| matches!(seen, Seen::Ping))
    );
    let out = rig.run(|session, _, out| session.drain(Duration::from_secs(3), out));
    let [Seen::Frame(welcome), Seen::Frame(drain)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        (&welcome["event"], &welcome["data"]["channels"]),
        (&json!("pogo:welcome"), &json!([]))
    );
    assert_eq!(
        *drain,
        json!({"event": "pogo:drain", "data": {"reconnect_after_ms": 3000}})
    );
    let out = rig.joined(vec![page(4, &[]), blank()]);
    let [Seen::Frame(first), Seen::Frame(second)] = &out[..] else {
        panic!("{out:?}")
    };
    let data = json!({"epoch": "e1", "offset": 4});
    assert_eq!(
        *first,
        json!({"event": "pogo:subscribed", "channel": "log-1", "data": data})
    );
    assert_eq!(
        *second,
        json!({"event": "pogo:subscribed", "channel": "b", "data": {}})
    );
}

#[test]
fn where_a_token_is_required_only_auth_and_ping_work_without() {
    let (mut rig, _) = Rig::open(Settings::default(), None);
    for command in [
        json!({"id": 1, "event": "bind", "uri": "/a"}),
        json!({"id": 1, "event": "unbind", "uri": "/a"}),
        json!({"id": 1, "event": "channel:subscribe", "channel": "open-1"}),
        json!({"id": 1, "event": "channel:subscribe", "channels": ["open-1"]}),
        json!({"id": 1, "event": "channel:unsubscribe", "channel": "open-1"}),
        json!({"id": 1, "event": "channel:presence", "channel": "open-1"}),
        json!({"id": 1, "event": "channel:history", "channel": "open-1"}),
        json!({"id": 1, "event": "show", "uri": "/a"}),
        json!({"id": 1, "event": "shout", "channel": "open-1"}),
        json!({"id": 1, "event": "shout"}),
        json!({"id": 1, "event": "create", "channel": "open-1"}),
    ] {
        assert_eq!(
            code(&rig.ask(command.clone())),
            "unauthenticated",
            "{command}"
        );
    }
    assert_eq!(rig.ask(json!({"id": 1, "event": "ping"}))["status"], "ok");
    let out = rig.say(json!({"id": 1, "event": "auth", "data": {"token": "t"}}));
    assert!(matches!(operation(out), Operation::Authenticate(token) if &*token == "t"));
}

#[test]
fn where_none_is_required_the_rules_decide() {
    let (mut rig, _) = Rig::open(open_to_all(), None);
    rig.subscribe("open-1");
    let out = rig.say(json!({"id": 1, "event": "shout", "channel": "open-1"}));
    assert!(matches!(operation(out), Operation::Publish { .. }));
    rig.resume(Outcome::Published(Err(ErrorCode::Timeout)));
    // A token might help, except where nobody may.
    for (command, expected) in [
        (
            json!({"id": 1, "event": "channel:subscribe", "channel": "news"}),
            "unauthenticated",
        ),
        (
            json!({"id": 1, "event": "channel:subscribe", "channel": "private-1"}),
            "unauthenticated",
        ),
        (
            json!({"id": 1, "event": "channel:subscribe", "channel": "closed-1"}),
            "forbidden",
        ),
        (
            json!({"id": 1, "event": "shout", "channel": "news"}),
            "unauthenticated",
        ),
        (
            json!({"id": 1, "event": "shout", "channel": "closed-1"}),
            "forbidden",
        ),
        (
            json!({"id": 1, "event": "channel:presence", "channel": "members-1"}),
            "unauthenticated",
        ),
    ] {
        assert_eq!(code(&rig.ask(command.clone())), expected, "{command}");
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
    assert!(size_of::<Effect>() <= 96, "{}", size_of::<Effect>());
}
