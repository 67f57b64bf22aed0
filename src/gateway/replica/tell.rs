//! What the bound are told, who among them, and with which offset.

use super::core::{Join, Replica};
use super::pending::{Own, Touch};
use super::ring::Entry;
use super::words::{Attach, Moment, Output, Push, Terms, To};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::Position;
use crate::resource::{Answer, Bound, Failure, Origin, Past, Success};
use crate::session_id::SessionId;

/// One change as it is told.
pub(super) struct News<'a> {
    pub(super) event: &'a str,
    pub(super) data: bytes::Bytes,
    pub(super) item: Option<ChannelName>,
    /// The offset that it stands for, where it is the last to stand for it.
    pub(super) show: Option<u64>,
    pub(super) time: u64,
    pub(super) terms: Terms,
}

/// What a client that comes back is given.
pub(super) enum Recovery {
    /// What it missed.
    Replay(Vec<Past>),
    /// The item as it is now.
    State,
    /// That it has to start over.
    No,
}

impl Replica {
    /// Tells everyone who is bound and not held, and remembers it.
    pub(super) fn tell(&mut self, news: News<'_>, touch: &Touch, now: Moment) {
        let own = touch.own();
        let show = news
            .show
            .filter(|offset| self.epoch.is_some() && *offset > self.told);
        self.told = show.unwrap_or(self.told);
        let entry = Entry {
            event: news.event.into(),
            data: news.data,
            item: news.item,
            offset: news.show.unwrap_or(self.as_of),
            shown: show.is_some(),
            time: news.time,
            terms: news.terms,
            without: own
                .iter()
                .filter(|(_, own)| *own == Own::Nothing)
                .map(|(session, _)| *session)
                .collect(),
        };
        let apart: Vec<SessionId> = own.iter().map(|(session, _)| *session).collect();
        let to = if self.settings.shared && self.held == 0 && apart.len() <= 1 {
            let anyone = self.subscribers.values().any(|one| one.answered);
            anyone.then(|| To::All(apart.first().copied()))
        } else {
            let origins: Vec<Origin> = self.receivers(|session| !apart.contains(session));
            (!origins.is_empty()).then_some(To::These(origins))
        };
        if let Some(to) = to {
            self.push(to, &entry, None);
        }
        for (session, own) in own {
            if let Own::Copy(re) = own {
                self.copy(session, &entry, re);
            }
        }
        self.ring.push(entry, &self.settings.bounds, now.at);
    }

    /// A change that everyone knows already: only its writers are told that it was theirs.
    pub(super) fn tell_writers(&mut self, news: News<'_>, touch: &Touch) {
        let entry = Entry {
            event: news.event.into(),
            data: news.data,
            item: news.item,
            offset: self.as_of,
            shown: false,
            time: news.time,
            terms: news.terms,
            without: Vec::new(),
        };
        for (session, own) in touch.own() {
            if let Own::Copy(re) = own {
                self.copy(session, &entry, re);
            }
        }
    }

    fn copy(&mut self, session: SessionId, entry: &Entry, re: bytes::Bytes) {
        let to = self.receivers(|one| *one == session);
        if !to.is_empty() {
            self.push(To::These(to), entry, Some(re));
        }
    }

    /// Those who are bound and not held.
    pub(super) fn receivers(&self, which: impl Fn(&SessionId) -> bool) -> Vec<Origin> {
        self.subscribers
            .iter()
            .filter(|(session, one)| one.answered && one.held.is_none() && which(session))
            .map(|(_, one)| one.origin)
            .collect()
    }

    fn push(&mut self, to: To, entry: &Entry, re: Option<bytes::Bytes>) {
        let position = entry.shown.then(|| self.position(entry.offset)).flatten();
        self.out.push(Output::Push(Box::new(Push {
            to,
            event: entry.event.clone(),
            data: entry.data.clone(),
            item: entry.item.clone(),
            position,
            re,
            time: entry.time,
            expires: entry.terms.expires,
        })));
    }

    /// What a session missed while it was held.
    pub(super) fn catch_up(
        &mut self,
        origin: Origin,
        number: u64,
        before: Option<Position>,
        now: Moment,
    ) {
        self.ring.trim(&self.settings.bounds, now.at);
        let Some(missed) = self.ring.from(number, now.at) else {
            let to = vec![origin];
            let why = "held";
            self.out.push(Output::Gap { to, before, why });
            return;
        };
        let missed: Vec<Entry> = missed
            .filter(|entry| !entry.without.contains(&origin.session))
            .cloned()
            .collect();
        for entry in missed {
            self.push(To::These(vec![origin]), &entry, None);
        }
    }

    /// Continuity is lost: everyone who is bound is told to start over.
    pub(super) fn break_off(&mut self, covers: u64, why: &'static str) {
        let before = self.position(self.as_of);
        let to = self.receivers(|_| true);
        if !to.is_empty() {
            self.out.push(Output::Gap { to, before, why });
        }
        self.ring.cut(covers);
    }

    /// There is no such resource any more.
    pub(super) fn end(&mut self, touch: &Touch, time: u64, now: Moment) {
        let known = self.state.is_some() || !self.receivers(|_| true).is_empty();
        if known && !self.settings.collection {
            let news = News {
                event: "delete",
                data: super::follow::NULL,
                item: None,
                show: Some(self.as_of),
                time,
                terms: Terms::default(),
            };
            self.tell(news, touch, now);
        }
        if self.settings.collection {
            // What it holds when it comes back is not told one by one.
            self.ring.cut(self.as_of + 1);
        }
        self.state = None;
        self.absent = true;
        self.pending = None;
        self.due = None;
        let reason = ErrorCode::Gone.name();
        for origin in self.receivers(|_| true) {
            self.out.push(Output::Unsubscribe { origin, reason });
            self.unbind(origin.session, now);
        }
        for one in self.subscribers.values_mut() {
            one.ended |= one.answered;
        }
    }

    pub(super) fn recovery(&self, join: &Join, now: Moment) -> Option<Recovery> {
        let since = join.attach.ask.recover.as_ref()?;
        if self.epoch.as_ref() != Some(&since.position.epoch) {
            // What was counted in another epoch says nothing.
            return Some(Recovery::No);
        }
        if let Some(missed) = self.ring.since(since.position.offset, now.at) {
            let old = since.session;
            let missed = missed
                .filter(|entry| !old.is_some_and(|old| entry.without.contains(&old)))
                .map(past);
            return Some(Recovery::Replay(missed.collect()));
        }
        Some(if self.settings.collection {
            Recovery::No
        } else {
            Recovery::State
        })
    }

    /// Answers a join with what is known now.
    pub(super) fn answer(&mut self, join: Join, now: Moment) {
        let recovery = self.recovery(&join, now);
        let Attach {
            origin,
            call,
            ask,
            fresh: joins,
            ..
        } = join.attach;
        let state = self.state.as_ref();
        let mut success = Success::default();
        if let Some(given) = ask.given {
            success = given;
        } else if let Some(state) = state.filter(|_| ask.data) {
            success.code = Some(state.code);
            success.data = state.body.clone().unwrap_or_default();
            success.etag = state.etag.clone();
        }
        match recovery {
            Some(Recovery::Replay(missed)) => {
                success.recovered = Some(true);
                success.publications = missed;
            }
            Some(Recovery::State) => {
                success.recovered = Some(true);
                success.publications = state
                    .map(|state| self.whole(state, now))
                    .into_iter()
                    .collect();
            }
            Some(Recovery::No) => success.recovered = Some(false),
            None => {}
        }
        if ask.rewind > 0 && ask.recover.is_none() {
            let last = self.ring.last(ask.rewind, now.at);
            success.publications = last.into_iter().map(past).collect();
        }
        let one = self.subscribers.get_mut(&origin.session);
        let fresh = one.is_some_and(|one| {
            one.answered = true;
            let first = joins && !one.joined;
            one.joined |= joins;
            first
        });
        let bound = Bound {
            uri: self.uri.clone(),
            position: self.position(self.as_of),
            fresh,
        };
        self.told = self.told.max(self.as_of);
        self.out.push(Output::Answer {
            origin,
            answer: Box::new(Answer {
                call,
                result: Ok(success),
                bound: Some(bound),
            }),
        });
        if joins && !fresh {
            // It was on the uri already: one join is enough.
            self.out.push(Output::Undo { origin });
        }
    }

    fn whole(&self, state: &super::state::State, now: Moment) -> Past {
        Past {
            event: "update".into(),
            item: None,
            data: state.body.clone().unwrap_or_default(),
            offset: self.as_of,
            time: now.unix_ms,
        }
    }

    /// Fails the joins whose fetch `ticket` was.
    pub(super) fn fail_joins(&mut self, ticket: u64, failure: &Failure, now: Moment) {
        let held: Vec<SessionId> = self
            .joins
            .iter()
            .map(|join| join.attach.origin.session)
            .filter(|session| self.is_held(*session))
            .collect();
        self.refuse(failure, now, |join| {
            join.ticket <= ticket && !held.contains(&join.attach.origin.session)
        });
    }
}

fn past(entry: &Entry) -> Past {
    Past {
        event: entry.event.clone(),
        item: entry.item.clone(),
        data: entry.data.clone(),
        offset: entry.offset,
        time: entry.time,
    }
}
