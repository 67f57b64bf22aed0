//! The keys behind one address, for one issuer: cached, refreshed by a task of their own.
//!
//! One task makes every fetch of a source, so fetches never overlap, and [`State::begin`] alone
//! allows one: tokens of unknown keys cause at most one in the configured interval, however many
//! they are, and those that are due are as far apart. A new key counts at once, even right after
//! the start, because the first of these does not wait for the other kind. A token that
//! waits for a fetch waits no longer than the fetch's own timeout. What fails leaves the last good
//! set in force until it is too old.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::Uri;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;

use super::fetch::{FetchError, Fetcher};
use super::jwk::KeySet;
use super::token::Token;
use super::{AuthError, JwksConfig};

/// One address and what it last gave.
#[derive(Debug)]
pub(super) struct Source {
    cache: Arc<Cache>,
    keeper: OnceLock<AbortHandle>,
}

#[derive(Debug)]
struct Cache {
    uri: Uri,
    settings: JwksConfig,
    held: ArcSwapOption<Held>,
    state: Mutex<State>,
    wanted: Notify,
    /// Counts fetches that have ended.
    finished: watch::Sender<u64>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug)]
struct Held {
    set: KeySet,
    since: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// When the last fetch began.
    attempted: Option<Instant>,
    /// When the last one began that a token caused.
    asked: Option<Instant>,
    /// Whether the last fetch failed.
    failed: bool,
    /// Whether one is under way or about to be.
    busy: bool,
    /// Whether there is a task to make them.
    running: bool,
}

/// Who wants a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The clock.
    Due,
    /// A token of an unknown key.
    Token,
}

/// A fetch that is under way. Holds a place among those who wait.
#[derive(Debug)]
pub(super) struct Wait {
    finished: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl Wait {
    /// Ready when the fetch has ended, well or not.
    pub(super) async fn over(mut self) {
        // An error means that the task is gone, and the fetch with it.
        let _ = self.finished.changed().await;
    }
}

impl Source {
    /// A source that has fetched nothing yet.
    pub(super) fn new(uri: Uri, settings: JwksConfig) -> Self {
        let cache = Cache {
            uri,
            held: ArcSwapOption::empty(),
            state: Mutex::default(),
            wanted: Notify::new(),
            finished: watch::Sender::new(0),
            waiting: Arc::new(Semaphore::new(
                settings.max_waiting.min(Semaphore::MAX_PERMITS),
            )),
            settings,
        };
        Self {
            cache: Arc::new(cache),
            keeper: OnceLock::new(),
        }
    }

    /// Takes over what `old` has fetched, and when.
    pub(super) fn inherit(&self, old: &Self) {
        self.cache.held.store(old.cache.held.load_full());
        let State {
            attempted,
            asked,
            failed,
            ..
        } = *old.cache.state();
        *self.cache.state() = State {
            attempted,
            asked,
            failed,
            ..State::default()
        };
    }

    /// Starts the task that fetches, the first time it is called.
    pub(super) fn start(&self, handle: &Handle, fetcher: &Fetcher) {
        self.keeper.get_or_init(|| {
            let running = Running(Arc::clone(&self.cache));
            {
                let mut state = self.cache.state();
                state.running = true;
                // Tokens that come before the task's first turn find the fetch under way.
                if state.begin(Cause::Due, Instant::now(), &self.cache.settings) {
                    self.cache.wanted.notify_one();
                }
            }
            handle.spawn(keep(running, fetcher.clone())).abort_handle()
        });
    }

    /// Whether the source's key signed `token`.
    pub(super) fn check(&self, token: &Token<'_>, now: Instant) -> Result<(), AuthError> {
        let held = self.cache.held.load();
        let young = |held: &&Arc<Held>| {
            now.saturating_duration_since(held.since) <= self.cache.settings.max_age
        };
        let set = &held
            .as_ref()
            .filter(young)
            .ok_or(AuthError::KeysUnavailable)?
            .set;
        let id = token.key_id.as_deref();
        match set.find(id, token.algorithm) {
            Some(key) if key.verifies(token) => Ok(()),
            Some(_) => Err(AuthError::Signature),
            None if id.is_some_and(|id| set.has(id)) => Err(AuthError::Algorithm),
            // Whether the issuer has such a key is unknown as long as it does not answer.
            None if id.is_some() && self.cache.state().failed => Err(AuthError::KeysUnavailable),
            None => Err(AuthError::UnknownKey),
        }
    }

    /// Asks for a fetch, or joins one that is under way. `None`: tokens have had theirs lately.
    pub(super) fn refresh(&self, now: Instant) -> Result<Option<Wait>, AuthError> {
        let place = Arc::clone(&self.cache.waiting).try_acquire_owned();
        let place = place.map_err(|_| AuthError::KeysUnavailable)?;
        let finished = self.cache.finished.subscribe();
        let mut state = self.cache.state();
        if !state.running {
            return Err(AuthError::KeysUnavailable);
        }
        if !state.busy {
            if !state.begin(Cause::Token, now, &self.cache.settings) {
                return Ok(None);
            }
            self.cache.wanted.notify_one();
        }
        Ok(Some(Wait {
            finished,
            _place: place,
        }))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl State {
    /// Allows a fetch and notes that it begins, unless one is under way or was lately.
    fn begin(&mut self, cause: Cause, now: Instant, settings: &JwksConfig) -> bool {
        let last = match cause {
            Cause::Due => self.attempted,
            Cause::Token => self.asked,
        };
        let since = |last: Instant| now.saturating_duration_since(last);
        let early = last.is_some_and(|last| since(last) < settings.min_refetch_interval);
        if self.busy || early {
            return false;
        }
        self.attempted = Some(now);
        if cause == Cause::Token {
            self.asked = Some(now);
        }
        self.busy = true;
        true
    }

    /// How long until the next fetch that nobody has to ask for.
    fn until_due(&self, now: Instant, settings: &JwksConfig) -> Duration {
        let least = settings.min_refetch_interval;
        let interval = if self.failed {
            least
        } else {
            settings.refresh_interval.max(least)
        };
        let due = |last| interval.saturating_sub(now.saturating_duration_since(last));
        self.attempted.map_or(Duration::ZERO, due)
    }
}

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, fetched: Result<KeySet, FetchError>, now: Instant) {
        // Without the query, which may hold a key of its own.
        let (host, path) = (self.uri.host().unwrap_or_default(), self.uri.path());
        let failed = fetched.is_err();
        match fetched {
            Ok(set) => {
                tracing::debug!(host, path, keys = set.len(), "fetched a key set");
                self.held.store(Some(Arc::new(Held { set, since: now })));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(host, path, %error, cause, "a key set could not be fetched");
            }
        }
        {
            let mut state = self.state();
            state.failed = failed;
            state.busy = false;
        }
        self.finished.send_modify(|count| *count += 1);
    }
}

/// While it lives the task does: dropped with it, also when the task is aborted.
struct Running(Arc<Cache>);

impl Drop for Running {
    fn drop(&mut self) {
        {
            let mut state = self.0.state();
            state.running = false;
            state.busy = false;
        }
        self.0.finished.send_modify(|count| *count += 1);
    }
}

/// Fetches when it is due or asked for, one at a time, for as long as the source is used.
async fn keep(running: Running, fetcher: Fetcher) {
    let cache = &running.0;
    loop {
        let wait = cache.state().until_due(Instant::now(), &cache.settings);
        tokio::select! {
            () = cache.wanted.notified() => {}
            () = tokio::time::sleep(wait) => {
                if !cache
                    .state()
                    .begin(Cause::Due, Instant::now(), &cache.settings)
                {
                    // Asked for at this very moment: the notice is waiting. Or the clocks were
                    // read in another order; a moment later it is due.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            }
        }
        let fetched = fetcher.fetch(&cache.uri, &cache.settings).await;
        cache.finish(fetched, Instant::now());
    }
}

#[cfg(test)]
mod tests;
