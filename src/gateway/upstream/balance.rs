//! Which base of an upstream gets a request: the less loaded of two drawn at random, by tower's
//! peak EWMA of latency. tower's own balancer is not used: it is one task's (`&mut self`, so it
//! would need a queue in front), and knows readiness but nothing of bases that answer and fail.
//!
//! A base that fails time after time is put out, the longer the more often; then one request tries
//! it. The only base is never put out: that is the breaker's business. Nor are all: rather a bad
//! one than none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Uri};
use tokio::time::Instant;
use tower::Service;
use tower::load::{CompleteOnResponse, Load, PeakEwma, completion::TrackCompletionFuture};

use super::body::Sent;
use super::exchange::HttpClient;

/// Failures in a row that put a base out.
const FAILURES: u32 = 5;
/// How long, the first time; each further time as much longer.
const OUT: Duration = Duration::from_secs(10);
/// The longest.
const MOST_OUT: Duration = Duration::from_secs(300);
/// A base's latency before it is known.
const GUESS: Duration = Duration::from_millis(30);
/// How long the worst latency is remembered.
const DECAY: Duration = Duration::from_secs(10);

/// An answer on its way.
pub(super) type Answering = TrackCompletionFuture<
    hyper_util::client::legacy::ResponseFuture,
    CompleteOnResponse,
    tower::load::peak_ewma::Handle,
>;

/// The bases of an upstream.
#[derive(Debug)]
pub(super) struct Bases {
    bases: Vec<Base>,
    random: AtomicU64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) uri: Uri,
    client: Mutex<PeakEwma<HttpClient>>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Failures in a row.
    failures: u32,
    /// How often it was put out without having been well since.
    times: u32,
    /// Until when it is out.
    out: Option<Instant>,
    /// A request tries it.
    tried: bool,
}

/// A base that was chosen. What is dropped without a word says nothing.
#[derive(Debug)]
pub(super) struct Choice {
    bases: Arc<Bases>,
    pub(super) at: usize,
    tries: bool,
}

impl Bases {
    pub(super) fn new(uris: &[Uri], client: &HttpClient) -> Arc<Self> {
        let base = |uri: &Uri| Base {
            uri: uri.clone(),
            client: Mutex::new(PeakEwma::new(
                client.clone(),
                GUESS,
                DECAY.as_secs_f64() * 1e9,
                CompleteOnResponse::default(),
            )),
            health: Mutex::default(),
        };
        Arc::new(Self {
            bases: uris.iter().map(base).collect(),
            random: AtomicU64::new(getrandom::u64().unwrap_or(1)),
        })
    }

    /// The base for the next request, if possible not `avoid`. None: there are no bases.
    pub(super) fn choose(self: &Arc<Self>, avoid: Option<usize>, now: Instant) -> Option<Choice> {
        let chosen = |at, tries| Choice {
            bases: Arc::clone(self),
            at,
            tries,
        };
        if self.bases.len() <= 1 {
            return (!self.bases.is_empty()).then(|| chosen(0, false));
        }
        let others = || (0..self.bases.len()).filter(|at| Some(*at) != avoid);
        if let Some(at) = others().find(|at| self.bases[*at].health().begin_trial(now)) {
            return Some(chosen(at, true));
        }
        let well: Vec<usize> = others()
            .filter(|at| self.bases[*at].health().out.is_none())
            .collect();
        let at = match *well {
            [] => others().min_by_key(|at| self.bases[*at].health().out)?,
            [one] => one,
            _ => self.lighter(&well),
        };
        Some(chosen(at, false))
    }

    fn lighter(&self, of: &[usize]) -> usize {
        let first = of[self.draw(of.len())];
        let others: Vec<usize> = of.iter().copied().filter(|at| *at != first).collect();
        let second = others[self.draw(others.len())];
        if self.bases[second].load() < self.bases[first].load() {
            second
        } else {
            first
        }
    }

    /// A number below `count`, by splitmix64.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is below a usize"
    )]
    fn draw(&self, count: usize) -> usize {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count.max(1) as u64) as usize
    }

    /// How many are out.
    pub(super) fn ejected(&self) -> usize {
        let out = |base: &&Base| base.health().out.is_some();
        self.bases.iter().filter(out).count()
    }
}

impl Base {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> tower::load::peak_ewma::Cost {
        self.client().load()
    }

    fn client(&self) -> MutexGuard<'_, PeakEwma<HttpClient>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn begin_trial(&mut self, now: Instant) -> bool {
        let due = self.out.is_some_and(|until| until <= now) && !self.tried;
        self.tried |= due;
        due
    }

    fn settle(&mut self, well: bool, tries: bool, now: Instant) {
        self.tried &= !tries;
        if well {
            // What was asked before it went bad says nothing of now.
            if tries || self.out.is_none() {
                *self = Self::default();
            }
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let bad = self.out.is_none() && self.failures >= FAILURES;
        if bad || tries {
            self.times = self.times.saturating_add(1);
            self.out = Some(now + MOST_OUT.min(OUT * self.times));
        }
    }
}

impl Choice {
    pub(super) fn uri(&self) -> &Uri {
        &self.bases.bases[self.at].uri
    }

    /// Begins the request.
    pub(super) fn send(&self, request: Request<Sent>) -> Answering {
        self.bases.bases[self.at].client().call(request)
    }

    /// Says how it went.
    pub(super) fn settle(mut self, well: bool, now: Instant) {
        let base = &self.bases.bases[self.at];
        if self.bases.bases.len() > 1 {
            base.health().settle(well, self.tries, now);
        }
        self.tries = false;
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        if self.tries {
            self.bases.bases[self.at].health().tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(health: &mut Health, times: u32, now: Instant) {
        for _ in 0..times {
            health.settle(false, false, now);
        }
    }

    #[test]
    fn one_request_tries_a_base_that_was_put_out_for_longer_each_time() {
        let mut now = Instant::now();
        let mut health = Health::default();
        fail(&mut health, FAILURES - 1, now);
        health.settle(true, false, now);
        fail(&mut health, FAILURES - 1, now);
        assert_eq!(health.out, None, "not in a row");
        fail(&mut health, 1, now);
        for times in 1..=40 {
            let out = MOST_OUT.min(OUT * times);
            assert_eq!(health.out, Some(now + out));
            // What was asked before changes nothing.
            health.settle(true, false, now);
            fail(&mut health, 10, now);
            assert!(!health.begin_trial(now + out - Duration::from_millis(1)));
            now += out;
            assert!(health.begin_trial(now));
            assert!(!health.begin_trial(now), "one at a time");
            health.settle(false, true, now);
        }
        now += MOST_OUT;
        assert!(health.begin_trial(now));
        health.settle(true, true, now);
        assert_eq!((health.out, health.times, health.failures), (None, 0, 0));
    }
}
