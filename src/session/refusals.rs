//! Counting commands over the rate: a client that goes on and on is closed.

use std::time::Instant;

use super::Settings;
use crate::clock::Now;

/// Commands over the rate, without a pause.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u32,
    last: Option<Instant>,
}

impl Refusals {
    /// Counts one more: whether it is one too many.
    pub(super) fn count(&mut self, settings: &Settings, now: Now) -> bool {
        let pause = self
            .last
            .map(|last| now.instant.saturating_duration_since(last));
        if pause.is_some_and(|pause| pause >= settings.refusal_pause) {
            self.count = 0;
        }
        self.last = Some(now.instant);
        self.count += 1;
        self.count >= settings.max_refusals
    }
}
