//! Whether a request is made again. Retries are a tenth of the requests at most, so that an
//! upstream in trouble gets no more of it from us.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// The pause before a retry: at least, and at most so much longer.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_SPREAD_MS: u64 = 200;
/// An upstream that wants a longer pause is not asked again: nobody waits so long.
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// What a retry costs; a request earns 1.
const COST: u32 = 10;
/// Most that is saved: so many retries may come at once.
const SAVED: u32 = 10 * COST;

/// What retries an upstream may still get.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(SAVED))
    }

    /// A request was made that is no retry.
    pub(super) fn earn(&self) {
        let add = |saved: u32| Some(SAVED.min(saved.saturating_add(1)));
        // It always gives a value.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes what a retry costs, if it is there.
    pub(super) fn spend(&self) -> bool {
        let take = |saved: u32| saved.checked_sub(COST);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// Whether a status may be another one the next time, and soon.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// How long to wait before the retry; `asked`: what the upstream wants. None: not at all.
pub(super) fn pause(asked: Option<Duration>) -> Option<Duration> {
    let spread = getrandom::u32().map_or(0, u64::from) % (PAUSE_SPREAD_MS + 1);
    let jittered = PAUSE_MIN + Duration::from_millis(spread);
    let pause = jittered.max(asked.unwrap_or_default());
    (pause <= MOST_PAUSE).then_some(pause)
}

/// `Retry-After`, as seconds or as a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_the_requests() {
        let budget = Budget::new();
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.earn();
            retries += u32::from(budget.spend());
        }
        assert!((100..=111).contains(&retries), "{retries}");
    }

    #[test]
    fn the_pause_is_jittered_and_as_long_as_was_asked_for() {
        for _ in 0..1_000 {
            let pause = pause(None).unwrap();
            assert!(pause >= PAUSE_MIN && pause <= Duration::from_millis(250));
        }
        let asked = Duration::from_secs(1);
        assert_eq!(pause(Some(asked)), Some(asked));
        assert_eq!(pause(Some(Duration::from_secs(2))), None);
    }

    #[test]
    fn an_upstream_says_when_in_seconds_or_as_a_date() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let wait = of(&later).unwrap();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
    }
}
