//! What upstreams have allowed lately: which asker may read which uri, until when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::Asker;
use crate::channel::ChannelName;

/// What is known. Bounded by number; what is forgotten is asked again.
pub(in crate::gateway) struct Known {
    allowed: Cache<(Asker, ChannelName), Allowed>,
    /// Raised when access is taken back.
    era: AtomicU64,
}

#[derive(Clone, Copy)]
struct Allowed {
    until: Instant,
    era: u64,
}

/// When a question was asked; see [`Known::allow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Era(u64);

impl Known {
    /// Remembers at most `most` answers.
    pub(in crate::gateway) fn new(most: usize) -> Self {
        Self {
            allowed: Cache::new(most as u64),
            era: AtomicU64::new(0),
        }
    }

    /// Now; taken before the upstream is asked.
    pub(in crate::gateway) fn era(&self) -> Era {
        Era(self.era.load(Ordering::Acquire))
    }

    /// The upstream, asked in `era`, let `asker` read `uri`.
    pub(in crate::gateway) fn allow(
        &self,
        (asker, uri): (Asker, &ChannelName),
        era: Era,
        ttl: Duration,
    ) {
        let until = Instant::now() + ttl;
        let allowed = Allowed { until, era: era.0 };
        // Stored even if the era has passed: then it says nothing, and replaces what says more.
        self.allowed.insert((asker, uri.clone()), allowed);
    }

    /// The upstream said no.
    pub(in crate::gateway) fn deny(&self, asker: Asker, uri: &ChannelName) {
        self.allowed.invalidate(&(asker, uri.clone()));
    }

    /// Whether it is known that `asker` may read `uri`, and until when.
    pub(in crate::gateway) fn until(&self, asker: Asker, uri: &ChannelName) -> Option<Instant> {
        let allowed = self.allowed.get(&(asker, uri.clone()))?;
        let current = Era(allowed.era) == self.era();
        (current && Instant::now() < allowed.until).then_some(allowed.until)
    }

    /// Nothing that was allowed so far holds any more.
    pub(in crate::gateway) fn forget(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_asker_uri_and_time() {
        let known = Known::new(100);
        let uri = ChannelName::parse("/posts/1").unwrap();
        let other = ChannelName::parse("/posts/2").unwrap();
        let (ada, bob) = (Asker::Token([1; 16]), Asker::Token([2; 16]));
        let ttl = Duration::from_secs(60);
        known.allow((ada, &uri), known.era(), ttl);
        assert!(known.until(ada, &uri).is_some());
        assert!(known.until(bob, &uri).is_none());
        assert!(known.until(Asker::Anonymous, &uri).is_none());
        assert!(known.until(ada, &other).is_none());
        known.deny(ada, &uri);
        assert!(known.until(ada, &uri).is_none());
        known.allow((ada, &uri), known.era(), Duration::ZERO);
        assert!(known.until(ada, &uri).is_none());
    }

    #[test]
    fn what_was_asked_before_access_was_taken_back_says_nothing() {
        let known = Known::new(100);
        let uri = ChannelName::parse("/posts/1").unwrap();
        let ttl = Duration::from_secs(60);
        let before = known.era();
        known.allow((Asker::Anonymous, &uri), before, ttl);
        known.forget();
        assert!(known.until(Asker::Anonymous, &uri).is_none());
        known.allow((Asker::Anonymous, &uri), before, ttl);
        assert!(known.until(Asker::Anonymous, &uri).is_none());
        known.allow((Asker::Anonymous, &uri), known.era(), ttl);
        assert!(known.until(Asker::Anonymous, &uri).is_some());
    }
}
