//! Taking an upstream's answer in: whole and into the store where it may be kept, else on to the
//! caller as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Frame;
use tokio::time::{Instant, timeout_at};

use super::entry::Birth;
use super::marks::Stamp;
use super::policy::{Terms, Times, Verdict, judge};
use super::{Body, BoxError, Entry, Fetched, Inner, Lookup, clean};
use crate::clock::Now;
use crate::gateway::failure;
use crate::resource::Failure;

/// How long "uncacheable" is remembered.
const PASS: Duration = Duration::from_secs(120);

/// How long an answer may take to be whole; one that takes longer goes on as it comes, so that
/// nobody waits for what never ends.
const WHOLE: Duration = Duration::from_secs(10);

/// When a fetch began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trip {
    stamp: Stamp,
    sent: Now,
}

impl Trip {
    pub(super) fn begin(stamp: Stamp, sent: Now) -> Self {
        Self { stamp, sent }
    }
}

/// An answer that was taken in.
pub(super) enum Taken {
    /// Whole: it may be shared, and is kept if that may be.
    Whole(Arc<Entry>),
    /// The caller's.
    Alone(Fetched),
}

/// A body, read up to a bound.
enum Read {
    Whole(Bytes),
    Longer(Body),
}

impl Inner {
    /// Takes in what a flight brought.
    pub(super) async fn take(
        &self,
        lookup: &Lookup,
        fetched: Fetched,
        trip: Trip,
    ) -> Result<Taken, Failure> {
        self.take_if(lookup, fetched, trip, |_| true).await
    }

    /// Takes in what was fetched past all others: whole only if it may be kept.
    pub(super) async fn take_alone(
        &self,
        lookup: &Lookup,
        fetched: Fetched,
        trip: Trip,
    ) -> Result<Taken, Failure> {
        let whole = !lookup.is_head;
        let keeps = |verdict: &Verdict| whole && matches!(verdict, Verdict::Keep(_));
        self.take_if(lookup, fetched, trip, keeps).await
    }

    async fn take_if(
        &self,
        lookup: &Lookup,
        mut fetched: Fetched,
        trip: Trip,
        wanted: impl Fn(&Verdict) -> bool,
    ) -> Result<Taken, Failure> {
        let times = Times {
            sent: trip.sent,
            came: self.now(),
        };
        let verdict = judge(lookup, fetched.status, &fetched.headers, times);
        let bound = self.config.entry_bytes;
        let (terms, uncacheable) = match verdict {
            Verdict::Alone { remember } => (None, Some(remember)),
            _ if is_too_long(&fetched, bound) => (None, Some(true)),
            verdict if !wanted(&verdict) => (None, Some(false)),
            Verdict::Share => (None, None),
            Verdict::Keep(terms) => (Some(terms), None),
        };
        if let Some(remember) = uncacheable {
            return Ok(self.leave(lookup, fetched, remember, times));
        }
        match read(fetched.body, bound, WHOLE).await? {
            Read::Whole(body) => {
                let birth = self.birth(lookup, trip, times);
                let entry = Entry::new(birth, fetched.status, fetched.headers, body, terms);
                Ok(Taken::Whole(self.keep(lookup, entry)))
            }
            Read::Longer(body) => {
                fetched.body = body;
                Ok(self.leave(lookup, fetched, true, times))
            }
        }
    }

    fn leave(&self, lookup: &Lookup, mut fetched: Fetched, remember: bool, times: Times) -> Taken {
        if remember {
            let until = times.came.instant + PASS;
            self.store.pass(&lookup.key, until, &self.marks);
        }
        clean(&mut fetched.headers);
        Taken::Alone(fetched)
    }

    /// What was kept still stands: with the headers of the 304.
    pub(super) fn renew(
        &self,
        lookup: &Lookup,
        entry: &Entry,
        new: &HeaderMap,
        trip: Trip,
    ) -> Arc<Entry> {
        let headers = entry.updated(new);
        let times = Times {
            sent: trip.sent,
            came: self.now(),
        };
        let terms = self.terms(lookup, entry.status, &headers, times);
        let birth = self.birth(lookup, trip, times);
        let entry = Entry::new(birth, entry.status, headers, entry.body.clone(), terms);
        self.keep(lookup, entry)
    }

    fn terms(
        &self,
        lookup: &Lookup,
        status: StatusCode,
        headers: &HeaderMap,
        times: Times,
    ) -> Option<Box<Terms>> {
        match judge(lookup, status, headers, times) {
            Verdict::Keep(terms) => Some(terms),
            _ => None,
        }
    }

    fn birth<'a>(&'a self, lookup: &'a Lookup, trip: Trip, times: Times) -> Birth<'a> {
        Birth {
            lookup,
            marks: &self.marks,
            stamp: trip.stamp,
            times,
        }
    }

    fn keep(&self, lookup: &Lookup, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.store.put(&lookup.key, &entry, &self.marks);
        entry
    }
}

fn is_too_long(fetched: &Fetched, bound: usize) -> bool {
    let length = fetched.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|line| line.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length > bound as u64)
}

async fn read(body: Body, bound: usize, within: Duration) -> Result<Read, Failure> {
    let mut body = match body {
        Body::Whole(bytes) if bytes.len() <= bound => return Ok(Read::Whole(bytes)),
        whole @ Body::Whole(_) => return Ok(Read::Longer(whole)),
        Body::Stream(body) => body,
    };
    let mut whole = BytesMut::new();
    let late = Instant::now() + within;
    loop {
        let Ok(next) = timeout_at(late, body.frame()).await else {
            let body = following(whole.freeze(), body);
            return Ok(Read::Longer(Body::Stream(body)));
        };
        let Some(frame) = next else {
            return Ok(Read::Whole(whole.freeze()));
        };
        let cut = |_| failure::bad_answer("the upstream's answer was cut off");
        let Ok(part) = frame.map_err(cut)?.into_data() else {
            continue;
        };
        whole.extend_from_slice(&part);
        if whole.len() > bound {
            let body = following(whole.freeze(), body);
            return Ok(Read::Longer(Body::Stream(body)));
        }
    }
}

/// What was read already, and what still comes.
fn following(read: Bytes, rest: UnsyncBoxBody<Bytes, BoxError>) -> UnsyncBoxBody<Bytes, BoxError> {
    let first = stream::iter([Ok(Frame::data(read))]);
    StreamBody::new(first.chain(BodyStream::new(rest))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_end_is_not_waited_for() {
        let parts = stream::iter([Ok(Frame::data(Bytes::from_static(b"a")))]);
        let never = stream::pending::<Result<Frame<Bytes>, BoxError>>();
        let body = Body::Stream(StreamBody::new(parts.chain(never)).boxed_unsync());
        let read = read(body, 1024, Duration::from_millis(20)).await.unwrap();
        let Read::Longer(Body::Stream(mut body)) = read else {
            panic!("it never ended");
        };
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(
            first.into_data().unwrap(),
            "a",
            "it begins at its beginning"
        );
    }
}
