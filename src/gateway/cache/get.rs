//! Getting an answer: from the store, by a flight, or past both.

use std::future::Future;
use std::sync::Arc;

use http::StatusCode;
use http::header::{CACHE_CONTROL, RANGE};
use tokio::sync::oneshot;

use super::control::Control;
use super::flight::{Boarding, Course, Flights, Landed, Lead};
use super::marks::Stamp;
use super::take::{Taken, Trip};
use super::{Ask, Cache, Content, Entry, Fetched, Found, Got, How, Inner, Lookup, Stale};
use crate::code::ErrorCode;
use crate::gateway::failure;
use crate::resource::Failure;

impl Cache {
    /// The answer to `lookup`, by whatever way is right. `fetch` asks the upstream, with the
    /// caller's credentials; it is called at most once, perhaps in a task of its own that outlives
    /// the caller.
    ///
    /// # Errors
    /// There is no answer: the fetch failed and nothing stale may be used, or too many wait.
    pub async fn get<F, Fut>(&self, lookup: Lookup, fetch: F) -> Result<Got, Failure>
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let inner = &self.inner;
        let found = inner.find(&lookup, inner.now());
        let got = inner.clone().pursue(lookup, found, fetch).await;
        if let Ok(got) = &got {
            inner.counts.add(got.how);
        }
        got
    }
}

fn kept(entry: Arc<Entry>, how: How) -> Got {
    Got {
        content: Content::Kept(entry),
        how,
    }
}

impl Inner {
    async fn pursue<F, Fut>(
        self: Arc<Self>,
        lookup: Lookup,
        found: Found,
        fetch: F,
    ) -> Result<Got, Failure>
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let previous = match found {
            Found::Fresh(entry) => {
                let how = entry.how_fresh();
                return Ok(kept(entry, how));
            }
            Found::Stale(stale) if stale.usable => {
                let entry = stale.entry.clone();
                self.refresh(lookup, stale, fetch);
                return Ok(kept(entry, How::Stale));
            }
            Found::Stale(stale) => Some(stale),
            Found::Miss => None,
            Found::Pass => return self.pass(&lookup, &fetch).await,
        };
        let wishes = Control::read(&lookup.headers, &CACHE_CONTROL);
        if wishes.has("only-if-cached") {
            let message = "nothing is kept that could be given";
            return Err(Failure {
                http: Some(504),
                ..failure::plain(ErrorCode::Timeout, message)
            });
        }
        if wishes.has("no-store") || lookup.headers.contains_key(RANGE) {
            return self.pass(&lookup, &fetch).await;
        }
        self.share(lookup, previous, fetch).await
    }

    /// Fetches for this caller alone. What turns out to be cacheable is kept all the same.
    async fn pass<F, Fut>(&self, lookup: &Lookup, fetch: &F) -> Result<Got, Failure>
    where
        F: Fn(Ask) -> Fut,
        Fut: Future<Output = Result<Fetched, Failure>>,
    {
        let trip = Trip::begin(self.marks.stamp(), self.now());
        let fetched = fetch(Ask::Own).await?;
        let content = match self.take_alone(lookup, fetched, trip).await? {
            Taken::Whole(entry) => Content::Kept(entry),
            Taken::Alone(fetched) => Content::Passed(fetched),
        };
        Ok(Got {
            content,
            how: How::Pass,
        })
    }

    /// Joins the fetch that is under way, or makes it.
    async fn share<F, Fut>(
        self: Arc<Self>,
        lookup: Lookup,
        previous: Option<Stale>,
        fetch: F,
    ) -> Result<Got, Failure>
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let now = self.marks.stamp();
        match self.board(&lookup) {
            Err(entry) => {
                let how = entry.how_fresh();
                Ok(kept(entry, how))
            }
            Ok(Boarding::Full) => Err(failure::unavailable("too many wait for answers", None)),
            Ok(Boarding::Join(mut landing, since, room)) => {
                let landed = {
                    let _waiting = self.flights.wait();
                    let landed = landing.wait_for(Option::is_some).await;
                    landed.ok().and_then(|landed| landed.clone())
                };
                drop(room);
                match landed {
                    Some(Landed::Shared(entry, how)) if self.is_for(&entry, since, now) => {
                        let how = if how == How::Miss { How::Joined } else { how };
                        Ok(kept(entry, how))
                    }
                    Some(Landed::Failed(failure)) => Err(*failure),
                    _ => self.pass(&lookup, &fetch).await,
                }
            }
            Ok(Boarding::Lead(lead)) => {
                let landing = self.depart(lookup, previous, fetch, lead);
                let lost = || failure::plain(ErrorCode::Internal, "the fetch came to nothing");
                landing.await.map_err(|_| lost())?
            }
        }
    }

    /// Whether someone who came at `now` may have what was fetched `since`: a tag that it turned
    /// out to have may have been invalidated in between.
    fn is_for(&self, entry: &Entry, since: Stamp, now: Stamp) -> bool {
        since == now || self.marks.hold(entry.marks(), since)
    }

    fn board(self: &Arc<Self>, lookup: &Lookup) -> Result<Boarding, Arc<Entry>> {
        Flights::board(
            self,
            Course::of(lookup),
            |since| self.is_current(lookup, since),
            || match self.find(lookup, self.now()) {
                Found::Fresh(entry) => Some(entry),
                _ => None,
            },
        )
    }

    fn is_current(&self, lookup: &Lookup, since: Stamp) -> bool {
        let mark = self.marks.of_uri(lookup.uri().as_str());
        self.marks.hold(&[mark], since) && self.store.fence() <= since
    }

    /// Fetches again what is stale, for whoever comes next.
    fn refresh<F, Fut>(self: Arc<Self>, lookup: Lookup, stale: Stale, fetch: F)
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let is_current = |since| self.is_current(&lookup, since);
        if self.flights.is_under_way(&Course::of(&lookup), is_current) {
            return;
        }
        if let Ok(Boarding::Lead(lead)) = self.board(&lookup) {
            drop(self.depart(lookup, Some(stale), fetch, lead));
        }
    }

    /// The flight: a task that fetches, keeps and tells, whoever still waits.
    fn depart<F, Fut>(
        self: &Arc<Self>,
        lookup: Lookup,
        previous: Option<Stale>,
        fetch: F,
        lead: Box<Lead>,
    ) -> oneshot::Receiver<Result<Got, Failure>>
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let inner = self.clone();
        tokio::spawn(async move {
            let stamp = lead.stamp;
            let result = inner.fly(&lookup, previous, &fetch, stamp).await;
            let (landed, result) = match result {
                Ok((Taken::Whole(entry), how)) => {
                    (Landed::Shared(entry.clone(), how), Ok(kept(entry, how)))
                }
                Ok((Taken::Alone(fetched), _)) => {
                    let content = Content::Passed(fetched);
                    let how = How::Pass;
                    (Landed::Alone, Ok(Got { content, how }))
                }
                Err(failure) => (Landed::Failed(Box::new(failure.clone())), Err(failure)),
            };
            lead.land(landed);
            // A caller that has gone needs nothing.
            let _ = tell.send(result);
        });
        told
    }

    async fn fly<F, Fut>(
        &self,
        lookup: &Lookup,
        previous: Option<Stale>,
        fetch: &F,
        stamp: Stamp,
    ) -> Result<(Taken, How), Failure>
    where
        F: Fn(Ask) -> Fut,
        Fut: Future<Output = Result<Fetched, Failure>>,
    {
        let trip = Trip::begin(stamp, self.now());
        let asked = |stale: &Stale| stale.entry.conditions(stale.current);
        let conditions = previous.as_ref().and_then(asked);
        let ask = conditions.map_or(Ask::Whole, Ask::Validate);
        let validates = matches!(ask, Ask::Validate(_));
        let fetched = fetch(ask).await;
        // It was asked about this one answer only: a 304 means no other, whatever tag it bears.
        if let (Ok(answer), Some(stale), true) = (&fetched, &previous, validates)
            && answer.status == StatusCode::NOT_MODIFIED
        {
            let entry = self.renew(lookup, &stale.entry, &answer.headers, trip);
            return Ok((Taken::Whole(entry), How::Revalidated));
        }
        if let Some(entry) = self.fallback(lookup, previous, &fetched) {
            return Ok((Taken::Whole(entry), How::Stale));
        }
        let taken = self.take(lookup, fetched?, trip).await?;
        Ok((taken, How::Miss))
    }

    /// What may be given instead of an answer that failed.
    fn fallback(
        &self,
        lookup: &Lookup,
        previous: Option<Stale>,
        fetched: &Result<Fetched, Failure>,
    ) -> Option<Arc<Entry>> {
        let failed = match fetched {
            Ok(answer) => matches!(answer.status.as_u16(), 500 | 502 | 503 | 504),
            Err(failure) => failure.http.is_none_or(|status| status >= 500),
        };
        let stale = previous.filter(|_| failed)?;
        let still = self.marks.hold(stale.entry.marks(), stale.entry.stamp());
        let allowed = lookup.asker.is_none() && still && !stale.entry.is_refused(&lookup.headers);
        (allowed && stale.entry.serves_if_error(self.now())).then_some(stale.entry)
    }
}
