//! How many requests an upstream has at a time. Beyond it a few wait, and not for long: a slow
//! upstream makes its own clients wait and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request may wait for its turn.
const WAIT: Duration = Duration::from_millis(250);

/// An upstream's places.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// Those that a client who sends slowly may hold: never all.
    uploads: Arc<Semaphore>,
    most_waiting: usize,
    waiting: AtomicUsize,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _place: OwnedSemaphorePermit,
    _upload: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(count)),
            uploads: Arc::new(Semaphore::new(count.div_ceil(2))),
            most_waiting: count,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place, now or soon; `upload`: its body comes from a client. None: it is full.
    pub(super) async fn take(&self, upload: bool) -> Option<Slot> {
        let upload = match upload {
            true => Some(self.wait(&self.uploads).await?),
            false => None,
        };
        Some(Slot {
            _place: self.wait(&self.all).await?,
            _upload: upload,
        })
    }

    async fn wait(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Some(place);
        }
        let _turn = Turn::take(self)?;
        let place = timeout(WAIT, Arc::clone(places).acquire_owned()).await;
        place.ok()?.ok()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Somebody waits.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(slots: &'a Slots) -> Option<Self> {
        let turn = Self(&slots.waiting);
        let before = slots.waiting.fetch_add(1, Ordering::Relaxed);
        (before < slots.most_waiting).then_some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_a_little() {
        let slots = Arc::new(Slots::new(1));
        let held = slots.take(false).await.unwrap();
        let (waiting, others) = tokio::join!(slots.take(false), async {
            tokio::task::yield_now().await;
            // One waits: the next is refused at once.
            let refused = timeout(Duration::ZERO, slots.take(false)).await;
            assert!(refused.unwrap().is_none());
            assert_eq!(slots.waiting(), 1);
            drop(held);
        });
        let () = others;
        let held = waiting.unwrap();
        let began = tokio::time::Instant::now();
        assert!(slots.take(false).await.is_none());
        assert!(began.elapsed() >= WAIT);
        assert_eq!(slots.waiting(), 0);
        drop(held);
        assert!(slots.take(false).await.is_some());
    }

    #[tokio::test]
    async fn those_who_send_slowly_do_not_hold_every_place() {
        let slots = Slots::new(4);
        let mut held = vec![];
        while let Some(slot) = slots.take(true).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 2);
        assert!(slots.take(false).await.is_some());
    }
}
