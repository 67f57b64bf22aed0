//! A histogram of times that several threads fill without meeting: each has its own buckets,
//! which are added up when they are read.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// The first bucket's bound in nanoseconds; each further one is twice the one before.
const FIRST: u64 = 250_000;
/// From a quarter of a millisecond to 16 s, and what is beyond.
const BUCKETS: usize = 18;

/// The histogram. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Mutex<Vec<Arc<Counts>>>>);

/// One thread's part of a [`Latency`].
#[derive(Debug)]
pub struct Recorder(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl Latency {
    /// A part of its own for one thread. Parts live as long as the histogram: take one a thread.
    pub fn recorder(&self) -> Recorder {
        let counts = Arc::new(Counts::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&counts));
        Recorder(counts)
    }
}

impl Recorder {
    /// Counts `latency`, `count` times.
    pub fn observe(&self, latency: Duration, count: u64) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.buckets[bucket(nanoseconds)].fetch_add(count, Ordering::Relaxed);
        self.0
            .nanoseconds
            .fetch_add(nanoseconds.saturating_mul(count), Ordering::Relaxed);
    }
}

/// The first bucket whose bound is not below `nanoseconds`.
fn bucket(nanoseconds: u64) -> usize {
    let over = nanoseconds.saturating_sub(1) / FIRST;
    let index = u64::BITS - over.leading_zeros();
    (index as usize).min(BUCKETS - 1)
}

impl EncodeMetric for Latency {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a sum of years is still good to a second"
    )]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let mut buckets = [(0.0, 0); BUCKETS];
        for (place, bucket) in buckets.iter_mut().enumerate() {
            bucket.0 = (FIRST << place) as f64 / 1e9;
        }
        buckets[BUCKETS - 1].0 = f64::MAX;
        let mut nanoseconds = 0;
        for counts in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (sum, count) in buckets.iter_mut().zip(&counts.buckets) {
                sum.1 += count.load(Ordering::Relaxed);
            }
            nanoseconds += counts.nanoseconds.load(Ordering::Relaxed);
        }
        let count = buckets.iter().map(|bucket| bucket.1).sum();
        let sum = nanoseconds as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        for (nanoseconds, expected) in [
            (0, 0),
            (FIRST, 0),
            (FIRST + 1, 1),
            (2 * FIRST, 1),
            (2 * FIRST + 1, 2),
            (FIRST << 16, 16),
            ((FIRST << 16) + 1, 17),
            (u64::MAX, 17),
        ] {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds}");
        }
    }
}
