//! The endpoints in force: those of the settings file, and over them those put live, which the
//! broker keeps. One change after another; each is judged whole, recorded, then swapped in.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::cache::Purge;
use super::{Checked, Gateway, Whose};
use crate::broker::BrokerError;
use crate::node::Node;
use crate::resource::{Endpoint, EndpointError, Routes};
use crate::session::Shared;

/// Checks that take a while.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// What operators ask of the gateway that runs.
pub trait Upkeep: Send + Sync {
    /// Forgets cached answers: how many.
    fn purge(&self, what: Purge<'_>) -> usize;
    /// Checks access again.
    fn reaccess(&self, whose: Whose) -> Checking<'_>;
    /// The table has changed: whoever is bound to what is covered otherwise is checked again.
    fn renewed(&self) -> Checking<'_>;
}

impl Upkeep for Gateway {
    fn purge(&self, what: Purge<'_>) -> usize {
        self.cache().purge(what)
    }

    fn reaccess(&self, whose: Whose) -> Checking<'_> {
        Box::pin(async move {
            match self.me() {
                Some(gateway) => gateway.reaccess(&whose).await,
                None => Checked::default(),
            }
        })
    }

    fn renewed(&self) -> Checking<'_> {
        Box::pin(async move {
            match self.me() {
                Some(gateway) => gateway.renewed().await,
                None => Checked::default(),
            }
        })
    }
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// The endpoint, or what is there, does not allow it.
    #[error("{}", all(.0))]
    Refused(Vec<EndpointError>),
    /// There is none of that name.
    #[error("there is no such endpoint")]
    NotFound,
    /// It stands in the settings file, where it has to be taken out.
    #[error("the endpoint stands in the settings file")]
    Configured,
    /// The broker could not record it, or there are too many.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

fn all(errors: &[EndpointError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Both sources.
#[derive(Debug, Clone, Default)]
struct Lists {
    configured: Vec<Endpoint>,
    live: BTreeMap<Box<str>, Endpoint>,
}

impl Lists {
    /// The table of both; of two that contradict each other, `last` is the one that is named.
    fn routes(&self, last: &str) -> Result<Routes, EndpointsError> {
        let covered = |endpoint: &&Endpoint| !self.live.contains_key(&endpoint.name);
        let configured = self.configured.iter().filter(covered);
        let mut all: Vec<Endpoint> = configured.chain(self.live.values()).cloned().collect();
        all.sort_by_key(|endpoint| *endpoint.name == *last);
        Routes::new(all).map_err(EndpointsError::Refused)
    }

    fn check_room(&self, limit: usize) -> Result<(), EndpointsError> {
        let stands_over = |one: &&Endpoint| self.live.contains_key(&one.name);
        let both = self.configured.iter().filter(stands_over).count();
        if self.configured.len() + self.live.len() - both <= limit {
            return Ok(());
        }
        let what = "endpoints";
        let setting = "gateway.max_endpoints";
        Err(EndpointsError::Broker(BrokerError::Full {
            what,
            limit,
            setting,
        }))
    }
}

/// The endpoints in force, and how they change.
pub struct Endpoints {
    shared: Arc<Shared>,
    node: Arc<Node>,
    lists: Mutex<Lists>,
    /// Who changes what is live.
    turn: Semaphore,
    limit: usize,
    upkeep: OnceLock<Arc<dyn Upkeep>>,
}

impl Endpoints {
    /// Puts `configured` and what the broker keeps in force; at most `limit` together.
    ///
    /// # Errors
    /// [`EndpointsError`]: they do not go together, or the broker could not be read.
    pub async fn start(
        shared: Arc<Shared>,
        node: Arc<Node>,
        configured: Vec<Endpoint>,
        limit: usize,
    ) -> Result<Arc<Self>, EndpointsError> {
        shared.metrics.set_bound("gateway.max_endpoints", limit);
        let live = node.broker().endpoints().await?;
        let live = live
            .into_iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint));
        let lists = Lists {
            configured,
            live: live.collect(),
        };
        lists.check_room(limit)?;
        shared.routes.store(Arc::new(lists.routes("")?));
        Ok(Arc::new(Self {
            shared,
            node,
            lists: Mutex::new(lists),
            turn: Semaphore::new(1),
            limit,
            upkeep: OnceLock::new(),
        }))
    }

    /// Who sees to what follows from a change, from now on; the first one stays.
    pub fn attach(&self, upkeep: Arc<dyn Upkeep>) {
        // A second one has nothing to say.
        let _ = self.upkeep.set(upkeep);
    }

    /// All of them by name, and whether each was put live.
    pub fn all(&self) -> Vec<(Arc<Endpoint>, bool)> {
        let lists = self.lists();
        let routes = self.shared.routes.load();
        let listed = routes.endpoints().iter();
        let with_source = |one: &Arc<Endpoint>| (one.clone(), lists.live.contains_key(&one.name));
        let mut all: Vec<_> = listed.map(with_source).collect();
        all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        all
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.shared.routes.load().endpoint(name).cloned()
    }

    /// Replaces those of the settings file.
    ///
    /// # Errors
    /// [`EndpointsError`]: all stay as they were.
    pub fn reload(&self, configured: Vec<Endpoint>) -> Result<(), EndpointsError> {
        let mut lists = self.lists();
        if lists.configured == configured {
            return Ok(());
        }
        let next = Lists {
            configured,
            live: lists.live.clone(),
        };
        self.swap(&mut lists, next, "")
    }

    /// Puts an endpoint live: adds it, or replaces the one of its name, which `change` is given.
    ///
    /// # Errors
    /// [`EndpointsError`]: nothing has changed. What `change` says is passed on.
    pub async fn put<E: From<EndpointsError>>(
        &self,
        name: &str,
        change: impl FnOnce(Option<&Endpoint>) -> Result<Endpoint, E>,
    ) -> Result<Arc<Endpoint>, E> {
        let _turn = self.turn().await;
        let endpoint = change(self.get(name).as_deref())?;
        let with = |lists: &Lists| {
            let mut next = lists.clone();
            next.live.insert(endpoint.name.clone(), endpoint.clone());
            next
        };
        let next = with(&self.lists());
        next.check_room(self.limit)?;
        next.routes(name)?;
        let recorded = self.node.broker().put_endpoint(endpoint.clone()).await;
        recorded.map_err(EndpointsError::from)?;
        let swapped = {
            let mut lists = self.lists();
            let next = with(&lists);
            self.swap(&mut lists, next, name)
        };
        if let Err(error) = swapped {
            // A reload came between, and has brought what does not go with it.
            let before = self.lists().live.get(name).cloned();
            self.restore(name, before).await?;
            return Err(error.into());
        }
        Ok(Arc::new(endpoint))
    }

    /// Takes off an endpoint that was put live; one of its name in the settings file is in force
    /// again.
    ///
    /// # Errors
    /// [`EndpointsError`]: nothing has changed.
    pub async fn delete(&self, name: &str) -> Result<(), EndpointsError> {
        let _turn = self.turn().await;
        let without = |lists: &Lists| {
            let mut next = lists.clone();
            next.live.remove(name);
            next
        };
        let (before, next) = {
            let lists = self.lists();
            let Some(before) = lists.live.get(name) else {
                let configured = lists.configured.iter().any(|e| *e.name == *name);
                return Err(if configured {
                    EndpointsError::Configured
                } else {
                    EndpointsError::NotFound
                });
            };
            (before.clone(), without(&lists))
        };
        next.routes(name)?;
        self.node.broker().delete_endpoint(name).await?;
        let swapped = {
            let mut lists = self.lists();
            let next = without(&lists);
            self.swap(&mut lists, next, name)
        };
        if swapped.is_err() {
            self.restore(name, Some(before)).await?;
        }
        swapped
    }

    /// What the gateway that runs does, where there is one.
    pub fn upkeep(&self) -> Option<&Arc<dyn Upkeep>> {
        self.upkeep.get()
    }

    /// Puts the broker's record back.
    async fn restore(&self, name: &str, before: Option<Endpoint>) -> Result<(), EndpointsError> {
        match before {
            Some(endpoint) => self.node.broker().put_endpoint(endpoint).await?,
            None => {
                self.node.broker().delete_endpoint(name).await?;
            }
        }
        Ok(())
    }

    fn swap(&self, lists: &mut Lists, next: Lists, last: &str) -> Result<(), EndpointsError> {
        next.check_room(self.limit)?;
        let now = Arc::new(next.routes(last)?);
        let before = self.shared.routes.swap(now.clone());
        // Behind it: whoever subscribes from now on meets the new table.
        self.node.hub().rerouted();
        *lists = next;
        if let Some(upkeep) = self.upkeep() {
            // What came from elsewhere, or by other rules, is no answer any more.
            for old in before.endpoints() {
                if now.endpoint(&old.name) != Some(old) {
                    upkeep.purge(Purge::Endpoint(&old.name));
                }
            }
        }
        Ok(())
    }

    /// None only if the semaphore were closed, which nobody does.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
