//! Forgetting: after a write, and because somebody says so.

use http::HeaderMap;

use super::entry::{groups, surrogate_keys};
use super::{Cache, Rules};
use crate::channel::Pattern;

/// What to forget.
#[derive(Debug, Clone, Copy)]
pub enum Purge<'a> {
    /// The answers for uris that match.
    Uris(&'a Pattern),
    /// The answers with this surrogate key.
    Key(&'a str),
    /// The answers of this endpoint.
    Endpoint(&'a str),
}

impl Cache {
    /// Something was written: `uris` have changed (with all their queries), and so has what the
    /// upstream's answer names in `Surrogate-Key` and `Cache-Group-Invalidation` (RFC 9875).
    pub fn invalidate<'a>(
        &self,
        rules: &Rules,
        uris: impl IntoIterator<Item = &'a str>,
        answer: &HeaderMap,
    ) {
        let marks = &self.inner.marks;
        for uri in uris {
            marks.bump(marks.of_uri(uri));
        }
        for key in surrogate_keys(answer) {
            marks.bump(marks.of_key(key));
        }
        for group in groups(answer, "cache-group-invalidation") {
            marks.bump(marks.of_group(&rules.origin, group));
        }
    }

    /// Forgets at once, and returns how many answers that were. What is being fetched at this
    /// moment is not kept.
    pub fn purge(&self, what: Purge<'_>) -> usize {
        let marks = &self.inner.marks;
        let store = &self.inner.store;
        match what {
            Purge::Uris(pattern) => {
                store.purge(marks.next(), |key, _| pattern.matches(key.uri.as_str()))
            }
            Purge::Endpoint(name) => store.purge(marks.next(), |key, _| *key.endpoint == *name),
            Purge::Key(name) => {
                let mark = marks.of_key(name);
                marks.bump(mark);
                store.purge(marks.next(), |_, entry| entry.marks().contains(&mark))
            }
        }
    }
}
