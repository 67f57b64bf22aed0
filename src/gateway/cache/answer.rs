//! What goes into the cache and comes out of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, SET_COOKIE};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use super::Entry;
use crate::gateway::upstream::UpstreamBody;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the upstream is to be asked.
#[derive(Debug, Clone)]
pub enum Ask {
    /// For the whole, without the client's conditions and range: the answer may be kept.
    Whole,
    /// As [`Self::Whole`] with these conditions: what is here may still be right.
    Validate(HeaderMap),
    /// What the client asked, its own conditions and range included: the answer is its alone.
    Own,
}

/// An upstream's answer.
#[derive(Debug)]
pub struct Fetched {
    /// Its status.
    pub status: StatusCode,
    /// Its headers. Out of the cache: without those of [`clean`].
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
}

/// The body of an answer.
pub enum Body {
    /// It is there.
    Whole(Bytes),
    /// It comes.
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Response<Bytes>> for Fetched {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Body::Whole(body),
        }
    }
}

impl From<Response<UpstreamBody>> for Fetched {
    fn from(response: Response<UpstreamBody>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Body::Stream(body.map_err(Into::into).boxed_unsync()),
        }
    }
}

/// What [`super::Cache::get`] gives.
#[derive(Debug)]
pub struct Got {
    /// The answer.
    pub content: Content,
    /// Where it comes from.
    pub how: How,
}

/// An answer out of the cache, or past it.
#[derive(Debug)]
pub enum Content {
    /// Whole, and others may be given the same. Not every one of these is kept, and its status may
    /// be a failure's.
    Kept(Arc<Entry>),
    /// The caller's alone; the body may still be coming.
    Passed(Fetched),
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was there and fresh.
    Hit,
    /// It was there and fresh, and says that there is nothing.
    Negative,
    /// It was there, too old, but may be used.
    Stale,
    /// It was there, and the upstream says that it still stands.
    Revalidated,
    /// It was fetched.
    Miss,
    /// Another caller had it fetched meanwhile.
    Joined,
    /// It was fetched for this caller alone.
    Pass,
}

impl How {
    pub(super) const ALL: [Self; 7] = [
        Self::Hit,
        Self::Negative,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Joined,
        Self::Pass,
    ];

    /// The label of `pogo_gateway_cache_total`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Negative => "negative",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Pass => "pass",
        }
    }
}

/// What stands between two peers, or between the upstream and this cache.
const OURS: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "surrogate-key",
    "surrogate-control",
];

/// Takes out of an answer's headers what must not go on to a client: what is between two peers,
/// cookies, surrogate keys.
pub fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OURS {
        headers.remove(name);
    }
    headers.remove(SET_COOKIE);
}
