//! Resources: what becomes a call, what is refused, and what the answers bring.

mod many;

use http::Uri;

use super::*;
use crate::resource::{Answer, Bound, Endpoint, Failure, Past, Success, Verb};

/// `/posts` with `page`, `a` and `b`; `/notes/{id}`, which can only be shown and binds nobody.
pub(super) fn routes() -> Routes {
    let bases = || vec![Uri::from_static("http://blog:8080/v1")];
    let mut posts = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases());
    posts.query = ["a", "b", "page"].map(Box::from).to_vec();
    let mut notes = Endpoint::new("notes", Some("/notes/{id}"), None, bases());
    notes.methods = vec![Verb::Show];
    notes.autobind = false;
    Routes::new(vec![posts, notes]).unwrap()
}

/// With `data`, or failed with a status.
pub(super) fn answer(call: u32, data: Option<&'static str>, bound: Option<Bound>) -> Answer {
    let failure = Failure {
        code: ErrorCode::Forbidden,
        message: "No.".into(),
        retry_after: None,
        http: Some(403),
        details: Some(Bytes::from_static(b"{\"why\":1}")),
        outcome_unknown: false,
    };
    let success = data.map(|data| Success {
        code: Some(200),
        data: data.into(),
        etag: Some("\"v1\"".into()),
        ..Success::default()
    });
    Answer {
        call,
        result: success.ok_or(failure),
        bound,
    }
}

fn bound(uri: &str, offset: u64) -> Option<Bound> {
    Some(Bound {
        uri: name(uri),
        position: Some(at("e1", offset)),
        fresh: true,
    })
}

fn ann() -> Rig {
    with(Settings::default(), &[])
}

fn with(settings: Settings, channels: &[&str]) -> Rig {
    let shared = shared(settings);
    shared.routes.store(Arc::new(routes()));
    let grant = Grant {
        channels: names(channels),
        capabilities: caps(r#"{"**": ["*"]}"#),
        ..grant("ann", 3600)
    };
    Rig::open_on(shared, Some(grant)).0
}

fn calls(seen: Vec<Seen>) -> Vec<Call> {
    let call = |seen| match seen {
        Seen::Call(call) => *call,
        other => panic!("expected calls: {other:?}"),
    };
    seen.into_iter().map(call).collect()
}

fn call(seen: Vec<Seen>) -> Call {
    let [call] = <[Call; 1]>::try_from(calls(seen)).unwrap();
    call
}

impl Rig {
    /// Answers a call; the worker gives the slot `index` if it binds.
    fn answered(&mut self, answer: Answer, index: u32) -> Vec<Seen> {
        let binding = self.session.binding(&answer);
        let slot = binding.map(|binding| binding.slot.unwrap_or(slot(index)));
        self.run(|session, _, out| session.answered(answer, slot, out))
    }

    /// Binds the session to `uri`.
    fn bound_to(&mut self, uri: &str, index: u32) {
        let call = call(self.say(json!({"event": "bind", "uri": uri})));
        let bound = bound(call.uri.as_str(), 3);
        assert!(
            self.answered(answer(call.id, Some(""), bound), index)
                .is_empty()
        );
    }
}

#[test]
fn a_verb_is_a_call_and_its_answer_a_reply() {
    let mut rig = ann();
    let command = json!({"id": "x", "event": "index", "uri": "/posts?b=1", "data": {"a": "2 3", "page": 4, "b": true}});
    let first = call(rig.say(command));
    assert_eq!(first.verb, Verb::Index);
    assert_eq!(first.uri.as_str(), "/posts?a=2%203&b=1&b=true&page=4");
    assert!(first.options.bind && first.options.echo && first.body.is_empty());
    assert_eq!(first.options.re.as_deref(), Some(&b"\"x\""[..]));
    let grant = first.caller.grant.as_ref().unwrap();
    assert_eq!(grant.subject.as_deref(), Some("ann"));
    // It goes on with others meanwhile.
    assert_eq!(rig.ask(json!({"id": 2, "event": "ping"}))["status"], "ok");
    let update = json!({"id": 3, "event": "update", "uri": "/posts/1", "data": {"n": 1},
        "options": {"if_match": "\"v0\"", "idempotency_key": "k", "echo": false, "bind": false}});
    let second = call(rig.say(update));
    assert_eq!(&second.body[..], b"{\"n\":1}");
    assert_eq!(second.options.if_match.as_deref(), Some("\"v0\""));
    assert_eq!(second.options.idempotency_key.as_deref(), Some("k"));
    assert!(!second.options.echo && !second.options.bind);
    assert_ne!(first.id, second.id);
    assert_eq!(rig.commands("index", "ok"), 0, "counted when answered");
    let reply = frame(rig.answered(answer(second.id, Some("{}"), None), 0));
    let expected =
        json!({"id": 3, "status": "ok", "data": {}, "code": 200, "etag": "\"v1\"", "bound": false});
    assert_eq!(reply, expected);
    let to = bound(first.uri.as_str(), 7);
    let reply = frame(rig.answered(answer(first.id, Some("[1]"), to), 5));
    assert_eq!(reply["id"], "x");
    assert_eq!(reply["data"], json!([1]));
    assert_eq!(reply["bound"], first.uri.as_str());
    assert_eq!(
        (&reply["epoch"], &reply["offset"]),
        (&json!("e1"), &json!(7))
    );
    assert_eq!(rig.commands("index", "ok"), 1);
    assert_eq!(rig.session.info().channels, [first.uri]);
}

#[test]
fn what_an_upstream_refuses_is_told() {
    let mut rig = ann();
    let call = call(rig.say(json!({"id": 1, "event": "show", "uri": "/posts/1"})));
    let reply = frame(rig.answered(answer(call.id, None, None), 0));
    let expected =
        json!({"code": "forbidden", "message": "No.", "http": 403, "details": {"why": 1}});
    assert_eq!(reply["error"], expected);
    assert_eq!(rig.commands("show", "error"), 1);
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    let mut rig = ann();
    for (command, expected) in [
        (json!({"event": "show", "uri": "/other/1"}), "no_route"),
        (
            json!({"event": "show", "uri": "/posts/../1"}),
            "bad_request",
        ),
        (
            json!({"event": "show", "uri": "/posts/a%2fb"}),
            "bad_request",
        ),
        (json!({"event": "show", "uri": "/posts"}), "bad_request"),
        (json!({"event": "index", "uri": "/posts/1"}), "bad_request"),
        (json!({"event": "create", "uri": "/posts/1"}), "bad_request"),
        (
            json!({"event": "index", "uri": "/posts?x=1"}),
            "bad_request",
        ),
        (
            json!({"event": "index", "uri": "/posts", "data": [1]}),
            "bad_request",
        ),
        (
            json!({"event": "index", "uri": "/posts", "data": {"a": [1]}}),
            "bad_request",
        ),
        (
            json!({"event": "index", "uri": "/posts", "options": {"bind": 1}}),
            "bad_request",
        ),
        (json!({"event": "delete", "uri": "/notes/1"}), "bad_request"),
        (json!({"event": "bind", "uri": "/posts?x=1"}), "bad_request"),
        (json!({"event": "shout", "uri": "/posts/1"}), "forbidden"),
        (
            json!({"event": "shout", "channel": "/p%6fsts/1"}),
            "forbidden",
        ),
        (
            json!({"event": "channel:history", "channel": "/posts/1"}),
            "forbidden",
        ),
        (
            json!({"event": "channel:presence", "channel": "/posts/1"}),
            "bad_request",
        ),
    ] {
        let mut command = command;
        command["id"] = json!(1);
        let reply = rig.ask(command.clone());
        assert_eq!(code(&reply), expected, "{command}");
    }
}

#[test]
fn calls_and_channels_are_bounded() {
    let settings = Settings {
        max_calls: 2,
        max_channels: 3,
        ..Settings::default()
    };
    let mut rig = with(settings, &[]);
    let show = |id: u64| json!({"id": id, "event": "show", "uri": format!("/posts/{id}")});
    let first = call(rig.say(show(1)));
    let second = call(rig.say(show(2)));
    assert_eq!(code(&rig.ask(show(3))), "limit_exceeded");
    let to = bound("/posts/1", 1);
    frame(rig.answered(answer(first.id, Some("1"), to), 1));
    rig.subscribe("news");
    // Two channels, and one that will be bound.
    assert_eq!(code(&rig.ask(show(3))), "limit_exceeded");
    let unbound = json!({"id": 4, "event": "show", "uri": "/posts/3", "options": {"bind": false}});
    let third = call(rig.say(unbound));
    assert!(!third.options.bind);
    let to = bound("/posts/2", 1);
    frame(rig.answered(answer(second.id, Some("1"), to), 2));
    let again = call(rig.say(show(1)));
    assert_eq!(again.uri.as_str(), "/posts/1", "there already");
    let note = call_of_note(&mut rig, third.id);
    assert_eq!(note.uri.as_str(), "/notes/1", "this one binds nobody");
}

fn call_of_note(rig: &mut Rig, done: u32) -> Call {
    frame(rig.answered(answer(done, Some("1"), None), 0));
    call(rig.say(json!({"id": 9, "event": "show", "uri": "/notes/1"})))
}

#[test]
fn an_answer_too_large_for_the_mailbox_is_refused_and_binds_nobody() {
    let settings = Settings {
        mailbox_bytes: 5_000,
        ..Settings::default()
    };
    let mut rig = with(settings, &[]);
    let call = call(rig.say(json!({"id": 1, "event": "show", "uri": "/posts/1"})));
    let mut answer = answer(call.id, Some("1"), bound("/posts/1", 1));
    if let Ok(success) = &mut answer.result {
        success.data = vec![b'1'; 1_000].into();
    }
    assert!(rig.session.binding(&answer).is_none());
    assert_eq!(code(&frame(rig.answered(answer, 1))), "too_large");
}

#[test]
fn binding_is_subscribing_in_either_spelling() {
    let mut rig = ann();
    let bind = json!({"id": 1, "event": "bind", "uri": "/posts?b=1&a=2",
        "options": {"recover": {"epoch": "e1", "offset": 1}}});
    let first = call(rig.say(bind));
    assert_eq!(
        (first.verb, first.uri.as_str()),
        (Verb::Bind, "/posts?a=2&b=1")
    );
    assert_eq!(
        first.options.recover.as_ref().unwrap().position,
        at("e1", 1)
    );
    let mut recovered = answer(first.id, Some(""), bound("/posts?a=2&b=1", 3));
    if let Ok(success) = &mut recovered.result {
        success.recovered = Some(true);
        success.publications = vec![past(2), past(3)];
    }
    let reply = frame(rig.answered(recovered, 1));
    assert_eq!(reply["data"]["recovered"], true);
    assert_eq!(reply["data"]["publications"][1]["offset"], 3);
    assert_eq!(reply["data"]["publications"][1]["item"], "/posts/3");
    assert_eq!(reply["data"]["offset"], 3);

    let subscribe = json!({"id": 2, "event": "channel:subscribe", "channel": "/p%6fsts/1",
        "options": {"snapshot": true}});
    let second = call(rig.say(subscribe));
    assert!(second.options.snapshot);
    let reply = frame(rig.answered(answer(second.id, Some("{}"), bound("/posts/1", 4)), 2));
    assert_eq!(
        (&reply["data"], &reply["bound"]),
        (&json!({}), &json!("/posts/1"))
    );

    let seen = rig.say(json!({"id": 3, "event": "unbind", "uri": "/posts?b=1&a=2"}));
    let [Seen::Leave(left, at, false), Seen::Frame(reply)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((left.as_str(), *at), ("/posts?a=2&b=1", slot(1)));
    assert_eq!(reply["status"], "ok");
    let reply = rig.ask(json!({"id": 4, "event": "unbind", "uri": "/posts?b=1&a=2"}));
    assert_eq!(code(&reply), "not_subscribed");
}

fn past(offset: u64) -> Past {
    Past {
        event: "create".into(),
        item: Some(name(&format!("/posts/{offset}"))),
        data: "{}".into(),
        offset,
        time: 5,
    }
}

#[test]
fn a_binding_that_was_left_meanwhile_is_not_taken_up_again() {
    let mut rig = ann();
    rig.bound_to("/posts/1", 1);
    let again = call(rig.say(json!({"id": 1, "event": "bind", "uri": "/posts/1"})));
    rig.say(json!({"event": "unbind", "uri": "/posts/1"}));
    let stale = Bound {
        fresh: false,
        ..bound("/posts/1", 3).unwrap()
    };
    let reply = frame(rig.answered(answer(again.id, Some(""), Some(stale)), 2));
    assert_eq!(code(&reply), "not_subscribed");
    assert!(rig.session.info().channels.is_empty());
}
