//! What the clients have counted.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Times in nanoseconds, from 1 µs to 10 min, to 3 digits.
pub(super) fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).ok()
}

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) lost: u64,
    /// Out of order, or twice.
    pub(super) reordered: u64,
    /// Connections that ended though nobody asked them to.
    pub(super) ended: u64,
    /// Why the first of them did.
    pub(super) why: Option<String>,
    /// Length of the last publication's whole frame.
    pub(super) frame_length: usize,
    latencies: Option<Histogram<u64>>,
}

impl Tally {
    /// Publication `number` came to a client whose last one was `last`.
    pub(super) fn publication(&mut self, last: u64, number: u64, length: usize) {
        self.received += 1;
        self.frame_length = length;
        if number <= last {
            self.reordered += 1;
        } else if last != 0 {
            self.lost += number - last - 1;
        }
    }

    /// Counts latencies anew from here.
    pub(super) fn measure_latency(&mut self) {
        self.latencies = histogram();
    }

    pub(super) fn latency(&mut self, nanos: u64) {
        if let Some(latencies) = &mut self.latencies {
            latencies.saturating_record(nanos);
        }
    }

    /// The latencies since `measure_latency`, which counts no more.
    pub(super) fn take_latencies(&mut self) -> Option<Histogram<u64>> {
        self.latencies.take()
    }

    pub(super) fn end(&mut self, why: String) {
        self.ended += 1;
        self.why.get_or_insert(why);
    }
}

/// The percentiles of `times`, in microseconds.
pub(super) fn percentiles(times: &Histogram<u64>) -> Value {
    let at = |quantile| micros(times.value_at_quantile(quantile));
    json!({
        "count": times.len(),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": micros(times.max()),
    })
}

/// The same for people.
pub(super) fn shown(times: &Histogram<u64>) -> String {
    let at = |quantile| duration(times.value_at_quantile(quantile));
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, most {}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        duration(times.max())
    )
}

fn duration(nanos: u64) -> String {
    let micros = nanos as f64 / 1e3;
    match micros {
        ..1e3 => format!("{micros:.0} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn micros(nanos: u64) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}

/// The middle of `values`; 0 where there are none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len() % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_repetitions_are_counted() {
        let mut tally = Tally::default();
        for (last, number) in [(0, 7), (7, 8), (8, 11), (11, 10), (11, 11), (11, 12)] {
            tally.publication(last, number, 100);
        }
        assert_eq!((tally.received, tally.lost, tally.reordered), (6, 2, 2));
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
