//! Queries of covered uris: their events are published on their stream, the path without the
//! query, to which the node stays subscribed while a session is on any of them.
//!
//! Invariant: a query keeps its stream while a session is on it, whatever becomes of the
//! endpoints meanwhile, so that each join is taken back where it was made.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Node;
use crate::channel::ChannelName;

/// Queries that sessions of this node are on.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    /// Each query's stream, and its sessions.
    queries: HashMap<ChannelName, (ChannelName, usize)>,
    /// Sessions on a stream's queries.
    streams: HashMap<ChannelName, usize>,
}

impl Streams {
    /// One more session is on `query`.
    pub(super) fn join(&self, query: &ChannelName, stream: &ChannelName) {
        let mut tables = self.lock();
        let (_, sessions) = tables
            .queries
            .entry(query.clone())
            .or_insert_with(|| (stream.clone(), 0));
        *sessions += 1;
        *tables.streams.entry(stream.clone()).or_default() += 1;
    }

    /// One session less is on `query`: its stream, and whether that was the last one there.
    pub(super) fn leave(&self, query: &ChannelName) -> Option<(ChannelName, bool)> {
        let mut tables = self.lock();
        let Entry::Occupied(mut entry) = tables.queries.entry(query.clone()) else {
            return None;
        };
        let (stream, sessions) = entry.get_mut();
        *sessions -= 1;
        let (stream, empty) = (stream.clone(), *sessions == 0);
        if empty {
            entry.remove();
        }
        let left = tables.streams.get_mut(&stream)?;
        *left -= 1;
        let last = *left == 0;
        if last {
            tables.streams.remove(&stream);
        }
        Some((stream, last))
    }

    /// The stream of a query that somebody is on.
    fn of(&self, query: &ChannelName) -> Option<ChannelName> {
        Some(self.lock().queries.get(query)?.0.clone())
    }

    /// Whether a session is on a query of `stream`.
    pub(super) fn has(&self, stream: &ChannelName) -> bool {
        self.lock().streams.contains_key(stream)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Where the broker keeps what happens on `name`: of a covered query its stream, of all else
    /// the name itself.
    pub fn stream(&self, name: &ChannelName) -> ChannelName {
        self.stream_of(name).unwrap_or_else(|| name.clone())
    }

    /// The stream of a covered query.
    pub(super) fn stream_of(&self, name: &ChannelName) -> Option<ChannelName> {
        let (path, _) = name.as_str().split_once('?')?;
        if !name.is_uri() {
            return None;
        }
        if let Some(stream) = self.own.interests.streams.of(name) {
            return Some(stream);
        }
        self.covered(name).ok()??;
        // A part of a checked name that starts with `/` is one too.
        ChannelName::parse(path).ok()
    }
}
