//! Fetches under way that others may wait for. A flight is a task of its own; whoever asks for the
//! same joins it, unless something has changed since it set off.
//!
//! Invariants: as many flights and waiters as the bound allows; a flight lands exactly once, also
//! when its fetch panics, and is off the map before that.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::marks::Stamp;
use super::policy::joined;
use super::{Entry, How, Key, Lookup};
use crate::resource::Failure;

/// What a flight brings to those who wait.
#[derive(Debug, Clone)]
pub(super) enum Landed {
    /// An answer for all.
    Shared(Arc<Entry>, How),
    /// No answer, for all.
    Failed(Box<Failure>),
    /// Nothing that can be shared: everyone fetches for himself.
    Alone,
}

/// Requests with the same `Course` may share a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Course {
    key: Key,
    selecting: Vec<Option<Box<[u8]>>>,
    asker: Option<Arc<str>>,
}

impl Course {
    pub(super) fn of(lookup: &Lookup) -> Self {
        Self {
            key: lookup.key.clone(),
            selecting: lookup
                .rules
                .selecting
                .iter()
                .map(|name| joined(&lookup.headers, name))
                .collect(),
            asker: lookup.asker.clone(),
        }
    }
}

/// One fetch.
#[derive(Debug)]
struct Flight {
    stamp: Stamp,
    number: u64,
    landed: watch::Receiver<Option<Landed>>,
}

#[derive(Debug)]
pub(super) struct Flights {
    under_way: Mutex<Table>,
    room: Arc<Semaphore>,
    waiters: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    flights: HashMap<Course, Flight>,
    last: u64,
}

/// What became of a wish to fetch.
pub(super) enum Boarding {
    /// Somebody is fetching it since `stamp`.
    Join(watch::Receiver<Option<Landed>>, Stamp, OwnedSemaphorePermit),
    /// Nobody is: fetch it.
    Lead(Box<Lead>),
    /// As many as may be are fetching and waiting.
    Full,
}

/// The one who fetches. When it goes, whoever still waits fetches for himself.
pub(super) struct Lead {
    inner: Arc<super::Inner>,
    course: Course,
    number: u64,
    pub(super) stamp: Stamp,
    landed: watch::Sender<Option<Landed>>,
    _room: OwnedSemaphorePermit,
}

impl Flights {
    pub(super) fn new(max: usize) -> Self {
        Self {
            under_way: Mutex::default(),
            room: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            waiters: AtomicUsize::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the flight on `course`, if it set off after the last change (`is_current`); else
    /// sets off. `look` is asked once more before, since a flight may have landed meanwhile.
    pub(super) fn board<T>(
        inner: &Arc<super::Inner>,
        course: Course,
        is_current: impl Fn(Stamp) -> bool,
        look: impl FnOnce() -> Option<T>,
    ) -> Result<Boarding, T> {
        let own = &inner.flights;
        let Ok(room) = own.room.clone().try_acquire_owned() else {
            return Ok(Boarding::Full);
        };
        let mut table = own.table();
        if let Some(flight) = table.flights.get(&course)
            && is_current(flight.stamp)
        {
            return Ok(Boarding::Join(flight.landed.clone(), flight.stamp, room));
        }
        if let Some(found) = look() {
            return Err(found);
        }
        table.last += 1;
        let number = table.last;
        let stamp = inner.marks.stamp();
        let (landed, landing) = watch::channel(None);
        let flight = Flight {
            stamp,
            number,
            landed: landing,
        };
        table.flights.insert(course.clone(), flight);
        drop(table);
        Ok(Boarding::Lead(Box::new(Lead {
            inner: inner.clone(),
            course,
            number,
            stamp,
            landed,
            _room: room,
        })))
    }

    /// Whether somebody is fetching on `course`.
    pub(super) fn is_under_way(&self, course: &Course, is_current: impl Fn(Stamp) -> bool) -> bool {
        let table = self.table();
        let flight = table.flights.get(course);
        flight.is_some_and(|flight| is_current(flight.stamp))
    }

    /// Counts a waiter for as long as what it returns lives.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Flights and waiters.
    pub(super) fn size(&self) -> (usize, usize) {
        let flights = self.table().flights.len();
        (flights, self.waiters.load(Ordering::Relaxed))
    }
}

impl Lead {
    /// Gives those who wait what came.
    pub(super) fn land(self, landed: Landed) {
        self.leave();
        self.landed.send_replace(Some(landed));
    }

    fn leave(&self) {
        let mut table = self.inner.flights.table();
        if let Place::Occupied(place) = table.flights.entry(self.course.clone())
            && place.get().number == self.number
        {
            place.remove();
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A waiter, while it waits.
pub(super) struct Waiting<'a>(&'a Flights);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
