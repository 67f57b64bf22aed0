//! Figures for reports.

use serde_json::{Map, Value, json};

use super::process::Cpu;

/// Nanoseconds as microseconds, to the nanosecond.
pub(super) fn micros(nanos: f64) -> f64 {
    nanos.round() / 1e3
}

/// CPU time by threads, in microseconds for each of `count`.
pub(super) fn threads(cpu: &Cpu, count: u64) -> Value {
    let of = |used: &u64| json!(micros(*used as f64 / count as f64));
    let all = cpu
        .threads
        .iter()
        .map(|(name, used)| (name.clone(), of(used)));
    Value::Object(all.collect::<Map<_, _>>())
}

/// The same for people.
pub(super) fn threads_shown(cpu: &Cpu, count: u64) -> String {
    let of = |used: u64| used as f64 / 1e3 / count as f64;
    let all = cpu.threads.iter().filter(|(_, used)| **used > 0);
    all.map(|(name, used)| format!("{name} {:.2}", of(*used)))
        .collect::<Vec<_>>()
        .join(", ")
}
