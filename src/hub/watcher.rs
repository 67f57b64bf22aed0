//! Backend subscribers: who listens to names and patterns without a session.
//!
//! Invariants: a watcher never holds fan-out up. What does not fit into its bounded queue is
//! dropped, and the queue says where: from the gap's place on, the channel's publications are
//! left out until the gap has been read. Without watchers, offering costs one atomic load.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{Config, Hub, HubError, PUBLICATION_BYTES};
use crate::channel::{ChannelName, Pattern};
use crate::publication::{Position, Publication};

/// What a watcher reads.
#[derive(Debug)]
pub enum Watched {
    /// A publication.
    Publication(Publication),
    /// Publications were dropped.
    Gap {
        /// On this channel; `None`: on any that the watcher listens to.
        channel: Option<ChannelName>,
        /// The channel's position before the loss, where it has positions.
        before: Option<Position>,
    },
}

/// Everyone who watches.
#[derive(Default)]
pub(super) struct Watchers {
    count: AtomicUsize,
    list: ArcSwap<Vec<Arc<Inbox>>>,
    changing: Mutex<()>,
}

impl Watchers {
    pub(super) fn offer(&self, publication: &Publication, config: &Config) {
        if self.count.load(Ordering::Acquire) == 0 || publication.event.starts_with("pogo:") {
            return;
        }
        for inbox in self.list.load().iter() {
            if inbox.wants(&publication.channel) {
                inbox.push(publication, config);
            }
        }
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Inbox>>) -> Result<(), HubError>,
    ) -> Result<(), HubError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&self.list.load());
        change(&mut list)?;
        let count = list.len();
        self.list.store(Arc::new(list));
        self.count.store(count, Ordering::Release);
        Ok(())
    }
}

/// What one watcher wants and what waits for it.
struct Inbox {
    names: HashSet<Box<str>>,
    patterns: Vec<Pattern>,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Watched>,
    publications: usize,
    bytes: usize,
    /// Channels whose gap waits in `items`.
    lost: HashSet<ChannelName>,
    /// A gap for all of them does.
    lost_all: bool,
}

impl Inbox {
    fn wants(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        !channel.is_internal()
            && (self.names.contains(name)
                || self.patterns.iter().any(|pattern| pattern.matches(name)))
    }

    fn push(&self, publication: &Publication, config: &Config) {
        self.queue().push(publication, config);
        self.arrived.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, publication: &Publication, config: &Config) {
        let channel = &publication.channel;
        if self.lost_all || self.lost.contains(channel) {
            return;
        }
        let bytes = size(publication);
        if self.publications < config.watcher_publications
            && self.bytes + bytes <= config.watcher_bytes
        {
            self.publications += 1;
            self.bytes += bytes;
            self.items
                .push_back(Watched::Publication(publication.clone()));
            return;
        }
        let gap = if self.lost.len() < config.watcher_gaps {
            self.lost.insert(channel.clone());
            Watched::Gap {
                channel: Some(channel.clone()),
                before: publication.position().map(|at| Position {
                    offset: at.offset.saturating_sub(1),
                    ..at
                }),
            }
        } else {
            self.lost_all = true;
            Watched::Gap {
                channel: None,
                before: None,
            }
        };
        self.items.push_back(gap);
    }

    fn pop(&mut self) -> Option<Watched> {
        let item = self.items.pop_front()?;
        match &item {
            Watched::Publication(publication) => {
                self.publications -= 1;
                self.bytes -= size(publication);
            }
            Watched::Gap {
                channel: Some(channel),
                ..
            } => {
                self.lost.remove(channel);
            }
            Watched::Gap { channel: None, .. } => self.lost_all = false,
        }
        Some(item)
    }
}

fn size(publication: &Publication) -> usize {
    PUBLICATION_BYTES + publication.data.len() + publication.event.len()
}

/// A backend subscription. Dropping it ends it.
pub struct Watcher {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
}

impl Watcher {
    pub(super) fn new(hub: &Arc<Hub>, patterns: Vec<Pattern>) -> Result<Self, HubError> {
        let limit = hub.config.watcher_patterns;
        if patterns.len() > limit {
            return Err(HubError::TooManyPatterns { limit });
        }
        let (names, patterns): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(Pattern::is_literal);
        let inbox = Arc::new(Inbox {
            names: names.iter().map(|name| name.as_str().into()).collect(),
            patterns,
            queue: Mutex::default(),
            arrived: Notify::new(),
        });
        hub.watchers.change(|list| {
            let limit = hub.config.max_watchers;
            if list.len() >= limit {
                return Err(HubError::TooManyWatchers { limit });
            }
            list.push(Arc::clone(&inbox));
            Ok(())
        })?;
        Ok(Self {
            hub: Arc::clone(hub),
            inbox,
        })
    }

    /// What comes next. Expired publications are left out. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Watched {
        loop {
            while let Some(item) = { self.inbox.queue().pop() } {
                let Watched::Publication(publication) = &item else {
                    return item;
                };
                if !publication.is_expired(Instant::now()) {
                    return item;
                }
            }
            self.inbox.arrived.notified().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Taking one off never fails.
        let _: Result<(), HubError> = self.hub.watchers.change(|list| {
            list.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
            Ok(())
        });
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("names", &self.inbox.names)
            .field("patterns", &self.inbox.patterns)
            .finish_non_exhaustive()
    }
}
