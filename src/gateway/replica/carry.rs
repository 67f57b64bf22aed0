//! Carries out what a replica wants done: under its lock, so that everything reaches a worker in
//! the replica's order, except for fetches, which follow when the lock is free.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::words::{Moment, Need, Output, Push, To};
use crate::channel::ChannelName;
use crate::hub::{Hub, SessionAction, SessionFilter, Target, WorkerMessage};
use crate::metrics::{Gateway as Counts, ResultLabel, WhatLabel};
use crate::publication::{Admission, Change, Form, Position, Publication};
use crate::resource::{Answer, Caller, Origin};
use crate::session_id::SessionId;

/// A fetch that is to be begun.
pub(super) struct Begin {
    pub(super) ticket: u64,
    pub(super) caller: Arc<Caller>,
    pub(super) need: Need,
    pub(super) generation: u64,
}

/// What is left to do without the lock.
#[derive(Default)]
pub(super) struct After {
    pub(super) fetches: Vec<Begin>,
    pub(super) undo: Vec<Origin>,
    /// Sessions that may not be here after all.
    pub(super) refused: Vec<SessionId>,
}

impl After {
    pub(super) fn is_empty(&self) -> bool {
        self.fetches.is_empty() && self.undo.is_empty() && self.refused.is_empty()
    }
}

/// Where outputs go.
pub(super) struct Carrier<'a> {
    pub(super) hub: &'a Hub,
    pub(super) uri: &'a ChannelName,
    pub(super) now: Moment,
    pub(super) admission: &'a mut Option<Admission>,
}

impl Carrier<'_> {
    pub(super) fn carry(&mut self, outputs: Vec<Output>, after: &mut After) {
        for output in outputs {
            match output {
                Output::Fetch {
                    ticket,
                    caller,
                    need,
                    again,
                } => {
                    self.counts().refetches.inc_by(u64::from(again));
                    let generation = self.now.generation;
                    after.fetches.push(Begin {
                        ticket,
                        caller,
                        need,
                        generation,
                    });
                }
                Output::Answer { origin, answer } => {
                    if answer.bound.is_none() {
                        after.refused.push(origin.session);
                    }
                    self.answer(origin, answer);
                }
                Output::Push(push) => self.push(*push),
                Output::Unsubscribe { origin, reason } => self.unsubscribe(origin, reason),
                Output::Gap { to, before, why } => {
                    let gaps = &self.counts().gaps;
                    gaps.get_or_create(&WhatLabel { what: why })
                        .inc_by(to.len() as u64);
                    self.push(gap(to, before.as_ref(), self.now));
                }
                Output::Undo { origin } => after.undo.push(origin),
            }
        }
    }

    fn counts(&self) -> &Counts {
        &self.hub.metrics().gateway
    }

    fn answer(&self, origin: Origin, answer: Box<Answer>) {
        if let Ok(success) = &answer.result
            && let Some(recovered) = success.recovered
        {
            let result = if recovered { "recovered" } else { "snapshot" };
            let recoveries = &self.counts().recoveries;
            recoveries.get_or_create(&ResultLabel { result }).inc();
        }
        let target = target(&origin);
        self.hub
            .post(origin.worker, WorkerMessage::Answer { target, answer });
    }

    fn push(&mut self, push: Push) {
        let Push {
            to,
            event,
            data,
            item,
            position,
            re,
            time,
            expires,
        } = push;
        let (sequence, epoch) = match position {
            Some(position) => (position.offset, Some(position.epoch)),
            None => (0, None),
        };
        let told = item.is_some() || re.is_some();
        let change = told.then(|| {
            Arc::new(Change {
                item,
                re,
                ..Change::default()
            })
        });
        let publication = Publication {
            channel: self.uri.clone(),
            event,
            data,
            sequence,
            epoch,
            time,
            accepted: Instant::now(),
            expires,
            exclude: match &to {
                To::All(except) => *except,
                To::These(_) => None,
            },
            form: Form::Json,
            user: None,
            revision: 0,
            change,
        };
        let admission = self.admission.take();
        match to {
            To::All(_) => {
                self.hub.fan_out(publication, admission);
            }
            To::These(origins) => self.deliver(origins, publication, admission),
        }
    }

    /// Once to each worker.
    fn deliver(
        &self,
        mut origins: Vec<Origin>,
        publication: Publication,
        admission: Option<Admission>,
    ) {
        let delivery = Arc::new(self.hub.delivery(publication, admission));
        origins.sort_unstable_by_key(|origin| origin.worker);
        for group in origins.chunk_by(|a, b| a.worker == b.worker) {
            let Some(first) = group.first() else { continue };
            let message = WorkerMessage::DeliverTo {
                delivery: Arc::clone(&delivery),
                targets: group.iter().map(target).collect(),
            };
            self.hub.post(first.worker, message);
        }
    }

    fn unsubscribe(&self, origin: Origin, reason: &'static str) {
        // Nobody waits for the count.
        let (reply, _) = oneshot::channel();
        let filter = SessionFilter {
            session: Some(origin.session),
            ..SessionFilter::default()
        };
        let action = SessionAction::Unsubscribe(self.uri.clone(), reason.into());
        let message = WorkerMessage::Act {
            filter,
            action,
            reply,
        };
        self.hub.post(origin.worker, message);
    }
}

fn target(origin: &Origin) -> Target {
    Target {
        connection: origin.connection,
        session: origin.session,
    }
}

/// `pogo:gap` with the position before the loss.
fn gap(to: Vec<Origin>, before: Option<&Position>, now: Moment) -> Push {
    let data = match before {
        Some(Position { epoch, offset }) => {
            serde_json::json!({"epoch": &**epoch, "offset": offset}).to_string()
        }
        None => "{}".to_owned(),
    };
    Push {
        to: To::These(to),
        event: "pogo:gap".into(),
        data: data.into(),
        item: None,
        position: None,
        re: None,
        time: now.unix_ms,
        expires: None,
    }
}
