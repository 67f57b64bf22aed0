//! Leaves an upstream alone that fails: closed, it counts; open, it refuses; then one request tries
//! whether all is well again. Statuses below 500 are answers like any other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::resource;

/// The window moves by these parts.
const PARTS: u32 = 10;

/// One upstream's breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: resource::Breaker,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Grows with each change of phase: what began in another does not count.
    turn: u64,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one a breaker, and closed is its usual phase"
)]
enum Phase {
    Closed([Part; PARTS as usize]),
    Open {
        until: Instant,
    },
    /// A request is trying.
    Trying,
}

/// How it went during a part of the window.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    number: u128,
    all: u32,
    failed: u32,
}

/// What [`crate::metrics`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Closed,
    Trying,
    Open,
}

/// One request's leave. What is dropped without a word says nothing.
#[derive(Debug)]
pub(super) struct Leave {
    breaker: Arc<Breaker>,
    turn: u64,
    tries: bool,
    said: bool,
}

impl Breaker {
    pub(super) fn new(settings: resource::Breaker) -> Arc<Self> {
        Arc::new(Self {
            settings,
            begun: Instant::now(),
            state: Mutex::new(State {
                phase: Phase::Closed(Default::default()),
                turn: 0,
            }),
        })
    }

    /// Lets a request pass, or says how long it is of no use to ask.
    pub(super) fn pass(self: &Arc<Self>, now: Instant) -> Result<Leave, Duration> {
        let mut state = self.lock();
        let tries = match &state.phase {
            Phase::Closed(_) => false,
            Phase::Open { until } if *until <= now => true,
            Phase::Open { until } => return Err(*until - now),
            Phase::Trying => return Err(self.settings.open),
        };
        if tries {
            state.turn += 1;
            state.phase = Phase::Trying;
        }
        Ok(Leave {
            breaker: Arc::clone(self),
            turn: state.turn,
            tries,
            said: false,
        })
    }

    pub(super) fn stand(&self) -> Stand {
        match &self.lock().phase {
            Phase::Closed(_) => Stand::Closed,
            Phase::Trying => Stand::Trying,
            Phase::Open { .. } => Stand::Open,
        }
    }

    fn settle(&self, leave: &Leave, well: bool, now: Instant) {
        let tries = leave.tries;
        let mut state = self.lock();
        if state.turn != leave.turn {
            return;
        }
        let open = match &mut state.phase {
            Phase::Trying if tries && well => {
                state.turn += 1;
                state.phase = Phase::Closed(Default::default());
                false
            }
            Phase::Trying => tries,
            Phase::Closed(parts) => self.count(parts, now, well),
            Phase::Open { .. } => false,
        };
        if open {
            state.turn += 1;
            let until = now + self.settings.open;
            state.phase = Phase::Open { until };
        }
    }

    /// Counts a request; says whether too many have failed.
    fn count(&self, parts: &mut [Part; PARTS as usize], now: Instant, well: bool) -> bool {
        let span = (self.settings.window / PARTS).max(Duration::from_millis(1));
        let number = now.duration_since(self.begun).as_nanos() / span.as_nanos();
        let at = usize::try_from(number % u128::from(PARTS)).unwrap_or(0);
        let part = &mut parts[at];
        if part.number != number {
            *part = Part {
                number,
                ..Part::default()
            };
        }
        part.all = part.all.saturating_add(1);
        part.failed = part.failed.saturating_add(u32::from(!well));
        let recent = parts
            .iter()
            .filter(|part| part.number + u128::from(PARTS) > number);
        let (all, failed) = recent.fold((0_u32, 0_u32), |(all, failed), part| {
            (
                all.saturating_add(part.all),
                failed.saturating_add(part.failed),
            )
        });
        all >= self.settings.requests
            && f64::from(failed) >= f64::from(all) * self.settings.ratio
            && failed > 0
    }

    /// The trial was given up: the next request tries.
    fn give_up(&self, turn: u64) {
        let mut state = self.lock();
        if state.turn == turn && matches!(state.phase, Phase::Trying) {
            let until = Instant::now();
            state.phase = Phase::Open { until };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave {
    /// Says how it went.
    pub(super) fn settle(mut self, well: bool, now: Instant) {
        self.said = true;
        self.breaker.settle(&self, well, now);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !self.said && self.tries {
            self.breaker.give_up(self.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Arc<Breaker> {
        Breaker::new(resource::Breaker {
            requests: 20,
            window: Duration::from_secs(10),
            ratio: 0.5,
            open: Duration::from_secs(5),
        })
    }

    fn ask(breaker: &Arc<Breaker>, times: u32, well: bool, now: Instant) {
        for _ in 0..times {
            breaker.pass(now).unwrap().settle(well, now);
        }
    }

    #[test]
    fn it_opens_when_half_of_enough_requests_fail() {
        let now = Instant::now();
        let few = breaker();
        ask(&few, 19, false, now);
        assert_eq!(few.stand(), Stand::Closed, "too few to say");
        let fine = breaker();
        ask(&fine, 100, true, now);
        ask(&fine, 99, false, now);
        assert_eq!(fine.stand(), Stand::Closed);
        ask(&fine, 1, false, now);
        assert_eq!(fine.stand(), Stand::Open);
        assert_eq!(fine.pass(now).unwrap_err(), Duration::from_secs(5));
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut now = Instant::now();
        let breaker = breaker();
        ask(&breaker, 19, false, now);
        now += Duration::from_secs(11);
        ask(&breaker, 19, false, now);
        assert_eq!(breaker.stand(), Stand::Closed);
        now += Duration::from_secs(5);
        ask(&breaker, 1, false, now);
        assert_eq!(breaker.stand(), Stand::Open);
    }

    #[test]
    fn one_request_tries_and_decides() {
        let mut now = Instant::now();
        let breaker = breaker();
        ask(&breaker, 20, false, now);
        now += Duration::from_secs(5);
        let trial = breaker.pass(now).unwrap();
        assert!(breaker.pass(now).is_err(), "one at a time");
        trial.settle(false, now);
        assert_eq!(breaker.stand(), Stand::Open);
        now += Duration::from_secs(5);
        let trial = breaker.pass(now).unwrap();
        trial.settle(true, now);
        assert_eq!(breaker.stand(), Stand::Closed);
        ask(&breaker, 19, false, now);
        assert_eq!(breaker.stand(), Stand::Closed, "it has forgotten");
    }

    #[test]
    fn a_trial_that_is_given_up_is_the_next_ones() {
        let mut now = Instant::now();
        let breaker = breaker();
        let old = breaker.pass(now).unwrap();
        ask(&breaker, 20, false, now);
        now += Duration::from_secs(5);
        drop(breaker.pass(now).unwrap());
        let trial = breaker.pass(now).unwrap();
        old.settle(true, now);
        assert_eq!(
            breaker.stand(),
            Stand::Trying,
            "what began before says nothing"
        );
        trial.settle(true, now);
        assert_eq!(breaker.stand(), Stand::Closed);
    }
}
