//! Subscribing: one channel, a list, again, with recovery and rewind.

use super::*;

const CHANNEL: &str = "channel:subscribe";

#[test]
fn a_subscription_is_answered_with_the_channels_position() {
    let mut rig = Rig::ann("{}");
    let (requests, out) = rig.join(
        json!({"id": 1, "event": CHANNEL, "channel": "log-1"}),
        vec![page(3, &[])],
    );
    let request = &requests[0];
    assert_eq!(
        (request.channel.as_str(), request.spelling, request.slot),
        ("log-1", Spelling::Channel, None)
    );
    assert_eq!((request.recover.is_none(), request.rewind), (true, 0));
    let data = json!({"channel": "log-1", "epoch": "e1", "offset": 3});
    assert_eq!(frame(out), json!({"id": 1, "status": "ok", "data": data}));
    let (requests, out) = rig.join(
        json!({"id": 2, "event": "bind", "uri": "/a?b=c"}),
        vec![blank()],
    );
    assert_eq!(
        (requests[0].channel.as_str(), requests[0].spelling),
        ("/a?b=c", Spelling::Uri)
    );
    let reply = frame(out);
    assert_eq!(
        (reply["status"].as_str(), reply["data"].get("offset")),
        (Some("ok"), None)
    );
    let (_, out) = rig.join(json!({"event": CHANNEL, "channel": "quiet"}), vec![blank()]);
    assert!(out.is_empty(), "no id, no reply");
    assert_eq!(
        rig.session.info().channels,
        names(&["/a?b=c", "log-1", "quiet"])
    );
}

#[test]
fn a_failed_join_subscribes_to_nothing() {
    for failed in [
        ErrorCode::Unavailable,
        ErrorCode::Timeout,
        ErrorCode::LimitExceeded,
    ] {
        let mut rig = Rig::ann("{}");
        joins(rig.say(json!({"id": 1, "event": CHANNEL, "channel": "a"})));
        let reply = frame(rig.resume(Outcome::Joined(vec![Err(failed)])));
        assert_eq!(code(&reply), failed.name());
        assert!(rig.session.info().channels.is_empty());
    }
}

#[test]
fn channel_and_uri_are_one_namespace_and_the_latest_spelling_counts() {
    let mut rig = Rig::ann("{}");
    rig.join(
        json!({"id": 1, "event": "bind", "uri": "/a"}),
        vec![blank()],
    );
    let (requests, _) = rig.join(
        json!({"id": 2, "event": CHANNEL, "channel": "/a"}),
        vec![blank()],
    );
    assert_eq!(
        (requests[0].slot, requests[0].spelling),
        (Some(slot(0)), Spelling::Channel)
    );
    assert_eq!(rig.session.info().channels, names(&["/a"]));
    let gap = frame(rig.run(|session, _, out| session.gap("/a", None, out)));
    assert_eq!(gap["channel"], "/a");
    let out = rig.say(json!({"id": 3, "event": "unbind", "uri": "/a"}));
    let [Seen::Leave(channel, at, false), Seen::Frame(reply)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        (channel.as_str(), *at, &reply["status"]),
        ("/a", slot(0), &json!("ok"))
    );
    let reply = rig.ask(json!({"id": 4, "event": "channel:unsubscribe", "channel": "/a"}));
    assert_eq!(code(&reply), "not_subscribed");
}

#[test]
fn recovery_brings_what_was_missed_or_says_that_it_cannot() {
    let recover = |offset| json!({"recover": {"epoch": "e1", "offset": offset}});
    let incomplete = HistoryPage {
        complete: false,
        ..page(9, &[8, 9])
    };
    let moved = HistoryPage {
        position: Some(at("e2", 1)),
        ..page(9, &[])
    };
    // A rewind beside a recovery is not needed, and not given instead of it.
    let both = json!({"recover": {"epoch": "e0", "offset": 1}, "rewind": 2});
    for (options, page, expected) in [
        (recover(7), page(9, &[8, 9]), json!([9, true, [8, 9]])),
        (recover(9), page(9, &[]), json!([9, true, []])),
        (recover(2), incomplete, json!([9, false, null])),
        (recover(7), moved, json!([1, false, null])),
        (recover(99), page(9, &[]), json!([9, false, null])),
        (both, page(9, &[8, 9]), json!([9, false, null])),
        (
            json!({"rewind": 2}),
            page(9, &[8, 9]),
            json!([9, null, [8, 9]]),
        ),
        (json!({"rewind": 0}), page(9, &[]), json!([9, null, null])),
    ] {
        let mut rig = Rig::ann("{}");
        let command = json!({"id": 1, "event": CHANNEL, "channel": "log-1", "options": options});
        let (requests, out) = rig.join(command.clone(), vec![page]);
        assert!(requests[0].recover.is_none() || requests[0].rewind == 0);
        let data = frame(out)["data"].clone();
        let offsets = data["publications"].as_array().map_or(Value::Null, |all| {
            all.iter().map(|one| one["offset"].clone()).collect()
        });
        assert_eq!(
            json!([data["offset"], data["recovered"], offsets]),
            expected,
            "{command}"
        );
        let reply = frame(rig.join(command, vec![blank()]).1);
        if options.get("recover").is_some() {
            let bare = json!({"channel": "log-1", "recovered": false});
            assert_eq!(reply["data"], bare, "no history, no position");
        }
    }
}

#[test]
fn a_recovered_publication_is_shown_whole_and_the_excluded_stay_excluded() {
    let mut rig = Rig::ann("{}");
    let old = SessionId::random().unwrap();
    let mut missed = page(3, &[1, 2, 3]);
    missed.publications[0].exclude = Some(old);
    missed.publications[1].exclude = Some(rig.session.id());
    let recover = json!({"epoch": "e1", "offset": 0, "session": old.to_string()});
    let command =
        json!({"id": 1, "event": CHANNEL, "channel": "log-1", "options": {"recover": recover}});
    let (requests, out) = rig.join(command, vec![missed]);
    assert_eq!(requests[0].recover, Some(at("e1", 0)));
    let publications = json!([{"event": "e", "data": 3, "offset": 3, "time": 5}]);
    let data = json!({"channel": "log-1", "epoch": "e1", "offset": 3, "recovered": true, "publications": publications});
    assert_eq!(frame(out)["data"], data);
}

#[test]
fn a_recovery_over_half_a_mailbox_is_refused() {
    let settings = Settings {
        mailbox_bytes: 2000,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, Some(grant("ann", 60)));
    let mut large = page(2, &[1, 2]);
    large.publications[0].data = Bytes::from(format!("\"{}\"", "x".repeat(900)));
    let options = json!({"recover": {"epoch": "e1", "offset": 0}});
    let (_, out) = rig.join(
        json!({"id": 1, "event": CHANNEL, "channel": "log-1", "options": options}),
        vec![large],
    );
    assert_eq!(
        frame(out)["data"],
        json!({"channel": "log-1", "epoch": "e1", "offset": 2, "recovered": false})
    );
}

#[test]
fn a_list_is_joined_in_one_go_and_answered_in_its_order() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    let recover =
        json!({"log-1": {"epoch": "e1", "offset": 1}, "log-2": {"epoch": "e0", "offset": 1}});
    let list = json!([
        "log-1",
        "private-1",
        "log-2",
        "news",
        "a b",
        "log-1",
        "down"
    ]);
    let requests = joins(rig.say(
        json!({"id": 1, "event": CHANNEL, "channels": list, "options": {"recover": recover}}),
    ));
    let asked: Vec<_> = requests
        .iter()
        .map(|request| request.channel.as_str())
        .collect();
    assert_eq!(asked, ["log-1", "log-2", "news", "down"], "once each");
    assert_eq!(requests[2].slot, Some(slot(0)));
    let results = vec![
        arrived(1, page(2, &[2])),
        arrived(2, page(5, &[])),
        arrived(0, blank()),
        Err(ErrorCode::Unavailable),
    ];
    let reply = frame(rig.resume(Outcome::Joined(results)));
    assert_eq!(reply["status"], "ok");
    let results = reply["data"]["results"].as_array().unwrap();
    let one = json!({"channel": "log-1", "epoch": "e1", "offset": 2, "recovered": true,
        "publications": [{"event": "e", "data": 2, "offset": 2, "time": 5}]});
    assert_eq!((&results[0], &results[5]), (&one, &one));
    assert_eq!(
        results[2],
        json!({"channel": "log-2", "epoch": "e1", "offset": 5, "recovered": false})
    );
    assert_eq!(results[3], json!({"channel": "news"}));
    for (index, channel, expected) in [
        (1, "private-1", "forbidden"),
        (4, "a b", "bad_request"),
        (6, "down", "unavailable"),
    ] {
        assert_eq!(
            (&results[index]["channel"], &results[index]["error"]["code"]),
            (&json!(channel), &json!(expected))
        );
    }
    assert_eq!(
        rig.session.info().channels,
        names(&["log-1", "log-2", "news"])
    );
    assert_eq!(rig.commands(CHANNEL, "ok"), 2);
}

#[test]
fn a_list_of_which_nothing_can_be_joined_is_answered_at_once() {
    let mut rig = Rig::ann("{}");
    let reply = rig.ask(json!({"id": 1, "event": CHANNEL, "channels": []}));
    assert_eq!(reply["data"], json!({"results": []}));
    let reply = rig.ask(json!({"id": 1, "event": CHANNEL, "channels": ["private-1", ""]}));
    assert_eq!(reply["data"]["results"][0]["error"]["code"], "forbidden");
    assert_eq!(reply["data"]["results"][1]["error"]["code"], "bad_request");
}

#[test]
fn a_list_is_left_in_one_go() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("a");
    rig.subscribe("members-1");
    let mut out = rig.say(
        json!({"id": 1, "event": "channel:unsubscribe", "channels": ["members-1", "x", "a", "a"]}),
    );
    let Some(Seen::Frame(reply)) = out.pop() else {
        panic!("{out:?}")
    };
    let results = &reply["data"]["results"];
    assert_eq!(
        (&results[0], &results[2]),
        (&json!({"channel": "members-1"}), &json!({"channel": "a"}))
    );
    assert_eq!(
        (&results[1]["channel"], &results[1]["error"]["code"]),
        (&json!("x"), &json!("not_subscribed"))
    );
    assert_eq!(results[3]["error"]["code"], "not_subscribed");
    let left: Vec<_> = out
        .iter()
        .map(|seen| matches!(seen, Seen::Leave(_, _, true)))
        .collect();
    assert_eq!(left, [true, false]);
}

#[test]
fn the_recoveries_of_a_list_share_half_a_mailbox() {
    let settings = Settings {
        mailbox_bytes: 1000,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, Some(grant("ann", 60)));
    let from = json!({"epoch": "e1", "offset": 0});
    let options = json!({"recover": {"log-1": from, "log-2": from, "log-3": from}});
    let list = json!(["log-1", "log-2", "log-3"]);
    let pages = vec![page(4, &[1, 2, 3, 4]), page(2, &[1, 2]), page(1, &[1])];
    let (_, out) = rig.join(
        json!({"id": 1, "event": CHANNEL, "channels": list, "options": options}),
        pages,
    );
    let reply = frame(out);
    let recovered: Vec<_> = reply["data"]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["recovered"].clone())
        .collect();
    assert_eq!(recovered, [json!(true), json!(false), json!(true)]);
}
