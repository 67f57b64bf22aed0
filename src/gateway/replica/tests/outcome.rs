//! What clients make of what they are answered and told, and what must hold of it.

use std::sync::Arc;

use serde_json::Value;

use super::super::{Output, Push, To};
use super::world::{Pull, Rows, World};
use crate::resource::{Answer, Past};
use crate::session_id::SessionId;

impl World {
    /// Carries the outputs out.
    pub(super) fn take(&mut self) {
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
