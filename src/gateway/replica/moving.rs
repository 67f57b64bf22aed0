//! Sessions that go from one replica to another, because their audience or the endpoint is another
//! now.

use super::core::{Replica, Subscriber};
use super::words::{Attach, Moment, Output};
use crate::publication::Position;
use crate::session_id::SessionId;

/// Who was in a replica that is given up.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) bound: Vec<Subscriber>,
    pub(super) joining: Vec<Attach>,
    /// Where the stream stood.
    pub(super) position: Option<Position>,
}

impl Replica {
    /// Everyone leaves, unanswered.
    pub(super) fn evacuate(&mut self, now: Moment) -> Leaving {
        let subscribers = std::mem::take(&mut self.subscribers);
        let joins = std::mem::take(&mut self.joins);
        self.held = 0;
        self.empty = Some(now.at);
        Leaving {
            bound: subscribers.into_values().collect(),
            joining: joins.into_iter().map(|join| join.attach).collect(),
            position: self.position(self.seen),
        }
    }

    /// One of them leaves, with what it waits for.
    pub(super) fn release(&mut self, session: SessionId, now: Moment) -> Option<Leaving> {
        let subscriber = self.subscribers.remove(&session)?;
        self.held -= usize::from(subscriber.held.is_some());
        if self.subscribers.is_empty() {
            self.empty = Some(now.at);
        }
        let of_it = |join: &mut super::core::Join| join.attach.origin.session == session;
        let joining = self.joins.extract_if(.., of_it);
        Some(Leaving {
            joining: joining.map(|join| join.attach).collect(),
            bound: vec![subscriber],
            position: self.position(self.seen),
        })
    }

    /// Takes in those who come from another replica. They are told of a gap, since what they know
    /// was somebody else's; who is held, as soon as it may be.
    pub(super) fn take_in(&mut self, leaving: Leaving, now: Moment) {
        if let Some(position) = &leaving.position {
            self.arrive(position, now);
        }
        for mut subscriber in leaving.bound {
            let (session, origin) = (subscriber.origin.session, subscriber.origin);
            if self.has(session) {
                continue;
            }
            self.empty = None;
            if subscriber.held.is_some() {
                // Before the first push there is: that is lost.
                subscriber.held = Some((0, self.position(self.as_of)));
                self.held += 1;
            } else if subscriber.answered {
                let before = self.position(self.as_of);
                let (to, why) = (vec![origin], "moved");
                self.out.push(Output::Gap { to, before, why });
            }
            subscriber.ended = false;
            self.told = self.told.max(self.as_of);
            self.subscribers.insert(session, subscriber);
        }
        for attach in leaving.joining {
            self.attach(attach, now);
        }
        self.settle(now);
    }
}
