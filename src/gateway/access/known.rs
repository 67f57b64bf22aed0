//! What upstreams have allowed lately: which asker may read which uri, until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::Asker;
use crate::channel::ChannelName;
use crate::resource::Caller;

/// What is known. Bounded by number; what is forgotten is asked again.
pub(in crate::gateway) struct Known {
    allowed: Cache<(Asker, ChannelName), Allowed>,
    /// Raised when access is taken back.
    era: AtomicU64,
}

#[derive(Clone)]
struct Allowed {
    until: Instant,
    whose: Arc<Caller>,
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
        Era(self.era.load(Ordering::SeqCst))
    }

    /// The upstream, asked in `era` with the credentials of `whose`, let `asker` read `uri`. What
    /// was asked before something was forgotten says nothing.
    pub(in crate::gateway) fn allow(
        &self,
        (asker, uri): (Asker, &ChannelName),
        whose: &Arc<Caller>,
        era: Era,
        ttl: Duration,
    ) {
        if era != self.era() {
            return;
        }
        let allowed = Allowed {
            until: Instant::now() + ttl,
            whose: Arc::clone(whose),
        };
        let key = (asker, uri.clone());
        self.allowed.insert(key.clone(), allowed);
        // Looked at again: it may have been taken back between the first look and the insertion.
        if era != self.era() {
            self.allowed.invalidate(&key);
        }
    }

    /// The upstream said no.
    pub(in crate::gateway) fn deny(&self, asker: Asker, uri: &ChannelName) {
        self.allowed.invalidate(&(asker, uri.clone()));
    }

    /// Whether it is known that `asker` may read `uri`, and until when.
    pub(in crate::gateway) fn until(&self, asker: Asker, uri: &ChannelName) -> Option<Instant> {
        let allowed = self.allowed.get(&(asker, uri.clone()))?;
        (Instant::now() < allowed.until).then_some(allowed.until)
    }

    /// What was allowed to those that `which` says holds no longer.
    pub(in crate::gateway) fn forget(&self, which: impl Fn(&ChannelName, &Caller) -> bool) {
        self.era.fetch_add(1, Ordering::SeqCst);
        for (key, allowed) in &self.allowed {
            if which(&key.1, &allowed.whose) {
                self.allowed.invalidate(&*key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn caller() -> Arc<Caller> {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        Arc::new(Caller {
            grant: None,
            address,
            turn: 0,
        })
    }

    fn uri(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    #[test]
    fn an_answer_holds_for_its_asker_uri_and_time() {
        let known = Known::new(100);
        let (one, other) = (uri("/posts/1"), uri("/posts/2"));
        let (ada, bob) = (Asker::Token([1; 16]), Asker::Token([2; 16]));
        known.allow((ada, &one), &caller(), known.era(), TTL);
        assert!(known.until(ada, &one).is_some());
        assert!(known.until(bob, &one).is_none());
        assert!(known.until(Asker::Anonymous, &one).is_none());
        assert!(known.until(ada, &other).is_none());
        known.deny(ada, &one);
        assert!(known.until(ada, &one).is_none());
        known.allow((ada, &one), &caller(), known.era(), Duration::ZERO);
        assert!(known.until(ada, &one).is_none());
    }

    #[test]
    fn what_was_asked_before_access_was_taken_back_says_nothing() {
        let known = Known::new(100);
        let (one, other) = (uri("/posts/1"), uri("/posts/2"));
        let before = known.era();
        known.allow((Asker::Anonymous, &one), &caller(), before, TTL);
        known.allow((Asker::Anonymous, &other), &caller(), before, TTL);
        known.forget(|uri, _| uri.as_str() == "/posts/1");
        assert!(known.until(Asker::Anonymous, &one).is_none());
        assert!(known.until(Asker::Anonymous, &other).is_some(), "not meant");
        known.allow((Asker::Anonymous, &one), &caller(), before, TTL);
        assert!(known.until(Asker::Anonymous, &one).is_none());
        known.allow((Asker::Anonymous, &one), &caller(), known.era(), TTL);
        assert!(known.until(Asker::Anonymous, &one).is_some());
    }
}
