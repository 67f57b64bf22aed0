//! The two clocks: a monotonic one for deadlines, the calendar for tokens and timestamps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks. What decides by time takes it as an argument, so that tests set it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, for deadlines and ages.
    pub instant: Instant,
    /// Time since the Unix epoch.
    pub unix: Duration,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self {
            instant: Instant::now(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Unix time in milliseconds.
    pub fn unix_ms(&self) -> u64 {
        u64::try_from(self.unix.as_millis()).unwrap_or(u64::MAX)
    }

    /// When the calendar will show `unix`, on the monotonic clock; now if it has passed.
    pub fn instant_of(&self, unix: Duration) -> Instant {
        let left = unix.saturating_sub(self.unix);
        // A far future that the clock cannot hold is as good as a century.
        let century = Duration::from_secs(100 * 365 * 86_400);
        self.instant + left.min(century)
    }
}
