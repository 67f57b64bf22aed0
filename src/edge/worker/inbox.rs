//! A worker's inbox: what other threads ask of it. Posting never blocks; the worker takes
//! everything that waits in one go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::operations::{Finished, Joining};
use crate::edge::connection::Connection;
use crate::hub::{Worker, WorkerMessage};
use crate::session_id::SessionId;

/// Something for a worker to do.
#[derive(Debug)]
pub(super) enum Input {
    /// From the hub.
    Message(WorkerMessage),
    /// A connection to take over.
    Adopt(Box<Connection>),
    /// An operation of this connection's session has ended elsewhere.
    Finished {
        /// The connection's key, which stays its own until then.
        connection: u32,
        /// The end.
        finished: Finished,
    },
    /// It takes too long: it is refused, and undone if it ends after all.
    TimedOut {
        /// The connection's key, which stays its own until then.
        connection: u32,
    },
    /// Joins ended after they had been refused for taking too long.
    Late {
        /// Whose they were.
        session: SessionId,
        /// What may have to be undone.
        joined: Vec<Joining>,
    },
    /// The node's mailboxes hold too much, and this worker has the largest: cut it.
    CutLargest,
    /// Close what is open and end.
    Stop,
}

/// The inbox. Deliveries are bounded by the node's budget for publications, connections by the
/// permits that they hold, the rest by calls that wait for an answer.
#[derive(Debug)]
pub(super) struct Inbox {
    /// `None`: the worker has ended, and what comes is dropped.
    queue: Mutex<Option<Vec<Input>>>,
    waker: mio::Waker,
    /// Set before the worker goes to sleep: only then does a post pay for a wake-up.
    asleep: AtomicBool,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self {
            queue: Mutex::new(Some(Vec::new())),
            waker,
            asleep: AtomicBool::new(false),
        }
    }

    /// Puts `input` in and wakes the worker if it sleeps.
    pub(super) fn put(&self, input: Input) {
        match &mut *self.queue() {
            Some(queue) => queue.push(input),
            None => return,
        }
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            // The worker looks again at its next deadline or event.
            tracing::error!(%error, "a worker could not be woken");
        }
    }

    /// Takes everything that waits into `taken`, which must be empty.
    pub(super) fn take(&self, taken: &mut Vec<Input>) {
        if let Some(queue) = &mut *self.queue() {
            std::mem::swap(queue, taken);
        }
    }

    /// Says that the worker is about to sleep; false: there is work, do not.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = self.queue().as_ref().is_none_or(Vec::is_empty);
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// The worker ends, in whatever way: nothing piles up, and whoever waits for an answer hears
    /// that there is none.
    pub(super) fn close(&self) {
        let left = self.queue().take();
        drop(left);
    }

    /// Whether the worker has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue().is_none()
    }

    fn queue(&self) -> MutexGuard<'_, Option<Vec<Input>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the worker is up.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Worker for Inbox {
    fn post(&self, message: WorkerMessage) {
        self.put(Input::Message(message));
    }
}
