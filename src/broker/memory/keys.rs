//! Idempotency keys and the answers that their first calls got.
//!
//! Invariant: a key stands in the map and once in the queue, from its acceptance until its window
//! has passed; nothing evicts it earlier.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::broker::Accepted;
use crate::channel::ChannelName;

/// A channel and a caller's key in one text; no name holds the character between them.
pub(super) fn key(channel: &ChannelName, key: &str) -> Arc<str> {
    format!("{channel}\0{key}").into()
}

/// The keys of one stripe.
#[derive(Debug, Default)]
pub(super) struct Keys {
    answers: HashMap<Arc<str>, (Instant, Accepted)>,
    queue: VecDeque<Arc<str>>,
}

impl Keys {
    pub(super) fn get(&self, key: &str, now: Instant) -> Option<Accepted> {
        let (until, first) = self.answers.get(key)?;
        (*until > now).then(|| Accepted {
            deduplicated: true,
            ..first.clone()
        })
    }

    pub(super) fn put(&mut self, key: Arc<str>, until: Instant, answer: &Accepted) {
        self.queue.push_back(Arc::clone(&key));
        self.answers.insert(key, (until, answer.clone()));
    }

    /// Drops what has expired; how many that were. The window is the same for all, so the first
    /// in the queue are the first to expire.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        while let Some(key) = self.queue.front() {
            let over = self.answers.get(key).is_none_or(|(until, _)| *until <= now);
            if !over {
                break;
            }
            self.answers.remove(key);
            self.queue.pop_front();
            expired += 1;
        }
        if self.queue.is_empty() {
            *self = Self::default();
        }
        expired
    }
}
