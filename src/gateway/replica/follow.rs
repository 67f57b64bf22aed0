//! What events do to a replica: their data is taken where that is safe, otherwise they ask for a
//! fetch.

use std::time::Instant;

use super::core::Replica;
use super::pending::{Pending, Touch};
use super::state::Element;
use super::tell::News;
use super::words::{Event, Moment, Terms};
use crate::channel::ChannelName;
use crate::publication::Change;

impl Replica {
    /// `create`, `update` or `delete`. `hole`: events before it were lost.
    pub(super) fn change(&mut self, event: &Event, hole: bool, now: Moment) {
        let change = event.change.as_deref();
        // What is not to last is no state: that is fetched.
        let taken = if event.terms() != Terms::default() {
            false
        } else if self.settings.collection {
            !hole && self.take_into_collection(event, now)
        } else {
            self.take_item(event, now)
        };
        if !taken {
            self.mark(change, now);
        }
    }

    /// Something may have happened that no event tells of.
    pub fn stir(&mut self, now: Moment) {
        self.mark(None, now);
        self.settle(now);
    }

    /// A fetch has to follow.
    pub(super) fn mark(&mut self, change: Option<&Change>, now: Moment) {
        self.coalesced += u64::from(self.pending.is_some());
        self.pending
            .get_or_insert_with(Pending::default)
            .add(change);
        if self.due.is_none() {
            self.due = Some(self.next_fetch(now));
        }
    }

    fn next_fetch(&self, now: Moment) -> Instant {
        let bounds = &self.settings.bounds;
        let soon = now.at + bounds.debounce;
        match self.last_fetch {
            Some(last) if self.settings.query => soon.max(last + bounds.spacing),
            _ => soon,
        }
    }

    /// Nothing is under way or called for: what is known stands for all events so far.
    fn is_settled(&self) -> bool {
        self.pending.is_none() && self.flight.is_none()
    }

    /// An event on an item: whether that is all that has to be done about it.
    fn take_item(&mut self, event: &Event, now: Moment) -> bool {
        let change = event.change.as_deref();
        let version = change.and_then(|change| change.version);
        let known = self.state.as_ref().and_then(|state| state.version);
        let deletes = &*event.name == "delete";
        let beyond = match (version, known) {
            (Some(version), Some(known)) if version <= known && !deletes => {
                self.take_known(None, event);
                return true;
            }
            (Some(_), Some(_)) => true,
            _ => false,
        };
        let ordered = self.settings.ordered && self.state.is_some() && self.flight.is_none();
        // A fetch for what happened before would answer for it, and for who did it.
        let quiet = match &self.flight {
            Some(flight) => self.pending.is_none() && flight.pending.is_none(),
            None => self.pending.is_none(),
        };
        if !(self.settings.shared && quiet && (beyond || ordered)) {
            return false;
        }
        let touch = Touch::of(change);
        if deletes {
            if self.flight.is_some() {
                return false;
            }
            self.as_of = self.seen;
            self.end(&touch, event.time, now);
            return true;
        }
        let data = &event.data;
        if !has_data(data) || data.len() > self.settings.bounds.body {
            return false;
        }
        if let Some(state) = &mut self.state {
            state.body = Some(data.clone());
            state.etag = None;
            state.code = 200;
            state.version = version.or(state.version);
            state.follow(now);
        }
        if let Some(flight) = &mut self.flight {
            flight.overtaken = true;
        }
        self.as_of = self.seen;
        let news = News {
            event: "update",
            data: data.clone(),
            item: None,
            show: Some(self.seen),
            time: event.time,
            terms: event.terms(),
        };
        self.tell(news, &touch, now);
        true
    }

    /// An event that tells of what is known already: only its writer learns that it was the one.
    fn take_known(&mut self, item: Option<&ChannelName>, event: &Event) {
        if self.is_settled() {
            self.as_of = self.seen;
        }
        let state = self.state.as_ref();
        let data = state.and_then(|state| match item {
            Some(item) => Some(state.items.as_ref()?.get(item)?.text.clone()),
            None => state.body.clone(),
        });
        let Some(data) = data else {
            return;
        };
        let news = News {
            event: "update",
            data,
            item: item.cloned(),
            show: None,
            time: event.time,
            terms: event.terms(),
        };
        self.tell_writers(news, &Touch::of(event.change.as_deref()));
    }

    /// An event on a collection: whether that is all that has to be done about it.
    fn take_into_collection(&mut self, event: &Event, now: Moment) -> bool {
        let settings = &self.settings;
        let trusted = settings.shared && !settings.query && self.is_settled();
        let Some(change) = event.change.as_deref() else {
            return false;
        };
        let (Some(item), Some(state)) = (&change.item, &mut self.state) else {
            return false;
        };
        let Some(items) = &mut state.items else {
            return false;
        };
        let known = items.get(item).map(|element| element.version);
        let deletes = &*event.name == "delete";
        let beyond = match (change.version, known) {
            (Some(version), Some(Some(known))) if version <= known && !deletes => {
                self.take_known(change.item.as_ref(), event);
                return true;
            }
            (Some(_), Some(Some(_))) => true,
            _ => false,
        };
        // An unknown item may be new, or may have been deleted before this late event.
        let ordered = settings.ordered && (known.is_some() || &*event.name == "create");
        if !trusted || !(beyond || ordered) || !(deletes || has_data(&event.data)) {
            return false;
        }
        let name = if deletes {
            items.remove(item);
            "delete"
        } else {
            let element = Element {
                text: event.data.clone(),
                version: change.version,
            };
            match items.insert(item.clone(), element) {
                Some(_) => "update",
                None => "create",
            }
        };
        state.body = None;
        state.etag = None;
        self.as_of = self.seen;
        let data = if deletes { NULL } else { event.data.clone() };
        let news = News {
            event: name,
            data,
            item: Some(item.clone()),
            show: Some(self.seen),
            time: event.time,
            terms: event.terms(),
        };
        self.tell(news, &Touch::of(Some(change)), now);
        true
    }

    /// An event that is not about the resource's state.
    pub(super) fn pass(&mut self, event: &Event, now: Moment) {
        // Shown while something is on its way, its offset would claim that too.
        let show = self.is_settled().then_some(self.seen);
        if show.is_some() {
            self.as_of = self.seen;
        }
        let change = event.change.as_deref();
        let news = News {
            event: &event.name,
            data: event.data.clone(),
            item: change.and_then(|change| change.item.clone()),
            show,
            time: event.time,
            terms: event.terms(),
        };
        self.tell(news, &Touch::of(change), now);
    }
}

/// JSON's `null`.
pub(super) const NULL: bytes::Bytes = bytes::Bytes::from_static(b"null");

fn has_data(data: &[u8]) -> bool {
    !data.is_empty() && data != b"null"
}
