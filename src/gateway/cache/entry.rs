//! An answer that is kept, or shared by those who waited for it.

use std::any::Any;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    PRAGMA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_cache_semantics::RequestLike;

use super::control::{self, Control};
use super::marks::{Mark, Marks, Stamp};
use super::policy::{Terms, Times, age, joined, system};
use super::{How, Lookup, clean};
use crate::clock::Now;

/// What an entry weighs beside its body and headers.
const OVERHEAD: usize = 1024;
/// Most surrogate keys and groups of one answer; one with more is not kept.
const MAX_TAGS: usize = 128;

/// What a 304 leaves as it was.
const DESCRIBES: [&str; 5] = [
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "etag",
];

/// A whole answer.
pub struct Entry {
    /// The status.
    pub status: StatusCode,
    /// The headers, [`clean`], without `Age` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// As they came, for what a 304 changes: surrogate keys are needed again.
    tags: Tags,
    terms: Option<Box<Terms>>,
    /// The client's headers that it depends on, as they were.
    selected: Vec<(HeaderName, Option<Box<[u8]>>)>,
    stamp: Stamp,
    sent: Instant,
    came: Instant,
    /// Its age when it came.
    age: Duration,
    memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What an answer can be invalidated by.
#[derive(Debug, Clone, Default)]
struct Tags {
    marks: Vec<Mark>,
    surrogate: Option<HeaderValue>,
}

/// Where and when an entry was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth<'a> {
    pub(super) lookup: &'a Lookup,
    pub(super) marks: &'a Marks,
    pub(super) stamp: Stamp,
    pub(super) times: Times,
}

impl Entry {
    /// An answer that came; `terms`: it may be kept. Too many tags: it may not.
    pub(super) fn new(
        birth: Birth<'_>,
        status: StatusCode,
        mut headers: HeaderMap,
        body: Bytes,
        terms: Option<Box<Terms>>,
    ) -> Self {
        let tags = tags(birth, &headers);
        let age = age(&headers, birth.times);
        let terms = terms.filter(|_| tags.marks.len() <= MAX_TAGS);
        clean(&mut headers);
        headers.remove(AGE);
        headers.remove(CONTENT_LENGTH);
        let vary = terms.iter().flat_map(|terms| &terms.vary);
        let selected = vary
            .map(|name| (name.clone(), joined(&birth.lookup.headers, name)))
            .collect();
        Self {
            status,
            headers,
            body,
            tags,
            terms,
            selected,
            stamp: birth.stamp,
            sent: birth.times.sent.instant,
            came: birth.times.came.instant,
            age,
            memo: OnceLock::new(),
        }
    }

    /// How long ago the upstream (or a cache before it) made it.
    pub fn age(&self, now: Now) -> Duration {
        self.age + now.instant.saturating_duration_since(self.came)
    }

    /// Fresh for so long from `now` on.
    pub fn ttl(&self, now: Now) -> Duration {
        let resident = now.instant.saturating_duration_since(self.came);
        self.fresh().saturating_sub(resident)
    }

    /// The entity tag, quotes and all.
    pub fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }

    /// What `make` makes of this entry: once, and kept with it. One kind of thing for an entry: of
    /// another kind nothing is kept, and `make` is called each time.
    pub fn memo<T: Clone + Send + Sync + 'static>(&self, make: impl FnOnce(&Self) -> T) -> T {
        if let Some(known) = self.memo.get() {
            return match known.downcast_ref::<T>() {
                Some(known) => known.clone(),
                None => make(self),
            };
        }
        let made = make(self);
        let _ = self.memo.set(Box::new(made.clone()));
        made
    }

    pub(super) fn may_be_kept(&self) -> bool {
        self.terms.is_some()
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.tags.marks
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn sent(&self) -> Instant {
        self.sent
    }

    /// Whether it says that there is nothing.
    pub(super) fn how_fresh(&self) -> How {
        match self.status.as_u16() {
            404 | 410 => How::Negative,
            _ => How::Hit,
        }
    }

    /// Whether it was given to a client that asked alike.
    pub(super) fn suits(&self, headers: &HeaderMap) -> bool {
        self.selected
            .iter()
            .all(|(name, value)| joined(headers, name) == *value)
    }

    /// Whether one replaces the other.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.selected == other.selected
    }

    pub(super) fn is_fresh(&self, now: Now) -> bool {
        !self.ttl(now).is_zero()
    }

    /// Whether the client's own `Cache-Control` is content with it.
    pub(super) fn satisfies(&self, headers: &HeaderMap, now: Now) -> bool {
        let Some(terms) = &self.terms else {
            return false;
        };
        let request = Wishes::new(headers);
        let decided = terms.policy.before_request(&request, system(now));
        decided.satisfies_without_revalidation()
    }

    /// Whether the client wants nothing that has not been validated.
    pub(super) fn is_refused(&self, headers: &HeaderMap) -> bool {
        let wishes = Control::read(headers, &CACHE_CONTROL);
        ["no-cache", "max-age", "min-fresh"]
            .iter()
            .any(|name| wishes.has(name))
            || headers
                .get(PRAGMA)
                .is_some_and(|line| line.as_bytes() == b"no-cache")
    }

    pub(super) fn serves_while_revalidating(&self, now: Now) -> bool {
        self.within(now, |terms| terms.while_revalidating)
    }

    pub(super) fn serves_if_error(&self, now: Now) -> bool {
        self.within(now, |terms| terms.if_error)
    }

    fn within(&self, now: Now, beyond: impl Fn(&Terms) -> Duration) -> bool {
        let resident = now.instant.saturating_duration_since(self.came);
        let beyond = self
            .terms
            .as_ref()
            .map_or(Duration::ZERO, |terms| beyond(terms));
        !beyond.is_zero() && resident < self.fresh().saturating_add(beyond)
    }

    fn fresh(&self) -> Duration {
        self.terms
            .as_ref()
            .map_or(Duration::ZERO, |terms| terms.fresh)
    }

    /// What to ask the upstream, to learn whether it still stands. A time is of no use after a
    /// change: it cannot tell two of one second apart.
    pub(super) fn conditions(&self, current: bool) -> Option<HeaderMap> {
        let mut conditions = HeaderMap::new();
        if let Some(etag) = self.headers.get(ETAG) {
            conditions.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(time) = self.headers.get(LAST_MODIFIED).filter(|_| current) {
            conditions.insert(IF_MODIFIED_SINCE, time.clone());
        }
        (!conditions.is_empty()).then_some(conditions)
    }

    /// Its headers as a 304 with `new` changes them.
    pub(super) fn updated(&self, new: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(keys) = &self.tags.surrogate {
            headers.insert("surrogate-key", keys.clone());
        }
        for name in new.keys() {
            // The body stays, and so does what describes it.
            if DESCRIBES.contains(&name.as_str()) {
                continue;
            }
            headers.remove(name);
            for value in new.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers
    }

    pub(super) fn weight(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum();
        OVERHEAD + self.body.len() + headers + 8 * self.tags.marks.len()
    }
}

fn tags(birth: Birth<'_>, headers: &HeaderMap) -> Tags {
    let Birth { lookup, marks, .. } = birth;
    let surrogate = headers.get("surrogate-key").cloned();
    let mut found = vec![marks.of_uri(lookup.uri().as_str())];
    found.extend(surrogate_keys(headers).map(|key| marks.of_key(key)));
    let groups = groups(headers, "cache-groups");
    let origin = &lookup.rules.origin;
    found.extend(groups.map(|group| marks.of_group(origin, group)));
    Tags {
        marks: found,
        surrogate,
    }
}

/// The keys of `Surrogate-Key`.
pub(super) fn surrogate_keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all("surrogate-key").into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(str::split_ascii_whitespace)
}

/// The groups in a list of strings (RFC 9875).
pub(super) fn groups<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(control::split)
        .filter_map(|item| {
            item.strip_prefix('"')?
                .split_once('"')
                .map(|(text, _)| text)
        })
}

/// A request as `http-cache-semantics` takes it: only what the client wishes of caches.
struct Wishes(HeaderMap);

impl Wishes {
    fn new(headers: &HeaderMap) -> Self {
        let mut wishes = HeaderMap::new();
        let plain = Control::read(headers, &CACHE_CONTROL);
        if headers.contains_key(CACHE_CONTROL) {
            if let Ok(line) = HeaderValue::try_from(plain.plain()) {
                wishes.insert(CACHE_CONTROL, line);
            }
        } else if let Some(pragma) = headers.get(PRAGMA) {
            wishes.insert(PRAGMA, pragma.clone());
        }
        Self(wishes)
    }
}

impl RequestLike for Wishes {
    fn uri(&self) -> Uri {
        Uri::default()
    }

    fn is_same_uri(&self, _: &Uri) -> bool {
        true
    }

    fn method(&self) -> &Method {
        &Method::GET
    }

    fn headers(&self) -> &HeaderMap {
        &self.0
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
