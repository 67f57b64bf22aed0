//! Limits: the command rate and the number of channels.

use super::*;

fn over(rig: &mut Rig, command: &Value) -> Vec<Seen> {
    let text = command.to_string();
    let wait = Duration::from_millis(70);
    rig.run(|session, now, out| session.handle(Message::Text(&text), Err(wait), now, out))
}

#[test]
fn a_command_over_the_rate_is_refused_with_the_time_to_wait() {
    let mut rig = Rig::ann("{}");
    let reply = frame(over(&mut rig, &json!({"id": 1, "event": "ping"})));
    assert_eq!(code(&reply), "rate_limited");
    assert_eq!(reply["error"]["retry_after_ms"], 70);
    assert!(over(&mut rig, &json!({"event": "ping"})).is_empty());
    assert_eq!(rig.commands("ping", "error"), 2);
}

#[test]
fn going_on_and_on_closes_but_pauses_forgive() {
    let settings = Settings {
        max_refusals: 3,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, Some(grant("ann", 3600)));
    let ping = json!({"id": 1, "event": "ping"});
    for _ in 0..5 {
        for _ in 0..2 {
            assert_eq!(over(&mut rig, &ping).len(), 1);
        }
        rig.wait(Duration::from_secs(10));
        rig.session.heard(rig.now);
    }
    assert_eq!(over(&mut rig, &ping).len(), 1);
    assert_eq!(over(&mut rig, &ping).len(), 1);
    let out = over(&mut rig, &ping);
    assert!(
        matches!(
            out[..],
            [Seen::Frame(_), Seen::Close(CloseCode::RateLimited)]
        ),
        "{out:?}"
    );
}

#[test]
fn a_session_holds_only_so_many_channels() {
    let settings = Settings {
        max_channels: 3,
        ..Settings::default()
    };
    let token = Grant {
        channels: names(&["a", "b", "c", "d"]),
        ..grant("ann", 3600)
    };
    let (mut rig, out) = Rig::open(settings, Some(token));
    assert_eq!(joins(out).len(), 3, "the token's list too");
    let welcome = frame(rig.joined(vec![blank(), blank(), blank()]));
    assert_eq!(welcome["data"]["channels"], json!(["a", "b", "c"]));
    let reply = rig.ask(json!({"id": 1, "event": "channel:subscribe", "channel": "d"}));
    assert_eq!(code(&reply), "limit_exceeded");
    let reply = rig.ask(json!({"id": 1, "event": "bind", "uri": "/d"}));
    assert_eq!(code(&reply), "limit_exceeded");
    rig.run(|session, now, out| assert!(!session.server_subscribe(name("d"), now, out)));
    // Renewing takes no room, and leaving gives some.
    rig.subscribe("a");
    rig.say(json!({"id": 1, "event": "channel:unsubscribe", "channel": "a"}));
    rig.subscribe("d");
}

#[test]
fn a_list_is_bounded_as_a_whole_and_one_by_one() {
    let settings = Settings {
        max_channels: 3,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, Some(grant("ann", 3600)));
    rig.subscribe("a");
    let long = json!(["a", "b", "c", "d"]);
    for event in ["channel:subscribe", "channel:unsubscribe"] {
        let reply = rig.ask(json!({"id": 1, "event": event, "channels": long}));
        assert_eq!(code(&reply), "limit_exceeded", "{event}");
    }
    rig.subscribe("x");
    let (requests, out) = rig.join(
        json!({"id": 1, "event": "channel:subscribe", "channels": ["a", "b", "c"]}),
        vec![blank(), blank()],
    );
    assert_eq!(requests.len(), 2);
    let results = frame(out)["data"]["results"].clone();
    assert_eq!(results[2]["error"]["code"], "limit_exceeded");
    assert_eq!(results[1], json!({"channel": "b"}));
}
