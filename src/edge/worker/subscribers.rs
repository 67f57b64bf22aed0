//! A channel's local subscribers: dense, so that a walk costs what there are, however many there
//! were once; each keeps its place, by which its session names it.
//!
//! Invariant: `order` is a permutation of the places, its first `dense.len()` are those in use, and
//! `positions` is its inverse.

use crate::protocol::Spelling;

/// A list with more room than so many times its length gives the rest back.
const SPARE_FACTOR: usize = 4;

/// A local subscription.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// The connection's key.
    pub(super) connection: u32,
    /// How its pushes are spelled.
    pub(super) spelling: Spelling,
    /// The last sequence that it has got or does not want: what is not beyond is a duplicate.
    pub(super) after: u64,
    /// No other has ever had it, whereas places are given again.
    pub(super) id: u64,
}

/// The subscribers of a channel.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    dense: Vec<Subscriber>,
    index: Vec<Index>,
}

/// An entry of the two indexes, which are of the same length.
#[derive(Debug, Clone, Copy)]
struct Index {
    /// The place of the subscriber at this position; beyond the last one: a free place.
    order: u32,
    /// The position of this place.
    position: u32,
}

impl Subscribers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.dense.len()
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.dense.is_empty()
    }

    /// Adds one, as the last, and returns its place.
    pub(super) fn insert(&mut self, subscriber: Subscriber) -> u32 {
        let position = self.dense.len();
        if self.dense.capacity() == 0 {
            // Most channels never have a second one.
            self.dense.reserve_exact(1);
            self.index.reserve_exact(1);
        }
        if position == self.index.len() {
            let new = super::table::key(position);
            self.index.push(Index {
                order: new,
                position: new,
            });
        }
        self.dense.push(subscriber);
        self.index[position].order
    }

    /// The one at `place`.
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Subscriber> {
        let position = self.index.get(place as usize)?.position;
        self.dense.get_mut(position as usize)
    }

    /// The one at `position`, from 0 to the length, and its place.
    pub(super) fn at(&mut self, position: usize) -> Option<(&mut Subscriber, u32)> {
        let subscriber = self.dense.get_mut(position)?;
        Some((subscriber, self.index[position].order))
    }

    /// Removes the one at `place`. A walk that has passed the first `walked` goes on with the
    /// returned number passed: it meets everyone else once, as if nobody had gone.
    pub(super) fn remove(&mut self, place: u32, walked: usize) -> usize {
        let Some(index) = self.index.get(place as usize) else {
            return walked;
        };
        let mut gap = index.position as usize;
        if gap >= self.dense.len() {
            return walked;
        }
        let mut left = walked;
        if gap < walked {
            // The last that was passed fills the gap, the last of all what that one leaves.
            left -= 1;
            self.swap(gap, left);
            gap = left;
        }
        self.swap(gap, self.dense.len() - 1);
        self.dense.pop();
        if self.dense.capacity() / SPARE_FACTOR > self.dense.len() {
            self.dense.shrink_to(2 * self.dense.len());
        }
        left
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.dense.swap(a, b);
        let (first, second) = (self.index[a].order, self.index[b].order);
        (self.index[a].order, self.index[b].order) = (second, first);
        self.index[second as usize].position = super::table::key(a);
        self.index[first as usize].position = super::table::key(b);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn subscriber(id: u64) -> Subscriber {
        Subscriber {
            connection: 0,
            spelling: Spelling::Channel,
            after: 0,
            id,
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join,
        Leave(prop::sample::Index),
        Slice(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Join),
            3 => any::<prop::sample::Index>().prop_map(Step::Leave),
            1 => (1..8_usize).prop_map(Step::Slice),
        ]
    }

    proptest! {
        #[test]
        fn a_walk_meets_who_stays_once_whoever_joins_and_leaves(
            first in 0..40_usize,
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut subscribers = Subscribers::default();
            let mut places = BTreeMap::new();
            let mut met = BTreeMap::<u64, usize>::new();
            for id in 0..first as u64 {
                places.insert(id, subscribers.insert(subscriber(id)));
            }
            let (mut walked, mut last) = (0, first as u64);
            let slice = |subscribers: &mut Subscribers, walked: &mut usize, most: usize, met: &mut BTreeMap<u64, usize>| {
                for _ in 0..most {
                    let Some((at, _)) = subscribers.at(*walked) else { break };
                    *met.entry(at.id).or_default() += 1;
                    *walked += 1;
                }
            };
            for step in steps {
                match step {
                    Step::Join => {
                        places.insert(last, subscribers.insert(subscriber(last)));
                        last += 1;
                    }
                    Step::Leave(which) if !places.is_empty() => {
                        let ids: Vec<u64> = places.keys().copied().collect();
                        let place = places.remove(which.get(&ids)).unwrap();
                        walked = subscribers.remove(place, walked);
                        prop_assert_eq!(subscribers.remove(place, walked), walked, "twice is once");
                    }
                    Step::Leave(_) => {}
                    Step::Slice(most) => slice(&mut subscribers, &mut walked, most, &mut met),
                }
                prop_assert_eq!(subscribers.len(), places.len());
                for (id, place) in &places {
                    prop_assert_eq!(subscribers.get_mut(*place).map(|at| at.id), Some(*id));
                }
            }
            slice(&mut subscribers, &mut walked, usize::MAX, &mut met);
            prop_assert!(met.values().all(|times| *times == 1), "{:?}", met);
            prop_assert!(places.keys().all(|id| met.contains_key(id)));
        }
    }

    #[test]
    fn what_many_have_left_is_given_back() {
        let mut subscribers = Subscribers::default();
        let places: Vec<u32> = (0..10_000)
            .map(|id| subscribers.insert(subscriber(id)))
            .collect();
        for place in &places[..9_990] {
            subscribers.remove(*place, 0);
        }
        assert!(subscribers.dense.capacity() <= 40);
        assert_eq!(
            (0..).map_while(|at| subscribers.at(at).map(drop)).count(),
            10
        );
        let again = subscribers.insert(subscriber(0));
        assert!(places.contains(&again), "places are given again");
    }
}
