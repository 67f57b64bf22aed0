//! An upstream's answer to a GET, as sessions and replicas use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::cache::{Body, Content, Entry};
use super::upstream::retry_after;
use super::{body, failure, version};
use crate::clock::Now;
use crate::resource::{Endpoint, Failure, Success, VersionAt};

/// What the upstream showed. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Its status.
    pub(super) status: StatusCode,
    /// The entity tag, quotes and all.
    etag: Option<Arc<str>>,
    /// Its body as JSON text, empty where there is none; none: it is nothing for a session.
    pub(super) json: Option<Bytes>,
    /// The version, where the endpoint says where one is.
    pub(super) version: Option<u64>,
    /// It may be given to others until then.
    pub(super) until: Option<Instant>,
    body: Bytes,
    retry_after: Option<Duration>,
}

impl Seen {
    /// Out of the cache or past it. What is kept is looked through once.
    pub(super) fn of(endpoint: &Endpoint, content: Content) -> Result<Self, Failure> {
        match content {
            Content::Kept(entry) => {
                let seen = entry.memo(|entry: &Entry| {
                    Self::read(&endpoint.version, entry.status, &entry.headers, &entry.body)
                });
                let now = Now::read();
                let ttl = entry.ttl(now);
                let until = (!ttl.is_zero()).then(|| now.instant + ttl);
                Ok(Self { until, ..seen })
            }
            Content::Passed(fetched) => match fetched.body {
                Body::Whole(body) => Ok(Self::read(
                    &endpoint.version,
                    fetched.status,
                    &fetched.headers,
                    &body,
                )),
                Body::Stream(_) => Err(failure::bad_answer("the upstream's answer did not end")),
            },
        }
    }

    /// An answer, whole.
    pub(super) fn read(
        at: &VersionAt,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Self {
        let json = status
            .is_success()
            .then(|| body::json(headers, body))
            .flatten();
        let parsed = matches!(at, VersionAt::Body(_))
            .then(|| serde_json::from_slice::<Value>(json.as_ref()?).ok())
            .flatten();
        let etag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        Self {
            status,
            etag: etag.map(Into::into),
            version: version::of(at, Some(headers), parsed.as_ref()),
            json,
            until: None,
            body: body.clone(),
            retry_after: retry_after(headers),
        }
    }

    /// The entity tag.
    pub(super) fn etag(&self) -> Option<Box<str>> {
        self.etag.as_deref().map(Into::into)
    }

    /// What a session is answered.
    ///
    /// # Errors
    /// The upstream said no, or what it said is nothing for a session.
    pub(super) fn success(&self) -> Result<Success, Failure> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        let data = self.json.clone();
        let data = data.ok_or_else(|| failure::bad_answer("the upstream's answer is no JSON"))?;
        Ok(Success {
            code: Some(self.status.as_u16()),
            data,
            etag: self.etag(),
            ..Success::default()
        })
    }

    /// Of an answer that is no success.
    pub(super) fn refusal(&self) -> Failure {
        failure::refused(self.status, self.retry_after, &self.body)
    }
}
