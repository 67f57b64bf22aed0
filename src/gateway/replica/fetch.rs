//! When a replica fetches, as whom, and what it makes of the result.

use std::time::Duration;

use super::core::{Flight, Join, Replica, failure};
use super::pending::Pending;
use super::state::{State, differences, elements};
use super::tell::{News, Recovery};
use super::words::{Fetched, Moment, Need, Output, Snapshot, Terms};
use crate::code::ErrorCode;
use crate::resource::Failure;
use crate::session_id::SessionId;

impl Replica {
    /// A fetch has come back.
    pub fn fetched(&mut self, ticket: u64, fetched: Fetched, now: Moment) {
        let Some(flight) = self.flight.take_if(|flight| flight.ticket == ticket) else {
            return;
        };
        self.schedule_poll(now);
        match fetched {
            Fetched::Snapshot(snapshot) => self.snapshot(flight, snapshot, now),
            Fetched::Gone(failure) => self.gone(flight, &failure, now),
            Fetched::Denied(failure) => {
                let (session, turn) = (flight.session, flight.turn);
                self.put_back(flight);
                // What an older token of its is refused says nothing of the newer.
                if self.turn(session) == Some(turn) {
                    self.evict(session, &failure, now);
                }
                // Somebody else may still see it.
                if self.pending.is_some() {
                    self.due = Some(now.at);
                }
            }
            Fetched::Failed(failure) => self.failed(flight, &failure, now),
        }
        self.settle(now);
    }

    /// Answers whoever can be answered, and fetches for the others.
    pub(super) fn settle(&mut self, now: Moment) {
        let mut index = 0;
        while index < self.joins.len() {
            if self.is_ready(&self.joins[index], now) {
                let join = self.joins.remove(index);
                self.answer(join, now);
            } else {
                index += 1;
            }
        }
        let waits = |join: &Join| !self.is_held(join.attach.origin.session);
        if self.flight.is_none() && !self.settling && self.joins.iter().any(waits) {
            self.dispatch(now);
        }
    }

    pub(super) fn is_held(&self, session: SessionId) -> bool {
        self.subscribers
            .get(&session)
            .is_some_and(|one| one.held.is_some())
    }

    fn is_ready(&self, join: &Join, now: Moment) -> bool {
        let ask = &join.attach.ask;
        if self.is_held(join.attach.origin.session) {
            return false;
        }
        if ask.given.is_some() {
            return true;
        }
        let restate = matches!(self.recovery(join, now), Some(Recovery::State));
        let data = ask.data || restate;
        let Some(state) = &self.state else {
            return !self.absent && !data && !self.settings.collection;
        };
        if !data {
            return true;
        }
        // What came before he did is his only while the upstream lets it be kept: not every change
        // is told.
        let lasts = state.came >= join.came || state.until.is_some_and(|until| now.at < until);
        let fresh = lasts && state.generation >= join.generation && state.body.is_some();
        let patient = join.fetches <= self.settings.bounds.refetches;
        fresh && (self.pending.is_none() || !patient)
    }

    /// The session whose credentials are used: of one who waits, otherwise of one who is bound.
    pub(super) fn spokesman(&self) -> Option<SessionId> {
        let mut joining = self.joins.iter().map(|join| join.attach.origin.session);
        joining.find(|session| !self.is_held(*session)).or_else(|| {
            let mut bound = self.subscribers.iter();
            let (session, _) = bound.find(|(_, one)| one.answered && one.held.is_none())?;
            Some(*session)
        })
    }

    pub(super) fn dispatch(&mut self, now: Moment) {
        let Some(session) = self.spokesman() else {
            return;
        };
        let Some(caller) = self.subscribers.get(&session).map(|one| one.caller.clone()) else {
            return;
        };
        let again = self.pending.is_some();
        let ticket = self.ticket;
        self.ticket += 1;
        self.flight = Some(Flight {
            ticket,
            session,
            turn: caller.turn,
            covers: self.seen,
            generation: now.generation,
            pending: self.pending.take(),
            overtaken: false,
        });
        self.due = None;
        self.poll = None;
        self.settling = false;
        self.last_fetch = Some(now.at);
        let need = match std::mem::take(&mut self.force) {
            true => Need::Upstream,
            false => Need::Current,
        };
        self.out.push(Output::Fetch {
            ticket,
            caller,
            need,
            again,
        });
    }

    pub(super) fn schedule_poll(&mut self, now: Moment) {
        self.poll = self.settings.revalidate.map(|every| {
            // Spread by what differs from replica to replica and from time to time.
            let name = self.uri.as_str().bytes();
            let seed = name.fold(self.ticket, |seed, byte| {
                (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let part = u32::try_from(seed >> 44 & 0xff).unwrap_or(0);
            now.at + every.mul_f64(0.9) + every.mul_f64(0.2) * part / 256
        });
    }

    /// What a fetch was to settle is open again.
    fn put_back(&mut self, flight: Flight) {
        if let Some(mut pending) = flight.pending {
            pending.merge(self.pending.take().unwrap_or_default());
            self.pending = Some(pending);
        }
    }

    /// Whether an answer is older than what was known when it was asked for.
    fn is_older(
        &self,
        flight: &Flight,
        snapshot: &Snapshot,
        new: Option<&super::state::Elements>,
    ) -> bool {
        let told = flight.pending.as_ref();
        if !self.settings.collection {
            let told = told.and_then(Pending::version);
            let known = match flight.overtaken {
                true => None,
                false => self.state.as_ref().and_then(|state| state.version),
            };
            return snapshot
                .version
                .is_some_and(|version| Some(version) < known.max(told));
        }
        let known = self.state.as_ref().and_then(|state| state.items.as_ref());
        new.into_iter().flatten().any(|(item, element)| {
            let known = known.and_then(|known| known.get(item)?.version);
            let told = told.and_then(|told| told.touch(Some(item)).version);
            element.version.is_some() && element.version < known.max(told)
        })
    }

    fn snapshot(&mut self, flight: Flight, snapshot: Snapshot, now: Moment) {
        let new = match self.settings.collection {
            true => elements(&snapshot.body, &self.settings),
            false => None,
        };
        if self.is_older(&flight, &snapshot, new.as_ref()) {
            self.outdated(flight, now);
            return;
        }
        self.settles = 0;
        self.failures = 0;
        let back = std::mem::take(&mut self.absent);
        for join in &mut self.joins {
            join.fetches += u32::from(join.ticket <= flight.ticket);
        }
        let state = State::new(snapshot, new.clone(), (flight.generation, now.at));
        if let Some(new) = new {
            self.apply_collection(flight, state, &new, now);
        } else {
            self.apply_whole(&flight, state, back, now);
        }
    }

    /// The upstream answered with something older than what is known: it is asked again.
    fn outdated(&mut self, flight: Flight, now: Moment) {
        let ticket = flight.ticket;
        self.put_back(flight);
        self.settles += 1;
        self.force = true;
        if self.settles <= self.settings.bounds.settles {
            self.settling = true;
            self.due = Some(now.at + self.settings.bounds.settle);
            return;
        }
        // It stays behind, or counts anew: what was known is forgotten, and everyone told.
        self.settles = 0;
        self.break_off(self.seen, "outdated");
        self.as_of = self.seen;
        self.state = None;
        self.pending = None;
        self.due = None;
        let behind = failure(
            ErrorCode::Unavailable,
            "the upstream's answer is out of date",
        );
        self.fail_joins(ticket, &behind, now);
    }

    /// An item, or a collection that cannot be compared. `back`: it had been gone.
    fn apply_whole(&mut self, flight: &Flight, state: State, back: bool, now: Moment) {
        if flight.overtaken
            && let Some(known) = &mut self.state
            && state.version <= known.version
        {
            known.generation = known.generation.max(state.generation);
            known.came = now.at;
            return;
        }
        let touch = flight.pending.as_ref().map(|pending| pending.touch(None));
        let changed = match &self.state {
            Some(old) => old.body != state.body,
            None => back || touch.is_some(),
        };
        let first = self.state.is_none();
        let data = state.body.clone().unwrap_or_default();
        self.state = Some(state);
        if self.settings.collection {
            if changed && !(first && self.receivers(|_| true).is_empty()) {
                self.break_off(flight.covers, "changes");
            }
            self.cover(flight.covers);
            return;
        }
        self.cover(flight.covers);
        let news = News {
            event: "update",
            data,
            item: None,
            show: Some(flight.covers),
            time: now.unix_ms,
            terms: Terms::default(),
        };
        match touch {
            touch if changed => self.tell(news, &touch.unwrap_or_default(), now),
            Some(touch) => self.tell_writers(news, &touch),
            None => {}
        }
    }

    fn cover(&mut self, covers: u64) {
        self.as_of = self.as_of.max(covers);
    }

    fn apply_collection(
        &mut self,
        flight: Flight,
        state: State,
        new: &super::state::Elements,
        now: Moment,
    ) {
        let old = self.state.replace(state);
        let covers = flight.covers;
        let pending = flight.pending.unwrap_or_default();
        let Some(old) = old else {
            self.cover(covers);
            return;
        };
        let found = old.items.as_ref().map(|old| differences(old, new));
        let found = found.filter(|found| found.len() <= self.settings.bounds.changes);
        let Some(found) = found else {
            self.break_off(covers, "changes");
            self.cover(covers);
            return;
        };
        self.cover(covers);
        // Of several with one offset only the last shows it.
        let last = found.len();
        for (number, difference) in found.iter().enumerate() {
            let touch = pending.touch(Some(&difference.item));
            let show = if number + 1 == last {
                Some(covers)
            } else {
                None
            };
            let news = News {
                event: difference.event,
                data: difference.data.clone(),
                item: Some(difference.item.clone()),
                show,
                time: now.unix_ms,
                terms: Terms::default(),
            };
            self.tell(news, &touch, now);
        }
        for item in pending.items() {
            let new = new.iter().find(|(name, _)| name == item);
            let differs = found.iter().any(|difference| difference.item == *item);
            if let Some((_, element)) = new.filter(|_| !differs) {
                let news = News {
                    event: "update",
                    data: element.text.clone(),
                    item: Some(item.clone()),
                    show: None,
                    time: now.unix_ms,
                    terms: Terms::default(),
                };
                self.tell_writers(news, &pending.touch(Some(item)));
            }
        }
    }

    fn gone(&mut self, flight: Flight, failure: &Failure, now: Moment) {
        if self.pending.is_some() && self.settles < self.settings.bounds.refetches {
            // It may have come back with what happened since.
            self.settles += 1;
            self.put_back(flight);
            self.due = Some(now.at);
            return;
        }
        self.settles = 0;
        self.failures = 0;
        self.cover(flight.covers);
        let touch = flight.pending.map(|pending| pending.touch(None));
        self.end(&touch.unwrap_or_default(), now.unix_ms, now);
        self.fail_joins(flight.ticket, failure, now);
    }

    fn failed(&mut self, flight: Flight, failure: &Failure, now: Moment) {
        let (ticket, session) = (flight.ticket, flight.session);
        self.put_back(flight);
        if !self.is_held(session) {
            let own = |join: &Join| join.ticket <= ticket && join.attach.origin.session == session;
            self.refuse(failure, now, own);
        }
        // What the upstream said to him is nobody else's.
        let others = Failure {
            details: None,
            ..failure.clone()
        };
        self.fail_joins(ticket, &others, now);
        if self.pending.is_none() {
            return;
        }
        let bounds = &self.settings.bounds;
        self.failures += 1;
        if self.failures > bounds.retries {
            // The next event, or whoever asks, tries again.
            self.failures = 0;
            self.due = None;
            self.break_off(self.seen, "failed");
            return;
        }
        let doubled = 1_u32 << (self.failures - 1).min(16);
        let wait: Duration = bounds.retry.saturating_mul(doubled).min(bounds.retry_most);
        self.due = Some(now.at + wait);
    }
}
