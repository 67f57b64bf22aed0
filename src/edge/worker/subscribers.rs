//! A channel's local subscribers: dense, so that a walk costs what there are, however many there
//! were once; each keeps its place, by which its session names it.
//!
//! Invariant: `order` is a permutation of the places, its first `dense.len()` are those in use, and
//! `positions` is its inverse.

use std::collections::BTreeMap;

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

/// Of subscribers that were given a list of members: the last change of presence that it holds.
/// Few are, so it is kept apart from them.
#[derive(Debug, Default)]
pub(super) struct Listed(BTreeMap<u64, u64>);

impl Listed {
    /// The subscription `id` was given a list that holds all up to `revision`.
    pub(super) fn set(&mut self, id: u64, revision: u64) {
        self.0.insert(id, revision);
    }

    /// Whether that list tells of the change `revision` (0: it is none).
    pub(super) fn holds(&self, id: u64, revision: u64) -> bool {
        revision != 0 && self.0.get(&id).is_some_and(|last| revision <= *last)
    }

    /// Whether nobody was given one.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The subscription is no more.
    pub(super) fn forget(&mut self, id: u64) {
        self.0.remove(&id);
    }
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

    /// The position of the one at `place`.
    pub(super) fn position(&self, place: u32) -> Option<usize> {
        let position = self.index.get(place as usize)?.position as usize;
        (position < self.dense.len()).then_some(position)
    }

    /// The one at `position`, from 0 to the length, and its place.
    pub(super) fn at(&mut self, position: usize) -> Option<(&mut Subscriber, u32)> {
        let subscriber = self.dense.get_mut(position)?;
        Some((subscriber, self.index[position].order))
    }

    /// Removes the one at `place` and returns its position. Whoever lies between two of the
    /// `borders` (positions, ascending) still does, each border behind the position moved up by
    /// one.
    pub(super) fn remove(
        &mut self,
        place: u32,
        borders: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        let position = self.index.get(place as usize)?.position as usize;
        let end = self.dense.len();
        if position >= end {
            return None;
        }
        let mut gap = position;
        for border in borders.chain([end]).filter(|border| *border > position) {
            // The last of each stretch fills the gap that the one before it has left.
            self.swap(gap, border - 1);
            gap = border - 1;
        }
        self.dense.pop();
        if self.dense.capacity() / SPARE_FACTOR > self.dense.len() {
            self.dense.shrink_to(2 * self.dense.len());
        }
        Some(position)
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
    use super::*;

    fn subscriber(id: u64) -> Subscriber {
        Subscriber {
            connection: 0,
            spelling: Spelling::Channel,
            after: 0,
            id,
        }
    }

    #[test]
    fn what_many_have_left_is_given_back() {
        let mut subscribers = Subscribers::default();
        let places: Vec<u32> = (0..10_000)
            .map(|id| subscribers.insert(subscriber(id)))
            .collect();
        for place in &places[..9_990] {
            subscribers.remove(*place, std::iter::empty());
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
