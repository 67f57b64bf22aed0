//! The fallback sessions of the node, by what names them in a path. Bounded by number; each is
//! taken out by its own task when it is over.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::FallbackConfig;
use super::machine::Bounds;
use super::receiver::Family;
use super::session::{Pending, Session};
use crate::metrics::Metrics;

/// All fallback sessions.
#[derive(Debug)]
pub(in crate::edge) struct Fallback {
    config: FallbackConfig,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    open: Gauge,
}

impl Fallback {
    pub(in crate::edge) fn new(config: FallbackConfig, metrics: &Metrics) -> Arc<Self> {
        metrics.set_bound("fallback_sessions", config.sessions);
        metrics.set_bound("fallback_buffer_bytes", config.buffer_bytes);
        Arc::new(Self {
            config,
            sessions: Mutex::default(),
            open: metrics.fallback_sessions.clone(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this name, if it is not over.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        let found = self.sessions().get(id).cloned();
        found.filter(|session| !session.is_over())
    }

    /// A new session of this name, for whom `pending` tells of. `Err`: the one that somebody else
    /// made meanwhile, or `None` where there is no room.
    pub(super) fn open(
        self: &Arc<Self>,
        family: Family,
        id: &str,
        pending: Pending,
    ) -> Result<Arc<Session>, Option<Arc<Session>>> {
        let session = Arc::new(self.session(family, pending));
        let mut sessions = self.sessions();
        let room = sessions.len() < self.config.sessions;
        match sessions.entry(id.into()) {
            Entry::Occupied(there) if !there.get().is_over() => {
                return Err(Some(there.get().clone()));
            }
            // Its task finds that the name is taken, and leaves it.
            Entry::Occupied(mut there) => drop(there.insert(session.clone())),
            Entry::Vacant(place) if room => drop(place.insert(session.clone())),
            Entry::Vacant(_) => return Err(None),
        }
        self.count(&sessions);
        drop(sessions);
        let (this, id) = (Arc::clone(self), Box::<str>::from(id));
        let kept = session.clone();
        tokio::spawn(async move {
            kept.clone().keep().await;
            this.remove(&id, &kept);
        });
        Ok(session)
    }

    /// A session with no name: a connection of its own ends with it.
    pub(super) fn session(&self, family: Family, pending: Pending) -> Session {
        let bounds = Bounds {
            buffer_bytes: self.config.buffer_bytes,
            heartbeat: self.config.heartbeat,
            abandoned_after: self.config.abandoned_after,
        };
        Session::new(family, bounds, pending)
    }

    fn remove(&self, id: &str, session: &Arc<Session>) {
        let mut sessions = self.sessions();
        if sessions
            .get(id)
            .is_some_and(|there| Arc::ptr_eq(there, session))
        {
            sessions.remove(id);
        }
        self.count(&sessions);
    }

    fn count(&self, sessions: &HashMap<Box<str>, Arc<Session>>) {
        let count = i64::try_from(sessions.len()).unwrap_or(i64::MAX);
        self.open.set(count);
    }
}
