//! A model of all that surrounds a replica: an upstream, a stream of events, fetches that take
//! their time, and clients that know only what they were answered and told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{
    Ask, Attach, Bounds, Event, Fetched, Moment, Need, Push, Replica, Settings, Snapshot,
};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::{Change, Epoch, Position, Writer};
use crate::resource::{Answer, Caller, Failure, Origin, Since};
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
        turn: 0,
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
            until: Some(Instant::now() + Duration::from_secs(86_400)),
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
            version: (self.kind.versioned && !delete).then_some(number),
            writer,
            unkept: false,
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
            expires: None,
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
        self.replica.hold(session(number), 0, &caller());
        self.take();
    }

    pub(super) fn confirm(&mut self, number: u64) {
        self.replica.confirm(session(number), 0, self.now());
        self.take();
    }

    pub(super) fn deny(&mut self, number: u64) {
        // What follows is its end, and nothing else.
        self.replica
            .deny(session(number), &failure(ErrorCode::Forbidden), self.now());
        self.take();
        assert!(!self.client(number).bound);
    }
}
