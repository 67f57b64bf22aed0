//! What is known of one channel: where it stands, who is there, what it retains.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::history::History;
use crate::broker::{Member, Members};
use crate::publication::{Epoch, Position};
use crate::session_id::SessionId;

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) epoch: Epoch,
    /// The last publication's number.
    pub(super) sequence: u64,
    pub(super) history: History,
    /// When something was last retained.
    pub(super) retained_at: Instant,
    /// Its place among the retaining, while it retains something.
    pub(super) aged: Option<Instant>,
    /// Its place among the idle, while it is idle.
    pub(super) idle: Option<Instant>,
    pub(super) subscribed: bool,
    /// Boxed: most channels keep no presence.
    pub(super) presence: Option<Box<Presence>>,
}

impl Channel {
    pub(super) fn new(epoch: Epoch, now: Instant) -> Self {
        Self {
            epoch,
            sequence: 0,
            history: History::default(),
            retained_at: now,
            aged: None,
            idle: None,
            subscribed: false,
            presence: None,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: Arc::clone(&self.epoch),
            offset: self.sequence,
        }
    }

    /// Whether nobody would miss it but who remembers its epoch.
    pub(super) fn is_idle(&self) -> bool {
        !self.subscribed && self.presence.is_none() && self.history.is_empty()
    }
}

/// Who is on a channel. Bounded by the node's sessions and each session's channels.
#[derive(Debug, Default)]
pub(super) struct Presence {
    rows: BTreeMap<SessionId, Member>,
    /// How many sessions each member has.
    members: HashMap<Arc<str>, usize>,
}

impl Presence {
    /// Adds or replaces a session: whether it is its member's first, and the member whose last
    /// session it was before, if it was another's.
    pub(super) fn enter(&mut self, member: Member) -> (bool, Option<Member>) {
        let same = self
            .rows
            .get(&member.session)
            .is_some_and(|row| row.subject == member.subject);
        if same {
            self.rows.insert(member.session, member);
            return (false, None);
        }
        let replaced = self.exit(member.session);
        let sessions = self.members.entry(Arc::clone(&member.subject)).or_default();
        *sessions += 1;
        let first = *sessions == 1;
        self.rows.insert(member.session, member);
        (first, replaced)
    }

    /// Removes a session: its entry if it was its member's last.
    pub(super) fn exit(&mut self, session: SessionId) -> Option<Member> {
        let member = self.rows.remove(&session)?;
        let sessions = self.members.get_mut(&member.subject)?;
        *sessions -= 1;
        if *sessions > 0 {
            return None;
        }
        self.members.remove(&member.subject);
        Some(member)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether `subject` is there or may still come.
    pub(super) fn has_room(&self, subject: &str, most: usize) -> bool {
        self.members.len() < most || self.members.contains_key(subject)
    }

    pub(super) fn total(&self) -> usize {
        self.members.len()
    }

    pub(super) fn page(&self, after: Option<SessionId>, limit: usize) -> Members {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range((start, Bound::Unbounded)).take(limit);
        Members {
            rows: rows.map(|(_, member)| member.clone()).collect(),
            total: self.total(),
            revision: 0,
        }
    }
}
