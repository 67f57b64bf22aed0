//! The channels that wait to be walked, in two lanes: those that fit into one slice go first, up to
//! [`SMALL_SLICES`] of them in a turn, so that however many huge channels are being walked, these
//! wait for one slice of one of them. The huge ones go round robin, a slice in a turn, and so are
//! never starved.

use std::collections::VecDeque;

/// Subscribers walked in one slice: some 0.5 ms of sends.
pub(super) const SLICE: usize = 64;
/// Most slices of small channels before one of a huge one, and before sockets are read again: some
/// 10 ms of sends. However many small ones wait, they starve nobody.
pub(super) const SMALL_SLICES: usize = 16;

/// Channels by key, each in one lane at most.
#[derive(Debug, Default)]
pub(super) struct Walks {
    small: VecDeque<u32>,
    huge: VecDeque<u32>,
}

/// A lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Channels that fit into a slice.
    Small,
    /// All others.
    Huge,
}

impl Walks {
    /// Puts a channel of so many subscribers at the end of its lane.
    pub(super) fn push(&mut self, key: u32, subscribers: usize) {
        let lane = if subscribers <= SLICE {
            &mut self.small
        } else {
            &mut self.huge
        };
        lane.push_back(key);
    }

    /// The next of `lane`.
    pub(super) fn pop(&mut self, lane: Lane) -> Option<u32> {
        match lane {
            Lane::Small => self.small.pop_front(),
            Lane::Huge => self.huge.pop_front(),
        }
    }

    /// Whether none waits in `lane`.
    pub(super) fn is_empty(&self, lane: Lane) -> bool {
        match lane {
            Lane::Small => self.small.is_empty(),
            Lane::Huge => self.huge.is_empty(),
        }
    }

    /// Whether any waits.
    pub(super) fn go_on(&self) -> bool {
        !self.small.is_empty() || !self.huge.is_empty()
    }
}
