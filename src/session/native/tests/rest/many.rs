//! Lists, what the server and the token bind, and another token for all that is bound.

use super::*;

#[test]
fn a_list_is_answered_when_all_of_it_is_known() {
    let settings = Settings {
        max_calls: 1,
        ..Settings::default()
    };
    let mut rig = with(settings, &[]);
    let list = json!([
        "news",
        "/posts/1",
        "/posts?x=1",
        "/posts",
        "/p%6fsts/1",
        "log-a"
    ]);
    let command = json!({"id": 1, "event": "channel:subscribe", "channels": list,
        "options": {"recover": {"/posts": {"epoch": "e0", "offset": 9}}}});
    let mut seen = rig.say(command);
    let Seen::Call(first) = seen.pop().unwrap() else {
        panic!("a call first");
    };
    assert!(matches!(operation(seen), Operation::Wait));
    assert!(rig.session.is_busy());
    let mut seen = rig.answered(answer(first.id, Some(""), bound("/posts/1", 2)), 1);
    let Seen::Call(second) = seen.pop().unwrap() else {
        panic!("the next when there is room");
    };
    assert!(seen.is_empty() && second.options.recover.is_some());
    let requests = joins(rig.answered(answer(second.id, None, None), 2));
    let names: Vec<_> = requests.iter().map(|one| one.channel.as_str()).collect();
    assert_eq!(names, ["news", "log-a"]);
    let reply = frame(rig.joined(vec![blank(), page(3, &[])]));
    let results = reply["data"]["results"].as_array().unwrap().clone();
    assert_eq!(results[0], json!({"channel": "news"}));
    assert_eq!(
        results[1],
        json!({"channel": "/posts/1", "epoch": "e1", "offset": 2})
    );
    assert_eq!(results[2]["error"]["code"], "bad_request");
    assert_eq!(results[3]["channel"], "/posts");
    assert_eq!(results[3]["error"]["http"], 403);
    assert_eq!(results[4], results[1], "one channel by another spelling");
    assert_eq!(results[5]["offset"], 3);
    assert_eq!(rig.session.info().channels.len(), 3);
}

#[test]
fn the_server_and_the_token_bind_too() {
    let mut rig = with(Settings::default(), &["/posts/1", "news"]);
    let seen = rig.joined(vec![blank()]);
    let [Seen::Frame(welcome), Seen::Call(of_token)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(welcome["data"]["channels"], json!(["news"]));
    let told = frame(rig.answered(answer(of_token.id, Some(""), bound("/posts/1", 2)), 1));
    assert_eq!(told["event"], "pogo:subscribed");
    assert_eq!(
        (&told["uri"], &told["data"]["offset"]),
        (&json!("/posts/1"), &json!(2))
    );
    let seen = rig.run(|session, now, out| {
        assert!(session.server_subscribe(name("/posts?b=1&a=2"), now, out));
        assert!(
            !session.server_subscribe(name("/p%6fsts/1"), now, out),
            "there already"
        );
    });
    let of_server = call(seen);
    assert_eq!(of_server.uri.as_str(), "/posts?a=2&b=1");
    // What is refused to them is told to nobody.
    assert!(rig.answered(answer(of_server.id, None, None), 2).is_empty());
}

#[test]
fn another_token_is_shown_to_the_gateway_for_all_that_is_bound() {
    let mut rig = ann();
    rig.bound_to("/posts/1", 1);
    rig.bound_to("/posts/2", 2);
    rig.say(json!({"id": 1, "event": "auth", "data": {"token": "t"}}));
    let fresh = grant("ann", 7200);
    let mut seen = rig.resume(Outcome::Authenticated(Ok(fresh)));
    let Seen::Frame(reply) = seen.pop().unwrap() else {
        panic!("a reply");
    };
    assert_eq!(reply["status"], "ok");
    assert_eq!(held(&seen.remove(0)), ["/posts/1", "/posts/2"]);
    let checks = calls(seen);
    assert!(checks.iter().all(|call| call.verb == Verb::Recheck));
    let expires = checks[0].caller.grant.as_ref().unwrap().expires_at;
    assert_eq!(expires, START + 7200, "the new one");
    assert!(
        rig.answered(answer(checks[0].id, Some(""), None), 0)
            .is_empty()
    );
    let seen = rig.answered(answer(checks[1].id, None, None), 0);
    let [Seen::Frame(told), Seen::Leave(left, _, _)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(told["event"], "pogo:unsubscribed");
    assert_eq!(told["data"], json!({"reason": "forbidden"}));
    assert_eq!(left, "/posts/2");
}

/// What is held, on a later token than the first.
fn held(seen: &Seen) -> Vec<&str> {
    let Seen::Hold(uris, caller) = seen else {
        panic!("{seen:?}");
    };
    assert!(caller.turn > 0);
    uris.iter().map(ChannelName::as_str).collect()
}

impl Rig {
    /// Another token; what follows before the reply.
    fn renew(&mut self, lifetime: u64) -> Vec<Seen> {
        self.say(json!({"id": 1, "event": "auth", "data": {"token": "t"}}));
        let mut seen = self.resume(Outcome::Authenticated(Ok(grant("ann", lifetime))));
        let reply = seen.pop();
        assert!(matches!(reply, Some(Seen::Frame(reply)) if reply["status"] == "ok"));
        seen
    }
}

#[test]
fn all_that_is_bound_is_held_though_not_all_can_be_asked_about_at_once() {
    let settings = Settings {
        max_calls: 1,
        ..Settings::default()
    };
    let mut rig = with(settings, &[]);
    for (at, uri) in (1..).zip(["/posts/1", "/posts/2", "/posts/3"]) {
        rig.bound_to(uri, at);
    }
    let mut seen = rig.renew(7200);
    assert_eq!(held(&seen.remove(0)), ["/posts/1", "/posts/2", "/posts/3"]);
    let first = call(seen);
    let second = call(rig.answered(answer(first.id, Some(""), None), 0));
    assert_eq!(second.verb, Verb::Recheck);
}

#[test]
fn what_an_older_token_has_bound_is_asked_about_on_the_newer() {
    let mut rig = ann();
    let older = call(rig.say(json!({"event": "bind", "uri": "/posts/1"})));
    assert!(rig.renew(7200).is_empty(), "nothing is bound yet");
    let mut seen = rig.answered(answer(older.id, Some(""), bound("/posts/1", 3)), 1);
    assert_eq!(held(&seen.remove(0)), ["/posts/1"]);
    let check = call(seen);
    assert_eq!((check.verb, check.caller.turn), (Verb::Recheck, 1));
    let expires = check.caller.grant.as_ref().unwrap().expires_at;
    assert_eq!(expires, START + 7200);
}

#[test]
fn what_an_older_token_is_refused_says_nothing_of_the_newer() {
    let mut rig = ann();
    rig.bound_to("/posts/1", 1);
    let mut seen = rig.renew(7200);
    seen.remove(0);
    let older = call(seen);
    let mut seen = rig.renew(9000);
    seen.remove(0);
    let newer = call(seen);
    assert!(rig.answered(answer(older.id, None, None), 0).is_empty());
    let seen = rig.answered(answer(newer.id, None, None), 0);
    assert!(matches!(&seen[..], [Seen::Frame(_), Seen::Leave(..)]));
}
