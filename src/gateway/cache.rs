//! The gateway's cache: answers to GET, shared by socket verbs and plain HTTP.
//!
//! `http-cache-semantics` decides what may be kept and for how long, moka keeps it by weight; what
//! both lack is here: generations, flights, variants, stale answers, hit-for-pass.
//!
//! Invariants: an answer given for a uri was asked for after every [`Cache::bump`] of that uri that
//! happened before the question; an answer never crosses the variant of its key; what is not known
//! to be uncacheable is fetched once however many ask; a caller that goes away cancels nobody's
//! fetch.

mod answer;
mod control;
mod counts;
mod entry;
mod flight;
mod get;
mod marks;
mod policy;
mod purge;
mod store;
mod take;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

pub use answer::{Ask, Body, BoxError, Content, Fetched, Got, How, clean};
pub use entry::Entry;
pub use marks::Stamp;
pub use purge::Purge;

use crate::channel::ChannelName;
use crate::clock::Now;
use crate::resource::{Audience, CacheSettings, Endpoint};
use counts::Counts;
use flight::Flights;
use marks::Marks;
use policy::joined;
use store::{Held, Store};

/// The bounds of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// `gateway.cache_bytes`: most bytes of all that is kept.
    pub bytes: u64,
    /// `gateway.cache_entry_bytes`: longest body that is kept.
    pub entry_bytes: usize,
    /// `gateway.max_waiting`: most fetches under way and callers that wait for one.
    pub max_waiting: usize,
}

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How the answers of an endpoint are kept; made once for each.
#[derive(Debug)]
pub struct Rules {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// The upstream's origin: its cache groups mean something within it.
    pub origin: Box<str>,
    /// Whether its answers are everybody's.
    pub shared: bool,
    /// The clients' headers that reach the upstream and that its answers may depend on.
    pub selecting: Vec<HeaderName>,
    /// How long they are kept.
    pub settings: CacheSettings,
}

impl Rules {
    /// Those of `endpoint`.
    pub fn of(endpoint: &Endpoint) -> Self {
        let base = endpoint.upstream.bases.first();
        let authority = base.and_then(|base| base.authority());
        let mut selecting = vec![ACCEPT, ACCEPT_LANGUAGE, PREFER];
        selecting.extend(endpoint.upstream.forward.iter().cloned());
        Self {
            endpoint: endpoint.name.as_ref().into(),
            origin: authority.map_or("", |authority| authority.as_str()).into(),
            shared: endpoint.audience == Audience::Shared,
            selecting,
            settings: endpoint.cache,
        }
    }
}

/// What an answer is kept under. Cloning shares the texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    endpoint: Arc<str>,
    uri: ChannelName,
    variant: Arc<str>,
    accept: Option<Box<[u8]>>,
    /// Few APIs that follow it say so in `Vary`.
    prefer: Option<Box<[u8]>>,
}

/// A question to the cache.
#[derive(Debug, Clone)]
pub struct Lookup {
    rules: Arc<Rules>,
    key: Key,
    headers: HeaderMap,
    asker: Option<Arc<str>>,
    is_head: bool,
}

impl Lookup {
    /// GET of a canonical `uri` for those that share the key `variant`. `headers` are the client's
    /// own: the cache looks at `Accept`, at [`Rules::selecting`], `Range`, `Cache-Control` and
    /// `Pragma`; with `Authorization` among them a shared answer is kept only if it says so itself
    /// (RFC 9111, 3.5).
    pub fn new(rules: Arc<Rules>, uri: ChannelName, variant: Arc<str>, headers: HeaderMap) -> Self {
        let key = Key {
            endpoint: rules.endpoint.clone(),
            uri,
            variant,
            accept: joined(&headers, &ACCEPT),
            prefer: joined(&headers, &PREFER),
        };
        Self {
            rules,
            key,
            headers,
            asker: None,
            is_head: false,
        }
    }

    /// What is there may not be given to `identity` before the upstream has been asked on its
    /// behalf: nothing is fresh. Its fetches, which the caller makes with its own credentials, are
    /// shared with that identity only; a 304 (or any other success) shows that it may see it.
    pub fn on_behalf_of(mut self, identity: Arc<str>) -> Self {
        self.asker = Some(identity);
        self
    }

    /// HEAD: what is fetched for the client alone has no body, and is not kept.
    pub fn head(mut self) -> Self {
        self.is_head = true;
        self
    }

    /// The uri.
    pub fn uri(&self) -> &ChannelName {
        &self.key.uri
    }

    /// Whether the client has a say in what may be reused.
    fn has_wishes(&self) -> bool {
        !self.headers.is_empty()
            && (self.headers.contains_key(CACHE_CONTROL) || self.headers.contains_key(PRAGMA))
    }
}

/// What is there.
#[derive(Debug)]
pub enum Found {
    /// Can be given as it is.
    Fresh(Arc<Entry>),
    /// Something to validate, or to fall back on.
    Stale(Stale),
    /// Nothing.
    Miss,
    /// Nothing, and what comes will not be kept: each caller fetches for itself.
    Pass,
}

/// An answer that is not fresh.
#[derive(Debug, Clone)]
pub struct Stale {
    /// The answer.
    pub entry: Arc<Entry>,
    /// Nothing has changed since, as far as the gateway knows: it is merely old.
    pub(super) current: bool,
    /// May be given while it is fetched again.
    pub(super) usable: bool,
}

/// Reads the clocks.
type Clock = dyn Fn() -> Now + Send + Sync;

struct Inner {
    config: Config,
    clock: Box<Clock>,
    marks: Marks,
    store: Store,
    flights: Flights,
    counts: Counts,
}

/// The cache. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

impl Cache {
    /// An empty one.
    pub fn new(config: Config) -> Self {
        Self::with_clock(config, Now::read)
    }

    /// An empty one that goes by `clock`.
    pub fn with_clock(config: Config, clock: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                clock: Box::new(clock),
                marks: Marks::new(),
                store: Store::new(config.bytes),
                flights: Flights::new(config.max_waiting),
                counts: Counts::default(),
            }),
        }
    }

    /// What is there for `lookup`, at once. Counts a hit, and nothing else.
    pub fn lookup(&self, lookup: &Lookup, now: Now) -> Found {
        let found = self.inner.find(lookup, now);
        if let Found::Fresh(entry) = &found {
            self.inner.counts.add(entry.how_fresh());
        }
        found
    }

    /// Everything known of `uri` and of its queries is out of date.
    pub fn bump(&self, uri: &str) {
        self.inner.marks.bump(self.inner.marks.of_uri(uri));
    }

    /// The last change of `uri`, in the order of all changes.
    pub fn generation(&self, uri: &str) -> u64 {
        self.inner.marks.last(self.inner.marks.of_uri(uri))
    }

    /// Now, in the order of changes; for [`Self::is_current`].
    pub fn stamp(&self) -> Stamp {
        self.inner.marks.stamp()
    }

    /// Whether `uri` has not been bumped since `stamp`. May say no without reason.
    pub fn is_current(&self, uri: &str, stamp: Stamp) -> bool {
        let mark = self.inner.marks.of_uri(uri);
        self.inner.marks.hold(&[mark], stamp)
    }
}

impl Inner {
    fn now(&self) -> Now {
        (self.clock)()
    }

    fn find(&self, lookup: &Lookup, now: Now) -> Found {
        match self.store.get(&lookup.key) {
            None => Found::Miss,
            Some(Held::Pass { until }) if now.instant < until => Found::Pass,
            Some(Held::Pass { .. }) => Found::Miss,
            Some(Held::Kept(entries)) => entries
                .iter()
                .find(|entry| entry.suits(&lookup.headers))
                .map_or(Found::Miss, |entry| self.judge(entry, lookup, now)),
        }
    }

    fn judge(&self, entry: &Arc<Entry>, lookup: &Lookup, now: Now) -> Found {
        let current = self.marks.hold(entry.marks(), entry.stamp());
        let wishes = lookup.has_wishes();
        let open = current && lookup.asker.is_none();
        let agreeable = !wishes || entry.satisfies(&lookup.headers, now);
        if open && agreeable && entry.is_fresh(now) {
            return Found::Fresh(entry.clone());
        }
        Found::Stale(Stale {
            usable: open
                && entry.serves_while_revalidating(now)
                && !entry.is_refused(&lookup.headers),
            entry: entry.clone(),
            current,
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
