//! Questions to all workers at once. How many wait for an answer is bounded by the callers: the
//! control plane bounds its calls in flight. Whoever does not answer in time is named in the
//! result, never passed over.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{Hub, SessionAction, SessionFilter, SessionInfo, WorkerMessage};
use crate::session_id::SessionId;

/// What the workers answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The sessions that matched.
    pub sessions: usize,
    /// Workers that did not answer within `hub.answer_timeout`.
    pub unanswered: usize,
}

impl Hub {
    /// Does `action` to every session of this node that matches. It is on its way to all workers
    /// before the first wait, so dropping the future does not take it back.
    pub async fn act(&self, filter: SessionFilter, action: SessionAction) -> Tally {
        let (answers, unanswered) = self
            .ask(|reply| WorkerMessage::Act {
                filter: filter.clone(),
                action: action.clone(),
                reply,
            })
            .await;
        Tally {
            sessions: answers.into_iter().sum(),
            unanswered,
        }
    }

    /// The first `limit` sessions of this node that match and whose ids follow `after`, in order,
    /// and how many workers did not answer.
    pub async fn list(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> (Vec<SessionInfo>, usize) {
        let (answers, unanswered) = self
            .ask(|reply| WorkerMessage::List {
                filter: filter.clone(),
                after,
                limit,
                reply,
            })
            .await;
        let mut sessions: Vec<_> = answers.into_iter().flatten().collect();
        sessions.sort_unstable_by_key(|session| session.id);
        sessions.truncate(limit);
        (sessions, unanswered)
    }

    /// The endpoints in force have changed: sessions leave the ordinary channels that lie where
    /// endpoints are now.
    pub fn rerouted(&self) {
        for worker in self.attached() {
            worker.post(WorkerMessage::Rerouted);
        }
    }

    /// Tells every session to go and has them closed over `period`.
    pub fn drain(&self, period: Duration) {
        for worker in self.attached() {
            worker.post(WorkerMessage::Drain { period });
        }
    }

    async fn ask<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> WorkerMessage,
    ) -> (Vec<T>, usize) {
        let mut waiting = Vec::new();
        for worker in self.attached() {
            let (reply, answer) = oneshot::channel();
            worker.post(question(reply));
            waiting.push(answer);
        }
        let deadline = Instant::now() + self.config.answer_timeout;
        let (mut answers, mut unanswered) = (Vec::with_capacity(waiting.len()), 0);
        for answer in waiting {
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answers.push(answer),
                _ => unanswered += 1,
            }
        }
        (answers, unanswered)
    }
}
