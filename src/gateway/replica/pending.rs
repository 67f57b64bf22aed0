//! What has happened to a replica since its last fetch, and who did it.

use std::collections::HashMap;

use crate::channel::ChannelName;
use crate::publication::{Change, Writer};
use crate::session_id::SessionId;

/// Most writers that are told apart, and most items.
const MOST: usize = 64;

/// Who touched something.
#[derive(Debug, Clone, Default)]
pub(super) struct Touch {
    writers: Vec<Writer>,
    /// Somebody else did as well.
    others: bool,
    /// The highest version that it is known to have.
    pub(super) version: Option<u64>,
}

/// What a writer is given in place of the push that the others get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// A copy with the command's id.
    Copy(bytes::Bytes),
    /// Nothing.
    Nothing,
}

impl Touch {
    /// What one event says of who made it.
    pub(super) fn of(change: Option<&Change>) -> Self {
        let mut touch = Self::default();
        touch.add(change);
        touch
    }

    fn add(&mut self, change: Option<&Change>) {
        self.version = self.version.max(change.and_then(|change| change.version));
        match change.and_then(|change| change.writer.as_ref()) {
            Some(writer) if self.writers.len() < MOST => self.writers.push(writer.clone()),
            _ => self.others = true,
        }
    }

    fn merge(&mut self, later: Self) {
        self.others |= later.others;
        self.version = self.version.max(later.version);
        for writer in later.writers {
            if self.writers.len() < MOST {
                self.writers.push(writer);
            } else {
                self.others = true;
            }
        }
    }

    /// The writers who are not given the plain push.
    pub(super) fn own(&self) -> Vec<(SessionId, Own)> {
        let mut own: Vec<(SessionId, Own)> = Vec::new();
        // The last command of a session names its copy.
        for writer in self.writers.iter().rev() {
            let copy = match &writer.re {
                Some(re) if writer.echo => Some(Own::Copy(re.clone())),
                _ => None,
            };
            let known = own
                .iter_mut()
                .find(|(session, _)| *session == writer.session);
            match (known, copy) {
                (Some((_, own)), Some(copy)) if *own == Own::Nothing => *own = copy,
                (Some(_), _) => {}
                (None, Some(copy)) => own.push((writer.session, copy)),
                (None, None) => own.push((writer.session, Own::Nothing)),
            }
        }
        own.retain(|(session, own)| match own {
            Own::Copy(_) => true,
            Own::Nothing => {
                let silent = |writer: &Writer| writer.session == *session && !writer.echo;
                !self.others && self.writers.iter().all(silent)
            }
        });
        own
    }
}

/// What has happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    whole: Option<Touch>,
    items: HashMap<ChannelName, Touch>,
}

impl Pending {
    /// One more event.
    pub(super) fn add(&mut self, change: Option<&Change>) {
        let item = change.and_then(|change| change.item.as_ref());
        match item {
            Some(item) if self.items.len() < MOST || self.items.contains_key(item) => {
                self.items.entry(item.clone()).or_default().add(change);
            }
            // Of an item too many nothing is told apart, its version neither.
            Some(_) => self.whole.get_or_insert_default().others = true,
            None => self.whole.get_or_insert_default().add(change),
        }
    }

    /// What happened after this.
    pub(super) fn merge(&mut self, later: Self) {
        if let Some(whole) = later.whole {
            self.whole.get_or_insert_default().merge(whole);
        }
        for (item, touch) in later.items {
            if self.items.len() < MOST || self.items.contains_key(&item) {
                self.items.entry(item).or_default().merge(touch);
            } else {
                self.whole.get_or_insert_default().others = true;
            }
        }
    }

    /// What is known of an item of the collection; `None`: of the resource itself.
    pub(super) fn touch(&self, item: Option<&ChannelName>) -> Touch {
        let whole = self.whole.clone().unwrap_or_default();
        let Some(item) = item else {
            return whole;
        };
        let mut touch = self.items.get(item).cloned().unwrap_or_default();
        touch.others |= self.whole.is_some();
        touch
    }

    /// The items that were touched.
    pub(super) fn items(&self) -> impl Iterator<Item = &ChannelName> {
        self.items.keys()
    }

    /// The highest version that the resource itself is known to have.
    pub(super) fn version(&self) -> Option<u64> {
        self.whole.as_ref()?.version
    }
}
