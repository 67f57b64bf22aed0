//! Runs the schedule: notices, timers and the ends of requests go in, requests go out.
//!
//! Invariants: a turn never waits for a request; the end is bounded.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use super::Config;
use super::client::{Client, SendError};
use super::lane::{After, Attempt, LaneId};
use super::schedule::Schedule;
use crate::clock::Now;
use crate::metrics::Webhooks;
use crate::notice::{Notice, NoticeReader};

/// Notices that are taken at a time.
const TURN: usize = 256;
/// How often it is said that notices were lost.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What makes requests.
pub(super) trait Post: Clone + Send + Sync + 'static {
    /// Makes one.
    fn post(&self, attempt: Attempt) -> impl Future<Output = Result<(), SendError>> + Send;
}

impl Post for Client {
    fn post(&self, attempt: Attempt) -> impl Future<Output = Result<(), SendError>> + Send {
        Client::post(self, attempt)
    }
}

/// A configuration in force, and what makes requests under it.
#[derive(Debug, Clone)]
pub(super) struct Plan<P> {
    pub(super) config: Arc<Config>,
    pub(super) client: P,
}

pub(super) struct Driver<P> {
    plan: watch::Receiver<Plan<P>>,
    notices: NoticeReader,
    metrics: Webhooks,
    schedule: Schedule,
    requests: JoinSet<Result<(), SendError>>,
    lanes: HashMap<Id, LaneId>,
    /// Notices that were lost and not told of yet, and when that was told last.
    lost: usize,
    said: Option<Instant>,
}

impl<P: Post> Driver<P> {
    pub(super) fn new(
        plan: watch::Receiver<Plan<P>>,
        notices: NoticeReader,
        metrics: Webhooks,
    ) -> Self {
        let config = Arc::clone(&plan.borrow().config);
        Self {
            plan,
            notices,
            schedule: Schedule::new(config, metrics.clone()),
            metrics,
            requests: JoinSet::new(),
            lanes: HashMap::new(),
            lost: 0,
            said: None,
        }
    }

    /// Sends until `shutdown`, then what is left for as long as `pusher.webhook_drain` allows.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut end: Option<tokio::time::Instant> = None;
        let mut read = Vec::with_capacity(TURN);
        let mut open = true;
        loop {
            self.start_requests();
            let over =
                end.is_some() && self.notices.is_empty() && self.schedule.waiting() == (0, 0);
            if over {
                return;
            }
            let wake = self.schedule.wake();
            tokio::select! {
                () = &mut shutdown, if end.is_none() => {
                    let drain = self.plan.borrow().config.drain;
                    end = Some(tokio::time::Instant::now() + drain);
                    self.take_rest(&mut read).await;
                    self.schedule.end();
                }
                () = until(end) => {
                    self.give_up();
                    return;
                }
                taken = self.notices.read(&mut read, TURN), if open => {
                    open = taken > 0;
                    self.take(&mut read);
                }
                Some(ended) = self.requests.join_next_with_id(), if !self.requests.is_empty() => {
                    self.finish(ended);
                }
                Ok(()) = self.plan.changed() => {
                    let config = Arc::clone(&self.plan.borrow_and_update().config);
                    self.schedule.reconfigure(config);
                }
                () = until(wake.map(Into::into)) => {}
            }
        }
    }

    fn start_requests(&mut self) {
        while let Some(attempt) = self.schedule.attempt(now()) {
            let (lane, client) = (attempt.lane, self.plan.borrow().client.clone());
            let task = self
                .requests
                .spawn(async move { client.post(attempt).await });
            self.lanes.insert(task.id(), lane);
        }
        let (waiting, delayed) = self.schedule.waiting();
        self.metrics.set_queue("waiting", waiting);
        self.metrics.set_queue("delayed", delayed);
        self.metrics.set_queue("notices", self.notices.len());
    }

    fn take(&mut self, read: &mut Vec<Notice>) {
        let now = now().instant;
        for notice in read.drain(..) {
            self.schedule.notice(&notice, now);
        }
        self.lost += self.notices.take_lost();
        if self.lost > 0 && self.said.is_none_or(|said| now - said >= SAY_EVERY) {
            tracing::warn!(
                notices = self.lost,
                "events for webhooks were lost: more than pusher.webhook_notices came at once"
            );
            self.lost = 0;
            self.said = Some(now);
        }
    }

    /// Takes what was told before the end.
    async fn take_rest(&mut self, read: &mut Vec<Notice>) {
        while !self.notices.is_empty() && self.notices.read(read, TURN).await > 0 {
            self.take(read);
        }
    }

    fn finish(&mut self, ended: Result<(Id, Result<(), SendError>), JoinError>) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(SendError::Failed(Box::new(error)))),
        };
        let Some(lane) = self.lanes.remove(&id) else {
            return;
        };
        let name = result.as_ref().map_or_else(SendError::name, |()| "ok");
        self.metrics.count_request(name);
        // Without random numbers all webhooks keep the same pauses.
        let chance = getrandom::u64().unwrap_or_default();
        let ended = self
            .schedule
            .finish(lane, result.is_ok(), now().instant, chance);
        let (Some((after, hook)), Err(error)) = (ended, result) else {
            return;
        };
        let (app, target) = (&*hook.app.id, &hook.target);
        let cause = cause(&error);
        match after {
            After::Again(true) => {
                tracing::warn!(app, %target, %error, cause, "a webhook failed and is tried again");
            }
            After::Dropped(events) => {
                tracing::warn!(app, %target, %error, cause, events, "a webhook's events are dropped");
            }
            _ => tracing::debug!(app, %target, %error, cause, "a webhook failed again"),
        }
    }

    fn give_up(&mut self) {
        let events = self.schedule.abandon();
        tracing::warn!(events, "webhooks that could not be sent before the end");
    }
}

/// The clock that timers follow, so that paused time is time here too.
fn now() -> Now {
    Now {
        instant: tokio::time::Instant::now().into_std(),
        ..Now::read()
    }
}

/// Never, if there is no time.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The innermost reason, which says most: the outer ones only say where.
fn cause(error: &SendError) -> Option<String> {
    let mut inner = std::error::Error::source(error)?;
    while let Some(next) = inner.source() {
        inner = next;
    }
    Some(inner.to_string())
}

#[cfg(test)]
mod tests;
