//! A model of all that surrounds a replica: an upstream, a stream of events, fetches that take
//! their time, and clients that know only what they were answered and told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::super::{
    Ask, Attach, Bounds, Event, Fetched, Moment, Need, Output, Push, Replica, Settings, Snapshot,
    To,
};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::{Change, Epoch, Position, Writer};
use crate::resource::{Answer, Caller, Failure, Origin, Past, Since};
use crate::session_id::SessionId;

/// What kind of endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) collection: bool,
    pub(super) query: bool,
    pub(super) shared: bool,
    pub(super) versioned: bool,
    pub(super) ordered: bool,
}

pub(super) fn session(number: u64) -> SessionId {
    format!("1.{number}").parse().unwrap()
}

pub(super) fn origin(number: u64) -> Origin {
    Origin {
        worker: 0,
        connection: u32::try_from(number).unwrap(),
        session: session(number),
    }
}

pub(super) fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        grant: None,
        address: [127, 0, 0, 1].into(),
    })
}

pub(super) fn failure(code: ErrorCode) -> Failure {
    super::super::core::failure(code, "as the test says")
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn settings(kind: Kind) -> Settings {
    Settings {
        collection: kind.collection,
        query: kind.query,
        shared: kind.shared,
        ordered: kind.ordered,
        realtime: true,
        revalidate: None,
        id: "/id".into(),
        version: kind.versioned.then(|| "/v".into()),
        item: Some(Arc::new(|id: &str| {
            ChannelName::parse(&format!("/posts/{id}")).ok()
        })),
        bounds: Bounds::default(),
    }
}

/// What the upstream holds: each item's number, which grows with every commit.
pub(super) type Rows = BTreeMap<String, u64>;

/// What a client knows.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Bound, by an answer.
    pub(super) bound: bool,
    pub(super) open: Vec<u32>,
    pub(super) rows: Option<Rows>,
    pub(super) last: Option<Position>,
    /// It was told to start over.
    pub(super) lost: bool,
    pub(super) held: bool,
    pub(super) told: Vec<Push>,
    pub(super) answers: Vec<Answer>,
    pub(super) reason: Option<&'static str>,
}

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) ticket: u64,
    pub(super) read: Option<Fetched>,
    pub(super) need: Need,
}

/// The whole model.
pub(super) struct World {
    pub(super) kind: Kind,
    pub(super) replica: Replica,
    pub(super) at: Instant,
    pub(super) generation: u64,
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    pub(super) rows: Rows,
    pub(super) commits: u64,
    pub(super) unpublished: Vec<(Arc<str>, Bytes, Change)>,
    pub(super) stream: Vec<Event>,
    pub(super) delivered: usize,
    pub(super) pulls: Vec<Pull>,
    pub(super) pulled: usize,
    pub(super) clients: HashMap<SessionId, Client>,
    pub(super) calls: u32,
    pub(super) backwards: usize,
}

impl World {
    pub(super) fn new(kind: Kind) -> Self {
        Self::with(kind, settings(kind))
    }

    pub(super) fn with(kind: Kind, settings: Settings) -> Self {
        let at = Instant::now();
        let moment = Moment {
            at,
            unix_ms: 0,
            generation: 0,
        };
        let uri = match (kind.collection, kind.query) {
            (true, true) => "/posts?page=2",
            (true, false) => "/posts",
            _ => "/posts/1",
        };
        Self {
            kind,
            replica: Replica::new(name(uri), settings, moment),
            at,
            generation: 0,
            epoch: "e".into(),
            offset: 0,
            rows: Rows::from([("1".to_owned(), 0)]),
            commits: 0,
            unpublished: Vec::new(),
            stream: Vec::new(),
            delivered: 0,
            pulls: Vec::new(),
            pulled: 0,
            clients: HashMap::new(),
            calls: 0,
            backwards: 0,
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            at: self.at,
            unix_ms: 0,
            generation: self.generation,
        }
    }

    pub(super) fn client(&mut self, number: u64) -> &mut Client {
        self.clients.entry(session(number)).or_default()
    }

    /// A body as the upstream writes it.
    fn row(&self, id: &str, number: u64) -> String {
        let version = if self.kind.versioned {
            format!(r#","v":{number}"#)
        } else {
            String::new()
        };
        format!(r#"{{"id":"{id}","n":{number}{version}}}"#)
    }

    /// What a GET brings at this moment.
    pub(super) fn get(&self) -> Fetched {
        let (body, version) = if self.kind.collection {
            let rows: Vec<String> = self.rows.iter().map(|(id, n)| self.row(id, *n)).collect();
            (format!(r#"{{"data":[{}]}}"#, rows.join(",")), None)
        } else {
            let Some(n) = self.rows.get("1") else {
                return Fetched::Gone(failure(ErrorCode::NotFound));
            };
            (self.row("1", *n), self.kind.versioned.then_some(*n))
        };
        Fetched::Snapshot(Snapshot {
            code: 200,
            body: body.into(),
            etag: None,
            version,
        })
    }

    /// Somebody writes; the event is still to be published.
    pub(super) fn commit(&mut self, id: &str, delete: bool, writer: Option<Writer>) {
        let id = if self.kind.collection { id } else { "1" };
        if delete && !self.rows.contains_key(id) {
            return;
        }
        self.commits += 1;
        let number = self.commits;
        let event = if delete {
            self.rows.remove(id);
            "delete"
        } else if self.rows.insert(id.to_owned(), number).is_some() {
            "update"
        } else {
            "create"
        };
        let data = match self.kind.shared && !delete {
            true => self.row(id, number).into(),
            false => Bytes::from_static(b"null"),
        };
        let change = Change {
            item: self.kind.collection.then(|| name(&format!("/posts/{id}"))),
            version: self.kind.versioned.then_some(number),
            writer,
            re: None,
        };
        self.unpublished.push((event.into(), data, change));
    }

    /// One of the events that wait reaches the broker.
    pub(super) fn publish(&mut self, which: usize, twice: bool) {
        if self.unpublished.is_empty() {
            return;
        }
        let which = which % self.unpublished.len();
        let which = if self.kind.ordered { 0 } else { which };
        let (name, data, change) = if twice && !self.kind.ordered {
            self.unpublished[which].clone()
        } else {
            self.unpublished.remove(which)
        };
        self.offset += 1;
        let position = Position {
            epoch: Arc::clone(&self.epoch),
            offset: self.offset,
        };
        self.stream.push(Event {
            name,
            data,
            position: Some(position),
            time: 0,
            change: Some(Arc::new(change)),
        });
    }

    /// The next event reaches the node.
    pub(super) fn deliver(&mut self) {
        if let Some(event) = self.stream.get(self.delivered).cloned() {
            self.delivered += 1;
            self.generation += 1;
            self.replica.event(&event, self.now());
            self.take();
        }
    }

    pub(super) fn join(&mut self, number: u64, ask: Ask) -> u32 {
        self.calls += 1;
        let call = self.calls;
        self.client(number).open.push(call);
        let attach = Attach {
            origin: origin(number),
            call,
            caller: caller(),
            ask,
            position: Some(Position {
                epoch: Arc::clone(&self.epoch),
                offset: self.offset,
            }),
            fresh: true,
        };
        self.replica.attach(attach, self.now());
        self.take();
        call
    }

    pub(super) fn show(&mut self, number: u64) -> u32 {
        self.join(
            number,
            Ask {
                data: true,
                ..Ask::default()
            },
        )
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.client(number).bound = false;
        self.replica.detach(session(number), self.now());
        self.take();
    }

    /// Comes back with what it knew.
    pub(super) fn recover(&mut self, number: u64) {
        let Some(position) = self.client(number).last.clone() else {
            return;
        };
        let since = Since {
            position,
            session: None,
        };
        self.join(
            number,
            Ask {
                recover: Some(since),
                ..Ask::default()
            },
        );
    }

    /// The upstream reads for a fetch.
    pub(super) fn read(&mut self, which: usize) {
        let got = self.get();
        let open: Vec<usize> = (0..self.pulls.len())
            .filter(|index| self.pulls[*index].read.is_none())
            .collect();
        if !open.is_empty() {
            self.pulls[open[which % open.len()]].read = Some(got);
        }
    }

    /// A fetch that was read comes back.
    pub(super) fn reply(&mut self, which: usize) {
        let done: Vec<usize> = (0..self.pulls.len())
            .filter(|index| self.pulls[*index].read.is_some())
            .collect();
        if !done.is_empty() {
            let pull = self.pulls.remove(done[which % done.len()]);
            self.bring(pull.ticket, pull.read.unwrap());
        }
    }

    pub(super) fn bring(&mut self, ticket: u64, fetched: Fetched) {
        self.replica.fetched(ticket, fetched, self.now());
        self.take();
    }

    /// The only fetch under way comes back with this.
    pub(super) fn answer_with(&mut self, fetched: Fetched) {
        let pull = self.pulls.pop().expect("a fetch");
        assert!(self.pulls.is_empty());
        self.bring(pull.ticket, fetched);
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.at += Duration::from_millis(millis);
        if self.replica.wake().is_some_and(|wake| wake <= self.at) {
            self.replica.deadline(self.now());
            self.take();
        }
    }

    pub(super) fn hold(&mut self, number: u64) {
        self.replica.hold(session(number));
        self.take();
    }

    pub(super) fn confirm(&mut self, number: u64) {
        self.replica.confirm(session(number), None, self.now());
        self.take();
    }

    pub(super) fn deny(&mut self, number: u64) {
        // What follows is its end, and nothing else.
        self.replica
            .deny(session(number), &failure(ErrorCode::Forbidden), self.now());
        self.take();
        assert!(!self.client(number).bound);
    }

    /// Carries the outputs out.
    fn take(&mut self) {
        for (session, client) in &mut self.clients {
            let known = self.replica.subscribers.get(session);
            client.held = known.is_some_and(|one| one.held.is_some());
        }
        for output in self.replica.outputs() {
            match output {
                Output::Fetch { ticket, need, .. } => {
                    self.pulled += 1;
                    let read = None;
                    self.pulls.push(Pull { ticket, read, need });
                    assert!(self.pulls.len() <= 2 + self.calls as usize);
                }
                Output::Answer { origin, answer } => self.answered(origin.session, *answer),
                Output::Push(push) => self.pushed(&push),
                Output::Unsubscribe { origin, reason } => {
                    let client = self.clients.get_mut(&origin.session).unwrap();
                    assert!(client.bound, "nobody is unbound who was not bound");
                    client.bound = false;
                    client.reason = Some(reason);
                    if reason != "gone" {
                        client.rows = None;
                        client.last = None;
                    }
                }
                Output::Undo { .. } => {}
                Output::Gap { to, .. } => {
                    for origin in to {
                        let client = self.clients.get_mut(&origin.session).unwrap();
                        assert!(client.bound && !client.held);
                        client.lost = true;
                    }
                }
            }
        }
    }

    fn answered(&mut self, session: SessionId, answer: Answer) {
        let collection = self.kind.collection;
        let client = self.clients.get_mut(&session).unwrap();
        let before = client.open.len();
        client.open.retain(|call| *call != answer.call);
        assert_eq!(client.open.len() + 1, before, "every call is answered once");
        if let (Ok(success), Some(bound)) = (&answer.result, &answer.bound) {
            assert!(!client.held, "who is held is given nothing");
            // Who binds anew without asking for anything knows nothing.
            if !client.bound && success.code.is_none() && success.recovered.is_none() {
                client.rows = None;
            }
            client.bound = true;
            if success.code.is_some() {
                client.rows = Some(rows(&success.data, collection));
                client.lost = false;
            }
            if success.recovered == Some(false) {
                client.lost = true;
            }
            for past in &success.publications {
                apply(&mut client.rows, past, collection);
            }
            client.last = bound.position.clone();
        }
        client.answers.push(answer);
    }

    fn pushed(&mut self, push: &Push) {
        let everyone: Vec<SessionId> = self.clients.keys().copied().collect();
        let to: Vec<SessionId> = match &push.to {
            To::All(except) => {
                assert!(self.kind.shared);
                let bound = |session: &SessionId| self.clients[session].bound;
                let all = everyone.into_iter().filter(bound);
                all.filter(|session| Some(*session) != *except).collect()
            }
            To::These(origins) => origins.iter().map(|origin| origin.session).collect(),
        };
        for session in to {
            let client = self.clients.get_mut(&session).unwrap();
            assert!(client.bound, "nothing before the answer");
            assert!(!client.held, "who is held is given nothing");
            if let (Some(position), Some(last)) = (&push.position, &client.last) {
                assert!(position.offset > last.offset || position.epoch != last.epoch);
            }
            if push.position.is_some() {
                client.last = push.position.clone();
            }
            if goes_back(client.rows.as_ref(), push) {
                self.backwards += 1;
            }
            let past = Past {
                event: Arc::clone(&push.event),
                item: push.item.clone(),
                data: push.data.clone(),
                offset: 0,
                time: 0,
            };
            apply(&mut client.rows, &past, self.kind.collection);
            client.told.push(push.clone());
        }
    }

    /// Everything that is under way arrives, and nothing new happens.
    pub(super) fn rest(&mut self) {
        while !self.unpublished.is_empty() {
            self.publish(0, false);
        }
        while self.delivered < self.stream.len() {
            self.deliver();
        }
        for _ in 0..200 {
            while !self.pulls.is_empty() {
                self.read(0);
                self.reply(0);
            }
            match self.replica.wake() {
                Some(_) if self.replica.is_empty() => break,
                Some(wake) => {
                    self.at = self.at.max(wake);
                    self.replica.deadline(self.now());
                    self.take();
                }
                None => break,
            }
        }
        assert!(self.pulls.is_empty(), "it comes to rest");
    }
}

fn row(data: &[u8]) -> (String, u64) {
    let value: Value = serde_json::from_slice(data).unwrap();
    let id = value["id"].as_str().unwrap().to_owned();
    (id, value["n"].as_u64().unwrap())
}

/// The rows of an answer.
pub(super) fn rows(data: &[u8], collection: bool) -> Rows {
    if !collection {
        return Rows::from([row(data)]);
    }
    let value: Value = serde_json::from_slice(data).unwrap();
    let rows = value["data"].as_array().unwrap().iter();
    rows.map(|one| row(one.to_string().as_bytes())).collect()
}

fn apply(known: &mut Option<Rows>, past: &Past, collection: bool) {
    if !matches!(&*past.event, "create" | "update" | "delete") {
        return;
    }
    if !collection {
        *known = Some(match &*past.event {
            "delete" => Rows::new(),
            _ => rows(&past.data, false),
        });
        return;
    }
    let Some(known) = known else { return };
    let item = past.item.as_ref().unwrap().as_str();
    let id = item.rsplit('/').next().unwrap();
    if &*past.event == "delete" {
        known.remove(id);
    } else {
        let (id, number) = row(&past.data);
        known.insert(id, number);
    }
}

fn goes_back(known: Option<&Rows>, push: &Push) -> bool {
    if &*push.event == "delete" || !matches!(&*push.event, "create" | "update") {
        return false;
    }
    let (id, number) = row(&push.data);
    known
        .and_then(|rows| rows.get(&id))
        .is_some_and(|known| number < *known)
}
