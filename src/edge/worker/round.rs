//! Publications under way to a channel's subscribers, like passengers of a wheel that turns over
//! them. A publication gets on wherever the wheel stands and off after one full turn, so whoever
//! comes next gets everything under way in one write, and what is published during a walk costs
//! no walk of its own.
//!
//! Invariants: the cursor is a position, or 0; what got on first gets off first; all that is
//! under way is still to come for the subscriber at the cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use super::subscribers::Subscriber;
use crate::hub::{Delivery, Target};
use crate::session_id::SessionId;

/// Most publications under way at a time: each subscriber of a slice gets them all.
const MOST_UNDER_WAY: usize = 64;

/// A publication that waits or is under way.
#[derive(Debug, Clone)]
pub(super) struct Passing {
    /// It.
    pub(super) delivery: Arc<Delivery>,
    /// Who alone gets it, by connection; none: all.
    targets: Option<Box<[Target]>>,
    /// The newest subscription when it came. Those that are newer have got it with their join.
    newest: u64,
    /// How many positions are to come, the cursor's first.
    left: u32,
}

impl Passing {
    /// One that has just come, when `newest` was the newest subscription.
    pub(super) fn new(
        delivery: Arc<Delivery>,
        mut targets: Option<Box<[Target]>>,
        newest: u64,
    ) -> Self {
        if let Some(targets) = &mut targets {
            targets.sort_unstable_by_key(|target| target.connection);
        }
        Self {
            delivery,
            targets,
            newest,
            left: 0,
        }
    }

    /// Whether all who are there when it comes get it.
    pub(super) fn is_for_all(&self) -> bool {
        self.targets.is_none()
    }

    /// Whether `subscriber` came after it.
    pub(super) fn precedes(&self, subscriber: &Subscriber) -> bool {
        self.newest < subscriber.id
    }

    /// Whether it is for `subscriber`, whose session is `id`.
    pub(super) fn is_for(&self, subscriber: &Subscriber, id: SessionId) -> bool {
        let connection = subscriber.connection;
        let named = |targets: &[Target]| {
            let found = targets.binary_search_by_key(&connection, |target| target.connection);
            found.is_ok_and(|at| targets[at].session == id)
        };
        !self.precedes(subscriber) && self.targets.as_deref().is_none_or(named)
    }
}

/// The publications of a channel. Without any it owns no memory but what it is given again.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Those that found too many under way.
    waiting: VecDeque<Passing>,
    passing: Vec<Passing>,
    cursor: u32,
}

impl Round {
    /// Whether nothing is left to do.
    pub(super) fn is_empty(&self) -> bool {
        self.passing.is_empty() && self.waiting.is_empty()
    }

    /// For how many publications there is room without allocating.
    pub(super) fn capacity(&self) -> usize {
        self.passing.capacity().max(self.waiting.capacity())
    }

    /// Makes an empty one as good as new, for another channel.
    pub(super) fn rest(&mut self) {
        self.cursor = 0;
    }

    /// Lets a publication wait for the next slice.
    pub(super) fn push(&mut self, publication: Passing) {
        self.waiting.push_back(publication);
    }

    /// Takes up what waits, for `subscribers`: what the next ones get, the position of the first
    /// and how many in a row get exactly that. Give the list back with [`Self::end_slice`].
    pub(super) fn begin_slice(&mut self, subscribers: usize) -> (Vec<Passing>, usize, usize) {
        let taken = self.waiting.len().min(MOST_UNDER_WAY - self.passing.len());
        let left = super::table::key(subscribers);
        let waiting = self.waiting.drain(..taken);
        self.passing
            .extend(waiting.map(|one| Passing { left, ..one }));
        let most = self.passing.first().map_or(0, |first| first.left);
        let passing = std::mem::take(&mut self.passing);
        (passing, self.cursor as usize, most as usize)
    }

    /// Ends a slice that `walked` of so many `subscribers` have had.
    pub(super) fn end_slice(
        &mut self,
        mut passing: Vec<Passing>,
        walked: usize,
        subscribers: usize,
    ) {
        let walked = super::table::key(walked);
        for one in &mut passing {
            one.left = one.left.saturating_sub(walked);
        }
        let done = passing.partition_point(|one| one.left == 0);
        passing.drain(..done);
        self.passing = passing;
        let subscribers = super::table::key(subscribers).max(1);
        self.cursor = (self.cursor + walked) % subscribers;
    }

    /// What is still to come for the subscriber at `position` of so many.
    pub(super) fn rest_of(&self, position: usize, subscribers: usize) -> Vec<Passing> {
        let ahead = self.ahead(position, subscribers);
        let passing = self.passing.iter().filter(|one| ahead < one.left);
        passing.chain(&self.waiting).cloned().collect()
    }

    /// How many positions after the cursor's this one is.
    fn ahead(&self, position: usize, subscribers: usize) -> u32 {
        let (at, end) = (super::table::key(position), super::table::key(subscribers));
        if at < self.cursor {
            at + end - self.cursor
        } else {
            at - self.cursor
        }
    }

    /// A subscriber came at the end, behind so many others. What has still to pass the end
    /// passes it as well, and is recognised as had where it is.
    pub(super) fn joined(&mut self, others: usize) {
        let end = super::table::key(others);
        for one in &mut self.passing {
            if self.cursor + one.left > end {
                one.left += 1;
            }
        }
    }

    /// The positions at which those behind have something else to come than those before, in
    /// ascending order, for a list of so many subscribers.
    pub(super) fn borders(&self, subscribers: usize) -> impl Iterator<Item = usize> + '_ {
        let (end, cursor) = (super::table::key(subscribers), self.cursor);
        let ends = move || self.passing.iter().map(move |one| cursor + one.left);
        let beyond = ends().filter(move |at| *at >= end).map(move |at| at - end);
        let before = ends().filter(move |at| *at < end);
        let all = beyond.chain([cursor]).chain(before);
        all.map(|at| at as usize)
    }

    /// The subscriber at `position` of so many went, and each stretch between two borders behind
    /// it has moved up by one.
    pub(super) fn left(&mut self, position: usize, subscribers: usize) {
        let (gone, end) = (super::table::key(position), super::table::key(subscribers));
        let ahead = self.ahead(position, subscribers);
        for one in &mut self.passing {
            one.left -= u32::from(ahead < one.left);
        }
        self.cursor -= u32::from(gone < self.cursor);
        if self.cursor + 1 >= end {
            self.cursor = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::edge::worker::subscribers::Subscribers;
    use crate::protocol::Spelling;
    use crate::publication::Publication;

    fn delivery(sequence: u64) -> Arc<Delivery> {
        let publication = Publication {
            channel: crate::channel::ChannelName::parse("a").unwrap(),
            event: "e".into(),
            data: "1".into(),
            sequence,
            epoch: None,
            time: 0,
            accepted: Instant::now(),
            expires: None,
            exclude: None,
            form: crate::publication::Form::Json,
            user: None,
            revision: 0,
            change: None,
        };
        let metrics = crate::metrics::Metrics::new();
        let deflater = Arc::new(crate::protocol::deflate::Deflater::new(0, &metrics));
        let encodings = metrics.encodings;
        Arc::new(Delivery::new(publication, None, deflater, encodings))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Publish,
        Join,
        Leave(prop::sample::Index),
        Slice(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Publish),
            2 => Just(Step::Join),
            2 => any::<prop::sample::Index>().prop_map(Step::Leave),
            3 => (1..9_usize).prop_map(Step::Slice),
        ]
    }

    /// A channel as the worker keeps it, and what each subscriber has met.
    #[derive(Default)]
    struct Model {
        subscribers: Subscribers,
        round: Round,
        /// By id: the place, how much was published before it came, and what it has met.
        known: BTreeMap<u64, (u32, u64, Vec<u64>)>,
        last: u64,
        published: u64,
    }

    impl Model {
        fn join(&mut self) {
            self.last += 1;
            self.round.joined(self.subscribers.len());
            let place = self.subscribers.insert(Subscriber {
                connection: 0,
                spelling: Spelling::Channel,
                after: 0,
                id: self.last,
            });
            self.known
                .insert(self.last, (place, self.published, Vec::new()));
        }

        fn leave(&mut self, which: prop::sample::Index) {
            let ids: Vec<u64> = self.known.keys().copied().collect();
            if ids.is_empty() {
                return;
            }
            let (place, ..) = self.known.remove(which.get(&ids)).unwrap();
            let before = self.subscribers.len();
            let position = self.subscribers.remove(place, self.round.borders(before));
            self.round.left(position.unwrap(), before);
            assert_eq!(
                self.subscribers.remove(place, [].into_iter()),
                None,
                "twice is once"
            );
        }

        fn slice(&mut self, most: usize) {
            let subscribers = self.subscribers.len();
            let (passing, cursor, in_a_row) = self.round.begin_slice(subscribers);
            let walked = most.min(in_a_row);
            for at in cursor..cursor + walked {
                let (subscriber, _) = self.subscribers.at(at % subscribers).unwrap();
                let met = &mut self.known.get_mut(&subscriber.id).unwrap().2;
                let new = passing.iter().filter(|one| !one.precedes(subscriber));
                met.extend(new.map(|one| one.delivery.publication.sequence));
            }
            self.round.end_slice(passing, walked, subscribers);
        }
    }

    proptest! {
        #[test]
        fn who_stays_gets_everything_once_and_in_order(
            first in 0..30_usize,
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut model = Model::default();
            (0..first).for_each(|_| model.join());
            for step in steps {
                match step {
                    Step::Publish => {
                        model.published += 1;
                        let newest = model.last;
                        model.round.push(Passing::new(delivery(model.published), None, newest));
                    }
                    Step::Join => model.join(),
                    Step::Leave(which) => model.leave(which),
                    Step::Slice(most) => model.slice(most),
                }
                for (id, (place, ..)) in &model.known {
                    prop_assert_eq!(model.subscribers.get_mut(*place).map(|at| at.id), Some(*id));
                }
            }
            while !model.round.is_empty() {
                model.slice(64);
            }
            for (_, before, met) in model.known.values() {
                prop_assert_eq!(met, &(before + 1..=model.published).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_comes_during_a_walk_leaves_with_it() {
        let mut model = Model::default();
        (0..10).for_each(|_| model.join());
        let mut visits = 0;
        model.round.push(Passing::new(delivery(1), None, 10));
        for sequence in 2..=5 {
            model.slice(1);
            visits += 1;
            model.round.push(Passing::new(delivery(sequence), None, 10));
        }
        while !model.round.is_empty() {
            model.slice(1);
            visits += 1;
        }
        assert_eq!(visits, 14, "one turn and what was late, not five turns");
    }
}
