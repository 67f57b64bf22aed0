//! Generations: when what a uri or a tag names was last changed. A fixed table of hashed marks, so
//! that it neither grows nor forgets; two names that share a mark cost a fetch, never a stale answer.
//!
//! Invariant: a mark only grows. What was asked for at `stamp` is current for as long as none of
//! its marks lies beyond `stamp`.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks in the table.
const MARKS: usize = 65_536;

/// A moment in the order of all changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(u64);

/// Names a mark: the hash of a uri's path, of a surrogate key or of a cache group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

#[derive(Debug)]
pub(super) struct Marks {
    hasher: RandomState,
    last: AtomicU64,
    table: Box<[AtomicU64]>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            last: AtomicU64::new(0),
            table: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The mark of `uri`: that of its path, so that a change reaches all its queries.
    pub(super) fn of_uri(&self, uri: &str) -> Mark {
        let path = uri.split_once('?').map_or(uri, |(path, _)| path);
        Mark(self.hasher.hash_one(("uri", path)))
    }

    /// The mark of a surrogate key.
    pub(super) fn of_key(&self, key: &str) -> Mark {
        Mark(self.hasher.hash_one(("key", key)))
    }

    /// The mark of a cache group, which means something within its origin only.
    pub(super) fn of_group(&self, origin: &str, group: &str) -> Mark {
        Mark(self.hasher.hash_one(("group", origin, group)))
    }

    /// When what `mark` names was last changed, in the order of all changes; it only grows.
    pub(super) fn last(&self, mark: Mark) -> u64 {
        self.cell(mark).load(Ordering::SeqCst)
    }

    /// Now, in the order of changes.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.last.load(Ordering::SeqCst))
    }

    /// What `mark` names has changed: everything asked for until now is out of date.
    pub(super) fn bump(&self, mark: Mark) {
        let now = self.next();
        self.cell(mark).fetch_max(now.0, Ordering::SeqCst);
    }

    /// A moment of its own.
    pub(super) fn next(&self) -> Stamp {
        Stamp(self.last.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Whether what was asked for at `stamp` still stands.
    pub(super) fn hold(&self, marks: &[Mark], stamp: Stamp) -> bool {
        marks
            .iter()
            .all(|mark| self.cell(*mark).load(Ordering::SeqCst) <= stamp.0)
    }

    fn cell(&self, mark: Mark) -> &AtomicU64 {
        &self.table[usize::try_from(mark.0 % MARKS as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_ends_what_was_asked_before_and_nothing_after() {
        let marks = Marks::new();
        let post = [marks.of_uri("/posts/1?page=2")];
        let before = marks.stamp();
        assert!(marks.hold(&post, before));
        marks.bump(marks.of_uri("/posts/1"));
        assert!(!marks.hold(&post, before));
        assert!(marks.hold(&post, marks.stamp()));
    }

    #[test]
    fn names_of_different_kinds_have_marks_of_their_own() {
        let marks = Marks::new();
        assert_ne!(marks.of_key("/a"), marks.of_uri("/a"));
        assert_ne!(marks.of_group("one", "a"), marks.of_group("two", "a"));
        assert_eq!(marks.of_uri("/a?x"), marks.of_uri("/a"));
    }
}
