//! What may be kept of an answer, and for how long: `http-cache-semantics` decides on headers that
//! have been made plain for it. What it gets wrong or does not know is decided here: `Vary`, cookies,
//! stale answers, not-found ones, an endpoint's own bounds.

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, PRAGMA,
    RANGE, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::control::{self, Control};
use super::{Lookup, Rules};
use crate::clock::Now;

/// What Pogo itself tells the upstream of the client: what depends on it is not for others. (What
/// depends on a header that is neither here nor in `Rules::selecting` depends on nothing: no such
/// header reaches the upstream.)
const IDENTITY: [&str; 5] = [
    "authorization",
    "forwarded",
    "x-forwarded-for",
    "x-pogo-claims",
    "x-pogo-sub",
];
/// Lifetimes for caches in front of the upstream (RFC 9213; W3C's Edge Architecture).
const TARGETED: [&str; 2] = ["cdn-cache-control", "surrogate-control"];
/// An age that no lifetime reaches.
const AGES: Duration = Duration::from_secs(1 << 32);
/// Longest that "there is nothing" is believed.
const NEGATIVE: Duration = Duration::from_secs(1);

/// What may be done with an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: it is the caller's alone. `remember`: the next ones will be no different.
    Alone { remember: bool },
    /// Those who wait may have it too.
    Share,
    /// It may be kept.
    Keep(Box<Terms>),
}

/// On which terms an answer is kept.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) policy: CachePolicy,
    /// Fresh for so long since it came.
    pub(super) fresh: Duration,
    /// Beyond that usable while it is fetched again.
    pub(super) while_revalidating: Duration,
    /// Beyond that usable while the upstream fails.
    pub(super) if_error: Duration,
    /// The client's headers that it depends on.
    pub(super) vary: Vec<HeaderName>,
}

/// When a fetch was sent and answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) sent: Now,
    pub(super) came: Now,
}

/// The verdict on an answer with `status` and `headers` (as they came) to `lookup`.
pub(super) fn judge(
    lookup: &Lookup,
    status: StatusCode,
    headers: &HeaderMap,
    times: Times,
) -> Verdict {
    let asked = Control::read(&lookup.headers, &CACHE_CONTROL);
    if asked.has("no-store") || lookup.headers.contains_key(RANGE) {
        return Verdict::Alone { remember: false };
    }
    // A refusal is for who asked, and may tell of him; a 304 answers the client's own condition.
    let gone = matches!(status.as_u16(), 404 | 410);
    if status == StatusCode::NOT_MODIFIED || (status.is_client_error() && !gone) {
        return Verdict::Alone { remember: false };
    }
    if !(status.is_success() || status.is_redirection() || gone) {
        return Verdict::Share;
    }
    let said = control_of(&lookup.rules, headers);
    let personal = lookup.rules.shared && headers.contains_key(SET_COOKIE) && !said.has("public");
    let endless = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let Some(vary) = vary(&lookup.rules, headers) else {
        return Verdict::Alone { remember: true };
    };
    let policy = policy(lookup, status, headers, &said, times);
    if personal || endless || !policy.is_storable() {
        return Verdict::Alone { remember: true };
    }
    match terms(&lookup.rules, policy, headers, &said, times) {
        terms if terms.is_worth_keeping(status, headers) => Verdict::Keep(Box::new(Terms {
            vary,
            ..if gone {
                terms.negative(headers, &said)
            } else {
                terms
            }
        })),
        _ => Verdict::Share,
    }
}

fn terms(
    rules: &Rules,
    policy: CachePolicy,
    headers: &HeaderMap,
    said: &Control,
    times: Times,
) -> Terms {
    let settings = &rules.settings;
    let came = system(times.came);
    let most = settings.max_ttl.unwrap_or(Duration::MAX);
    let must_ask = said.has("must-revalidate")
        || said.has("no-cache")
        || (rules.shared && said.has("proxy-revalidate"))
        || (said.is_empty() && headers.contains_key(PRAGMA));
    // With s-maxage only what the answer itself allows.
    let strict = rules.shared && said.has("s-maxage");
    let beyond = |name: &str, ours: Duration| match said.seconds(name) {
        _ if must_ask => Duration::ZERO,
        Some(theirs) => theirs,
        None if strict => Duration::ZERO,
        None => ours,
    };
    Terms {
        fresh: policy.time_to_live(came).min(most),
        while_revalidating: beyond("stale-while-revalidate", settings.stale_while_revalidate),
        if_error: beyond("stale-if-error", settings.stale_if_error),
        vary: vec![],
        policy,
    }
}

impl Terms {
    fn is_worth_keeping(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let gone = matches!(status.as_u16(), 404 | 410);
        let later = self.while_revalidating.max(self.if_error);
        let validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
        gone || validator || !self.fresh.max(later).is_zero()
    }

    /// There is nothing: believed for a moment, unless the upstream says for how long.
    fn negative(self, headers: &HeaderMap, said: &Control) -> Self {
        let explicit = said.has("max-age") || said.has("s-maxage") || said.has("no-cache");
        let explicit = explicit || headers.contains_key(EXPIRES) || headers.contains_key(PRAGMA);
        let fresh = if explicit { self.fresh } else { NEGATIVE };
        Self {
            fresh: fresh.min(NEGATIVE),
            while_revalidating: Duration::ZERO,
            if_error: Duration::ZERO,
            ..self
        }
    }
}

/// What the upstream says of keeping this answer, to this cache first.
fn control_of(rules: &Rules, headers: &HeaderMap) -> Control {
    let targeted = TARGETED.map(HeaderName::from_static);
    let mut controls = targeted
        .iter()
        .map(|name| Control::read(headers, name).for_all())
        .filter(|control| rules.shared && !control.is_empty());
    let general = || Control::read(headers, &CACHE_CONTROL);
    controls.next().unwrap_or_else(general)
}

/// The client's headers that the answer depends on; none: it depends on who asks, or on everything.
fn vary(rules: &Rules, headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut found = vec![];
    for line in headers.get_all(VARY) {
        for name in control::split(line.to_str().ok()?) {
            let name: HeaderName = name.parse().ok()?;
            if name.as_str() == "*" || IDENTITY.contains(&name.as_str()) {
                return None;
            }
            if rules.selecting.contains(&name) && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    Some(found)
}

/// The headers in question, one line each and in the one spelling that the crate reads.
fn policy(
    lookup: &Lookup,
    status: StatusCode,
    headers: &HeaderMap,
    said: &Control,
    times: Times,
) -> CachePolicy {
    let mut plain = HeaderMap::new();
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            plain.insert(name, value);
        }
    };
    if !said.is_empty() {
        put(CACHE_CONTROL, said.plain());
    } else if let Some(pragma) = headers.get(PRAGMA).and_then(|line| line.to_str().ok()) {
        put(PRAGMA, pragma.to_ascii_lowercase());
    }
    for name in [DATE, LAST_MODIFIED] {
        if let Some(time) = headers.get(&name).and_then(date) {
            put(name, httpdate::fmt_http_date(time));
        }
    }
    let mut expires = headers.get_all(EXPIRES).iter();
    if let Some(first) = expires.next() {
        // What is no date, or several, has passed.
        let time = date(first).filter(|_| expires.next().is_none());
        put(
            EXPIRES,
            time.map_or_else(|| "0".into(), httpdate::fmt_http_date),
        );
    }
    put(AGE, age(headers, times).as_secs().to_string());
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = plain;
    let mut request = Request::new(());
    if let Some(credentials) = lookup.headers.get(AUTHORIZATION) {
        let hidden = HeaderValue::from_static("x");
        let shown = if credentials.is_empty() {
            None
        } else {
            Some(hidden)
        };
        request
            .headers_mut()
            .extend(shown.map(|x| (AUTHORIZATION, x)));
    }
    let options = CacheOptions {
        shared: lookup.rules.shared,
        cache_heuristic: 0.0,
        immutable_min_time_to_live: Duration::ZERO,
        ignore_cargo_cult: false,
    };
    CachePolicy::new_options(&request, &response, system(times.came), options)
}

/// How old the answer was when it came (RFC 9111, 4.2.3, without the clocks of others). An age
/// that cannot be read is taken for the worst.
pub(super) fn age(headers: &HeaderMap, times: Times) -> Duration {
    let read = |line: &HeaderValue| {
        let digits = line.as_bytes().split(|byte| !byte.is_ascii_digit()).next();
        let digits = std::str::from_utf8(digits.unwrap_or_default()).ok()?;
        control::seconds(digits)
    };
    let lines = headers.get_all(AGE).iter();
    let said = lines.map(|line| read(line).unwrap_or(AGES)).max();
    let delay = times
        .came
        .instant
        .saturating_duration_since(times.sent.instant);
    said.unwrap_or_default() + delay
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

pub(super) fn system(now: Now) -> SystemTime {
    SystemTime::UNIX_EPOCH + now.unix
}

/// All lines of a header in one, the spaces around its commas gone.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Box<[u8]>> {
    let mut whole = vec![];
    for line in headers.get_all(name) {
        for part in line.as_bytes().split(|byte| *byte == b',') {
            if !whole.is_empty() {
                whole.push(b',');
            }
            whole.extend_from_slice(part.trim_ascii());
        }
    }
    headers.contains_key(name).then(|| whole.into())
}
