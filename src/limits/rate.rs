//! One rate for each address, in bounded memory. While the table is full, addresses that are not
//! in it share one allowance: those it knows are not disturbed, and a flood of fresh addresses
//! gains nothing by being many.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};

use super::{AddressKey, RateConfig};

/// Rates beyond this are no limit, and governor counts in whole nanoseconds.
const MOST_PER_SECOND: u32 = 1_000_000;

/// A full table is swept at once, but not more often than this: it costs a walk over the table.
const SWEEP_WHEN_FULL: Duration = Duration::from_secs(1);

type Limiter<C> = RateLimiter<Ask, Table, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A rate limiter for each address.
#[derive(Debug)]
pub(super) struct Rate<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    config: RateConfig,
    bound: NonZeroUsize,
    start: C::Instant,
    /// Nanoseconds since `start` before which a full table is not swept again.
    next_sweep: AtomicU64,
}

/// What the limiter is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    /// May this address have one? If so, it has it.
    Take(AddressKey),
    /// Might it have one?
    Peek(AddressKey),
}

impl Rate {
    pub(super) fn new(config: RateConfig, bound: NonZeroUsize) -> Self {
        Self::with_clock(config, bound, DefaultClock::default())
    }
}

impl<C: Clock> Rate<C> {
    fn with_clock(config: RateConfig, bound: NonZeroUsize, clock: C) -> Self {
        let most = config.per_second.get().min(MOST_PER_SECOND);
        let per_second = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(per_second).allow_burst(config.burst);
        let start = clock.now();
        Self {
            limiter: RateLimiter::new(quota, Table::new(bound), clock),
            config,
            bound,
            start,
            next_sweep: AtomicU64::new(0),
        }
    }

    /// Whether this is `config` with `bound`.
    pub(super) fn is(&self, config: RateConfig, bound: NonZeroUsize) -> bool {
        self.config == config && self.bound == bound
    }

    /// Takes one for `address`, or says how long to wait.
    pub(super) fn take(&self, address: AddressKey) -> Result<(), Duration> {
        if self.limiter.len() >= self.bound.get() {
            self.sweep_if_due();
        }
        self.ask(Ask::Take(address))
    }

    /// Whether [`Self::take`] would be let through.
    pub(super) fn peek(&self, address: AddressKey) -> Result<(), Duration> {
        self.ask(Ask::Peek(address))
    }

    /// Forgets addresses that have their whole allowance again.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
    }

    fn ask(&self, ask: Ask) -> Result<(), Duration> {
        let refused =
            |until: NotUntil<C::Instant>| until.wait_time_from(self.limiter.clock().now());
        self.limiter.check_key(&ask).map_err(refused)
    }

    fn sweep_if_due(&self) {
        let now = self.limiter.clock().now().duration_since(self.start);
        let due = self.next_sweep.load(Ordering::Relaxed);
        let next = now + Nanos::from(SWEEP_WHEN_FULL);
        let ours = now.as_u64() >= due
            && self
                .next_sweep
                .compare_exchange(due, next.as_u64(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if ours {
            self.sweep();
        }
    }
}

/// What is remembered: at most `bound` addresses (give or take one a thread), and what the others
/// share.
#[derive(Debug)]
struct Table {
    addresses: DashMapStateStore<AddressKey>,
    /// How many there are; the map itself would have to lock each of its parts to tell.
    count: AtomicUsize,
    shared: InMemoryState,
    bound: NonZeroUsize,
}

impl Table {
    fn new(bound: NonZeroUsize) -> Self {
        Self {
            addresses: DashMapStateStore::default(),
            count: AtomicUsize::new(0),
            shared: InMemoryState::default(),
            bound,
        }
    }

    fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.bound.get()
    }
}

impl StateStore for Table {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        match *ask {
            Ask::Take(address) => {
                if let Some(state) = self.addresses.get(&address) {
                    return state.measure_and_replace(&NotKeyed::NonKey, measure);
                }
                if self.is_full() {
                    return self.shared.measure_and_replace(&NotKeyed::NonKey, measure);
                }
                let state = self.addresses.entry(address).or_insert_with(|| {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    InMemoryState::default()
                });
                state.measure_and_replace(&NotKeyed::NonKey, measure)
            }
            Ask::Peek(address) => {
                let seen = match self.addresses.get(&address) {
                    Some(state) => arrival(&state),
                    None if self.is_full() => arrival(&self.shared),
                    None => None,
                };
                measure(seen).map(|(answer, _)| answer)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<Ask> for Table {
    fn retain_recent(&self, drop_below: Nanos) {
        self.addresses.retain(|_, state| {
            let recent = arrival(state).is_some_and(|time| time > drop_below);
            if !recent {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            recent
        });
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What `state` holds, read by a measurement that refuses and so changes nothing.
fn arrival(state: &InMemoryState) -> Option<Nanos> {
    let read = state.measure_and_replace(&NotKeyed::NonKey, |time| {
        Err::<(std::convert::Infallible, Nanos), _>(time)
    });
    match read {
        Err(time) => time,
        Ok(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rate(
        per_second: u32,
        burst: u32,
        bound: usize,
    ) -> (Rate<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let config = RateConfig::new(per_second, burst);
        let bound = NonZeroUsize::new(bound).unwrap();
        (Rate::with_clock(config, bound, clock.clone()), clock)
    }

    const ONE: AddressKey = AddressKey::V4(1);

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, clock) = rate(10, 3, 100);
        for _ in 0..3 {
            assert_eq!(rate.take(ONE), Ok(()));
        }
        assert_eq!(rate.take(ONE), Err(Duration::from_millis(100)));
        assert_eq!(
            rate.take(AddressKey::V4(2)),
            Ok(()),
            "another address is not touched"
        );
        clock.advance(Duration::from_millis(100));
        assert_eq!(rate.take(ONE), Ok(()));
        assert!(rate.take(ONE).is_err());
    }

    #[test]
    fn peeking_takes_nothing_and_remembers_nothing() {
        let (rate, _) = rate(1, 2, 100);
        for _ in 0..10 {
            assert_eq!(rate.peek(ONE), Ok(()));
        }
        assert_eq!(rate.limiter.len(), 0);
        assert!(rate.take(ONE).is_ok() && rate.take(ONE).is_ok());
        assert!(rate.peek(ONE).is_err() && rate.take(ONE).is_err());
    }

    #[test]
    fn idle_addresses_are_forgotten_busy_ones_are_not() {
        let (rate, clock) = rate(10, 5, 100);
        for _ in 0..5 {
            rate.take(ONE).unwrap();
        }
        rate.take(AddressKey::V4(2)).unwrap();
        clock.advance(Duration::from_millis(250));
        rate.sweep();
        assert_eq!(rate.limiter.len(), 1);
        assert!((0..2).all(|_| rate.take(ONE).is_ok()) && rate.take(ONE).is_err());
        clock.advance(Duration::from_secs(2));
        rate.sweep();
        assert!(rate.limiter.is_empty());
    }

    #[test]
    fn a_million_addresses_stay_within_the_bound() {
        let (rate, clock) = rate(20, 100, 1_000);
        let known = AddressKey::V6(u64::MAX);
        for n in 0..1_000_000_u32 {
            if n % 1_000 == 0 {
                assert_eq!(
                    rate.take(known),
                    Ok(()),
                    "one who was there before is not disturbed"
                );
                clock.advance(Duration::from_millis(60));
            }
            let _ = rate.take(AddressKey::V4(n));
            assert!(rate.limiter.len() <= 1_000);
        }
        assert_eq!(
            rate.limiter.len(),
            rate.limiter.into_state_store().addresses.len()
        );
    }

    #[test]
    fn while_full_the_others_share_one_allowance_until_a_sweep() {
        let (rate, clock) = rate(1, 2, 10);
        for n in 0..10 {
            rate.take(AddressKey::V4(n)).unwrap();
        }
        let fresh = |n: u32| rate.take(AddressKey::V4(100 + n));
        assert_eq!((fresh(0), fresh(1)), (Ok(()), Ok(())));
        assert!(fresh(2).is_err() && rate.peek(AddressKey::V4(999)).is_err());
        assert_eq!(
            rate.take(AddressKey::V4(3)),
            Ok(()),
            "a known one has its own"
        );
        clock.advance(Duration::from_secs(5));
        assert!(
            (0..10).all(|n| fresh(n).is_ok()),
            "a full table sweeps itself"
        );
    }
}
