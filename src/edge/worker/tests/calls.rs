//! Calls, their answers and what replicas push, in whatever order they meet, with a gateway that
//! answers when it is told to.

mod ends;
mod lists;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Uri;

use super::*;
use crate::channel::ChannelName;
use crate::code::{CloseCode, ErrorCode};
use crate::edge::connection::Credential;
use crate::edge::worker::inbox::Input;
use crate::hub::{SessionAction, SessionFilter, Target, WorkerMessage};
use crate::node::Join;
use crate::publication::{Change, Form, Position, Publication};
use crate::resource::{
    Answer, Bound, Call, Caller, Calls, Endpoint, Failure, Origin, Past, Routes, Success, Verb,
};
use crate::session_id::SessionId;

/// A gateway that keeps what it is asked.
#[derive(Default)]
pub(super) struct Scripted {
    calls: Mutex<Vec<(Call, Origin)>>,
    left: Mutex<Vec<(SessionId, String)>>,
}

impl Calls for Scripted {
    fn call(&self, call: Call, origin: Origin) {
        self.calls.lock().unwrap().push((call, origin));
    }

    fn hold(&self, _: SessionId, uris: &[ChannelName], _: &Arc<Caller>) {
        panic!("{uris:?}");
    }

    fn left(&self, session: SessionId, uri: &ChannelName) {
        let left = (session, uri.to_string());
        self.left.lock().unwrap().push(left);
    }
}

fn position(offset: u64) -> Option<Position> {
    let epoch = "e1".into();
    Some(Position { epoch, offset })
}

/// A push of a replica; offset 0: it shows none.
fn push(uri: &str, data: u64, offset: u64) -> Publication {
    Publication {
        channel: name(uri),
        event: "update".into(),
        data: data.to_string().into(),
        sequence: offset,
        epoch: (offset > 0).then(|| "e1".into()),
        time: 0,
        accepted: std::time::Instant::now(),
        expires: None,
        exclude: None,
        form: Form::Json,
        user: None,
        revision: 0,
        change: Some(Arc::new(Change::default())),
    }
}

fn show(id: u64, uri: &str) -> Value {
    json!({"id": id, "event": "show", "uri": uri})
}

fn posts() -> Routes {
    let bases = vec![Uri::from_static("http://blog:8080")];
    let posts = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases);
    Routes::new(vec![posts]).unwrap()
}

impl Rig {
    fn covered() -> Self {
        Self::covered_with(&Setup::default())
    }

    fn covered_with(setup: &Setup) -> Self {
        let rig = Self::with(setup);
        rig.shared.routes.store(Arc::new(posts()));
        rig
    }

    /// What `client` asks for with `command`, as it reaches the gateway.
    fn call(&mut self, client: &mut Client, command: &Value) -> (Call, Origin) {
        client.send(command);
        self.settle();
        self.asked()
    }

    fn asked(&mut self) -> (Call, Origin) {
        let mut calls = self.gateway.calls.lock().unwrap();
        assert_eq!(calls.len(), 1, "one call");
        calls.pop().unwrap()
    }

    fn left(&self) -> Vec<(SessionId, String)> {
        std::mem::take(&mut self.gateway.left.lock().unwrap())
    }

    fn post(&self, message: WorkerMessage) {
        self.inboxes[0].put(Input::Message(message));
    }

    /// As the gateway does it: the node is joined, then the answer posted.
    fn bind(&self, (call, origin): &(Call, Origin), offset: u64) {
        let join = Join {
            channel: call.uri.clone(),
            worker: origin.worker,
            fresh: true,
            member: None,
            max_members: usize::MAX,
            query: crate::broker::HistoryQuery::default(),
        };
        self.runtime.block_on(self.node.join(join)).unwrap();
        let success = Success {
            code: Some(200),
            data: offset.to_string().into(),
            ..Success::default()
        };
        self.answer((call, *origin), Ok(success), Some((offset, true)));
    }

    fn answer(
        &self,
        (call, origin): (&Call, Origin),
        result: Result<Success, Failure>,
        bound: Option<(u64, bool)>,
    ) {
        let bound = bound.map(|(offset, fresh)| Bound {
            uri: call.uri.clone(),
            position: position(offset),
            fresh,
        });
        let answer = Box::new(Answer {
            call: call.id,
            result,
            bound,
        });
        let target = target(origin);
        self.post(WorkerMessage::Answer { target, answer });
    }

    fn deliver(&self, publication: Publication) {
        let delivery = Arc::new(self.node.hub().delivery(publication, None));
        self.post(WorkerMessage::Deliver(delivery));
    }

    fn deliver_to(&self, publication: Publication, origins: &[Origin]) {
        let delivery = Arc::new(self.node.hub().delivery(publication, None));
        let targets = origins.iter().copied().map(target).collect();
        self.post(WorkerMessage::DeliverTo { delivery, targets });
    }

    /// A session that is bound to `/posts/1` at offset 0.
    fn bound(&mut self) -> (Client, Origin) {
        let mut client = self.join();
        let (call, origin) = self.call(&mut client, &show(1, "/posts/1"));
        self.bind(&(call, origin), 0);
        assert_eq!(self.text(&mut client)["bound"], "/posts/1");
        (client, origin)
    }

    fn told(&mut self, client: &mut Client) -> Vec<String> {
        let frames = self.drain(client);
        frames.iter().map(short).collect()
    }
}

fn target(origin: Origin) -> Target {
    Target {
        connection: origin.connection,
        session: origin.session,
    }
}

/// A frame in a word: `r` and the reply's id, or what is pushed.
fn short(frame: &Frame) -> String {
    let Frame::Text(text) = frame else {
        return format!("{frame:?}");
    };
    match (text.get("id"), text["event"].as_str()) {
        (Some(id), _) => format!("r{id}"),
        (None, Some("update")) => text["data"].to_string(),
        (None, event) => event.unwrap_or_default().to_owned(),
    }
}

#[test]
fn an_answer_stands_between_what_was_posted_before_and_after_it() {
    let mut rig = Rig::covered();
    // Somebody is there, so that the channel is walked.
    let (mut other, _) = rig.bound();
    let mut client = rig.join();
    let asked = rig.call(&mut client, &show(7, "/posts/1"));
    // All of it is taken from the inbox in one turn. Those that show no offset cannot be told
    // from later ones by it.
    rig.deliver(push("/posts/1", 1, 1));
    rig.deliver(push("/posts/1", 2, 0));
    rig.deliver_to(push("/posts/1", 3, 0), &[asked.1]);
    rig.bind(&asked, 3);
    rig.deliver(push("/posts/1", 4, 0));
    rig.deliver_to(push("/posts/1", 5, 4), &[asked.1]);
    rig.deliver(push("/posts/1", 6, 5));
    assert_eq!(rig.told(&mut client), ["r7", "4", "5", "6"]);
    assert_eq!(rig.told(&mut other), ["1", "2", "4", "6"]);
    drop((client, other));
    rig.assert_empty();
    assert_eq!(rig.left().len(), 2);
}

#[test]
fn a_snapshot_takes_the_place_of_what_is_on_its_way() {
    let mut rig = Rig::covered();
    let (mut client, _) = rig.bound();
    let (call, origin) = rig.call(&mut client, &show(2, "/posts/1"));
    rig.deliver(push("/posts/1", 1, 0));
    rig.deliver(push("/posts/1", 2, 1));
    let success = Success {
        code: Some(200),
        ..Success::default()
    };
    rig.answer((&call, origin), Ok(success), Some((1, false)));
    rig.deliver(push("/posts/1", 3, 2));
    assert_eq!(rig.told(&mut client), ["r2", "3"]);
    drop(client);
    rig.assert_empty();
}

#[test]
fn binding_again_without_the_resource_loses_nothing_that_is_under_way() {
    let mut rig = Rig::covered();
    let (mut client, _) = rig.bound();
    let bind = json!({"id": 2, "event": "bind", "uri": "/posts/1", "options": {"rewind": 9}});
    let (call, origin) = rig.call(&mut client, &bind);
    rig.deliver(push("/posts/1", 1, 1));
    let past = Past {
        event: "update".into(),
        item: None,
        data: "1".into(),
        offset: 1,
        time: 0,
    };
    let success = Success {
        publications: vec![past],
        ..Success::default()
    };
    rig.answer((&call, origin), Ok(success), Some((1, false)));
    let frames = rig.drain(&mut client);
    let Frame::Text(reply) = &frames[0] else {
        panic!("{frames:?}");
    };
    assert_eq!(
        (&reply["id"], &reply["data"]["offset"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(reply["data"]["publications"], json!([]));
    assert_eq!(short(&frames[1]), "1", "still to come, so not in the reply");
}

#[test]
fn only_the_named_are_given_what_is_theirs() {
    let mut rig = Rig::covered();
    let bound: Vec<_> = (0..100).map(|_| rig.bound()).collect();
    let (mut clients, origins): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
    let stranger = Origin {
        session: SessionId::random().unwrap(),
        ..origins[3]
    };
    // At once; then behind a walk; then so many that it is a walk.
    rig.deliver_to(push("/posts/1", 1, 1), &[origins[0], origins[2], stranger]);
    rig.deliver(push("/posts/1", 2, 2));
    rig.deliver_to(push("/posts/1", 3, 0), &[origins[2], stranger, origins[0]]);
    rig.deliver_to(push("/posts/1", 4, 3), &origins[1..]);
    rig.settle();
    for (index, client) in clients.iter_mut().enumerate() {
        let expected: &[&str] = match index {
            0 => &["1", "2", "3"],
            2 => &["1", "2", "3", "4"],
            _ => &["2", "4"],
        };
        assert_eq!(rig.told(client), expected, "{index}");
    }
    // Not bound to it: nothing.
    rig.deliver_to(push("/posts/2", 1, 1), &origins);
    assert!(rig.told(&mut clients[0]).is_empty());
    drop(clients);
    rig.assert_empty();
}

#[test]
fn answers_for_who_is_gone_are_undone() {
    let mut rig = Rig::covered();
    let mut gone = rig.join();
    let asked = rig.call(&mut gone, &show(1, "/posts/1"));
    drop(gone);
    rig.settle();
    // The key has been given to another.
    let mut heir = rig.join();
    rig.bind(&asked, 1);
    assert!(rig.told(&mut heir).is_empty());
    assert_eq!(rig.left(), [(asked.1.session, "/posts/1".to_owned())]);
    drop(heir);
    rig.assert_empty();
}

#[test]
fn a_session_that_was_closed_meanwhile_is_not_bound() {
    let mut rig = Rig::covered();
    let (mut client, id) = rig.session(Credential::None);
    rig.text(&mut client);
    let asked = rig.call(&mut client, &show(1, "/posts/1"));
    let filter = SessionFilter {
        session: id,
        ..SessionFilter::default()
    };
    rig.act(filter, SessionAction::Close(CloseCode::Revoked));
    rig.bind(&asked, 1);
    rig.settle();
    assert_eq!(rig.left().len(), 1);
    drop(client);
    rig.assert_empty();
}

#[test]
fn leaving_is_told_to_the_gateway_and_to_the_node() {
    let mut rig = Rig::covered();
    let (mut client, origin) = rig.bound();
    assert_eq!(rig.node.hub().subscribers("/posts/1"), 1);
    let (_, reply) = rig.ask(&mut client, json!({"event": "unbind", "uri": "/p%6fsts/1"}));
    assert_eq!(reply["status"], "ok");
    assert_eq!(rig.left(), [(origin.session, "/posts/1".to_owned())]);
    assert_eq!(rig.node.hub().subscribers("/posts/1"), 0);
    rig.deliver_to(push("/posts/1", 1, 1), &[origin]);
    assert!(rig.told(&mut client).is_empty());
}

#[test]
fn an_end_is_told_after_what_was_posted_before_it() {
    let mut rig = Rig::covered();
    let (mut client, _) = rig.bound();
    let (mut other, _) = rig.bound();
    rig.deliver(push("/posts/1", 1, 1));
    rig.deliver(push("/posts/1", 2, 2));
    let action = SessionAction::Unsubscribe(push("/posts/1", 0, 0).channel, "gone".into());
    assert_eq!(rig.act(SessionFilter::default(), action), 2);
    for client in [&mut client, &mut other] {
        assert_eq!(rig.told(client), ["1", "2", "pogo:unsubscribed"]);
    }
}

#[test]
fn what_is_bound_twice_is_counted_once() {
    let mut rig = Rig::covered();
    let (mut client, origin) = rig.bound();
    // The gateway has let it go, and took it for new before the worker heard of that.
    let (call, _) = rig.call(&mut client, &show(2, "/posts/1"));
    rig.bind(&(call, origin), 4);
    rig.settle();
    assert_eq!(rig.node.hub().subscribers("/posts/1"), 1);
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_refused_call_binds_nobody() {
    let mut rig = Rig::covered();
    let mut client = rig.join();
    let (call, origin) = rig.call(&mut client, &show(1, "/posts/1"));
    let failure = Failure {
        code: ErrorCode::NotFound,
        message: "Not there.".into(),
        retry_after: None,
        http: Some(404),
        details: Some(Bytes::from_static(b"{}")),
        outcome_unknown: false,
    };
    rig.answer((&call, origin), Err(failure), None);
    let reply = rig.text(&mut client);
    assert_eq!(reply["error"]["http"], 404);
    assert_eq!(call.verb, Verb::Show);
    drop(client);
    rig.assert_empty();
    assert!(rig.left().is_empty());
}
