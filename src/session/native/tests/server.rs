//! What the server does to a session, and what it asks about it.

use super::*;

#[test]
fn the_server_subscribes_and_unsubscribes_as_it_likes() {
    let mut rig = Rig::ann("{}");
    let out =
        rig.run(|session, now, out| assert!(session.server_subscribe(name("closed-1"), now, out)));
    assert_eq!(joins(out)[0].channel.as_str(), "closed-1");
    rig.run(|session, now, out| assert!(!session.server_subscribe(name("b"), now, out), "busy"));
    let told = frame(rig.joined(vec![page(3, &[])]));
    let data = json!({"epoch": "e1", "offset": 3});
    assert_eq!(
        told,
        json!({"event": "pogo:subscribed", "channel": "closed-1", "data": data})
    );
    rig.run(|session, now, out| {
        assert!(
            !session.server_subscribe(name("closed-1"), now, out),
            "there already"
        );
    });
    // On the channel, the client may renew it, whatever the rule says.
    let reply = rig.join(
        json!({"id": 1, "event": "channel:subscribe", "channel": "closed-1"}),
        vec![blank()],
    );
    assert_eq!(frame(reply.1)["status"], "ok");
    let out =
        rig.run(|session, _, out| assert!(session.server_unsubscribe("closed-1", "moved", out)));
    let [Seen::Frame(told), Seen::Leave(channel, at, false)] = &out[..] else {
        panic!("{out:?}")
    };
    let data = json!({"reason": "moved"});
    assert_eq!(
        *told,
        json!({"event": "pogo:unsubscribed", "channel": "closed-1", "data": data})
    );
    assert_eq!((channel.as_str(), *at), ("closed-1", slot(0)));
    rig.run(|session, _, out| assert!(!session.server_unsubscribe("closed-1", "moved", out)));
}

#[test]
fn a_uri_is_spelled_as_one_and_a_failed_join_says_nothing() {
    let mut rig = Rig::ann("{}");
    rig.run(|session, now, out| assert!(session.server_subscribe(name("/posts/1"), now, out)));
    let told = frame(rig.joined(vec![blank()]));
    assert_eq!(
        told,
        json!({"event": "pogo:subscribed", "uri": "/posts/1", "data": {}})
    );
    rig.run(|session, now, out| assert!(session.server_subscribe(name("b"), now, out)));
    assert!(
        rig.resume(Outcome::Joined(vec![Err(ErrorCode::Unavailable)]))
            .is_empty()
    );
    assert_eq!(rig.session.info().channels, names(&["/posts/1"]));
}

#[test]
fn a_renewal_that_the_server_undoes_is_told() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    let requests =
        joins(rig.say(json!({"id": 1, "event": "channel:subscribe", "channel": "news"})));
    assert_eq!(requests[0].slot, Some(slot(0)));
    rig.run(|session, _, out| assert!(session.server_unsubscribe("news", "gone", out)));
    let reply = frame(rig.joined(vec![blank()]));
    assert_eq!(code(&reply), "not_subscribed");
    assert!(rig.session.info().channels.is_empty());
}

#[test]
fn events_gaps_and_drain() {
    let mut rig = Rig::ann("{}");
    let sent = frame(rig.run(|session, _, out| session.server_send("hello", br#"{"a":1}"#, out)));
    assert_eq!(sent, json!({"event": "hello", "data": {"a": 1}}));
    let drain = frame(rig.run(|session, _, out| session.drain(Duration::from_millis(1500), out)));
    assert_eq!(
        drain,
        json!({"event": "pogo:drain", "data": {"reconnect_after_ms": 1500}})
    );
    assert!(
        rig.run(|session, _, out| session.gap("news", None, out))
            .is_empty(),
        "not there"
    );
    rig.subscribe("news");
    let gap = frame(rig.run(|session, _, out| session.gap("news", Some(at("e1", 3)), out)));
    let data = json!({"epoch": "e1", "offset": 3});
    assert_eq!(
        gap,
        json!({"event": "pogo:gap", "channel": "news", "data": data})
    );
    rig.join(
        json!({"id": 1, "event": "bind", "uri": "/a"}),
        vec![blank()],
    );
    let gap = frame(rig.run(|session, _, out| session.gap("/a", None, out)));
    assert_eq!(gap, json!({"event": "pogo:gap", "uri": "/a", "data": {}}));
}

#[test]
fn the_end_leaves_every_channel_and_silences_the_session() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    rig.subscribe("members-1");
    joins(rig.say(json!({"id": 9, "event": "channel:subscribe", "channels": ["late", "news"]})));
    let left = rig.run(|session, _, out| session.end(out));
    let left: Vec<_> = left
        .iter()
        .map(|seen| match seen {
            Seen::Leave(channel, _, present) => (channel.as_str(), *present),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(left, [("members-1", true), ("news", false)]);
    // The join that was under way is undone, the renewal has been left already.
    let left = rig.joined(vec![blank(), blank()]);
    assert!(
        matches!(&left[..], [Seen::Leave(channel, _, false)] if channel == "late"),
        "{left:?}"
    );
    assert!(!rig.session.is_busy());
    assert!(rig.say(json!({"id": 1, "event": "ping"})).is_empty());
    assert!(rig.wait(Duration::from_secs(9999)).is_empty());
    assert!(
        rig.run(|session, _, out| session.server_send("e", b"1", out))
            .is_empty()
    );
    assert!(
        rig.run(|session, _, out| session.drain(Duration::ZERO, out))
            .is_empty()
    );
    assert!(
        rig.run(|session, _, out| session.gap("news", None, out))
            .is_empty()
    );
    rig.run(|session, now, out| assert!(!session.server_subscribe(name("a"), now, out)));
    rig.run(|session, _, out| assert!(!session.server_unsubscribe("news", "r", out)));
}

#[test]
fn an_outcome_that_does_not_fit_still_answers() {
    let mut rig = Rig::ann("{}");
    joins(rig.say(json!({"id": 1, "event": "channel:subscribe", "channel": "news"})));
    assert_eq!(
        code(&frame(
            rig.resume(Outcome::Published(Err(ErrorCode::Timeout)))
        )),
        "internal"
    );
    joins(rig.say(json!({"id": 2, "event": "channel:subscribe", "channel": "news"})));
    assert_eq!(
        code(&frame(rig.resume(Outcome::Joined(Vec::new())))),
        "internal"
    );
    assert!(
        rig.resume(Outcome::Joined(Vec::new())).is_empty(),
        "nothing was under way"
    );
}

fn filter(set: impl FnOnce(&mut SessionFilter)) -> SessionFilter {
    let mut filter = SessionFilter::default();
    set(&mut filter);
    filter
}

#[test]
fn filters_match_what_they_name() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    let (anonymous, _) = Rig::open(Settings::default(), None);
    let id = rig.session.id();
    let text = |text: &str| Some(text.into());
    let range = |text: &str| vec![text.parse().unwrap()];
    for (filter, of_ann, of_nobody) in [
        (filter(|_| {}), true, true),
        (filter(|f| f.session = Some(id)), true, false),
        (filter(|f| f.subject = text("ann")), true, false),
        (filter(|f| f.subject = text("Ann")), false, false),
        (filter(|f| f.token_id = text("token-ann")), true, false),
        (filter(|f| f.token_id = text("token")), false, false),
        (
            filter(|f| f.tokens = [[2; 16], [1; 16]].into()),
            true,
            false,
        ),
        (filter(|f| f.tokens = [[2; 16]].into()), false, false),
        (filter(|f| f.issued_until = Some(START - 1)), true, false),
        (filter(|f| f.issued_until = Some(START - 2)), false, false),
        (filter(|f| f.channel = Some(name("news"))), true, false),
        (filter(|f| f.channel = Some(name("new"))), false, false),
        (filter(|f| f.addresses = range("127.0.0.0/8")), true, true),
        (filter(|f| f.addresses = range("10.0.0.0/8")), false, false),
    ] {
        assert_eq!(rig.session.matches(&filter), of_ann, "{filter:?}");
        assert_eq!(anonymous.session.matches(&filter), of_nobody, "{filter:?}");
    }
    let both = SessionFilter {
        session: Some(id),
        ..filter(|f| f.subject = text("bob"))
    };
    assert!(!rig.session.matches(&both), "all that is set must match");
    let timeless = Grant {
        issued_at: None,
        ..grant("ann", 60)
    };
    let (rig, _) = Rig::open(Settings::default(), Some(timeless));
    assert!(
        rig.session.matches(&filter(|f| f.issued_until = Some(0))),
        "does not say when"
    );
}

#[test]
fn a_session_is_listed_with_what_is_known_of_it() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    let info = rig.session.info();
    assert_eq!(
        (info.id, info.subject.as_deref()),
        (rig.session.id(), Some("ann"))
    );
    assert_eq!(
        (info.protocol, info.channels),
        ("pogo.v1.json", names(&["news"]))
    );
    assert_eq!(
        (info.connected_at, info.expires_at),
        (Duration::from_secs(START), Some(START + 3600))
    );
    assert_eq!(
        (info.token_id.as_deref(), &*info.tokens),
        (Some("token-ann"), &[[1; 16]][..])
    );
}
