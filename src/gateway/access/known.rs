//! What upstreams have allowed lately: which asker may read which uri, until when. It holds for the
//! very endpoint that was asked: another upstream, or other rules, say something else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use moka::sync::Cache;

use super::Asker;
use crate::channel::ChannelName;
use crate::resource::{Caller, Endpoint};

/// What is known. Bounded by number; what is forgotten is asked again.
pub(in crate::gateway) struct Known {
    allowed: Cache<(Asker, ChannelName), Allowed>,
    /// Who is being asked about. Bounded by the requests that may be under way.
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    last: u64,
    open: HashMap<u64, (ChannelName, Arc<Caller>)>,
}

/// A question that the upstream is being asked; see [`Known::allow`].
pub(in crate::gateway) struct Asking<'a> {
    known: &'a Known,
    number: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.known.asked().open.remove(&self.number);
    }
}

#[derive(Clone)]
struct Allowed {
    until: Instant,
    whose: Arc<Caller>,
    by: Arc<Endpoint>,
}

/// Whether this asker may read this uri by the rules of this endpoint.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Question<'a>(
    pub(in crate::gateway) Asker,
    pub(in crate::gateway) &'a ChannelName,
    pub(in crate::gateway) &'a Arc<Endpoint>,
);

impl Question<'_> {
    fn key(&self) -> (Asker, ChannelName) {
        (self.0, self.1.clone())
    }
}

impl Known {
    /// Remembers at most `most` answers.
    pub(in crate::gateway) fn new(most: usize) -> Self {
        Self {
            allowed: Cache::new(most as u64),
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream is about to be asked, with the credentials of `whose`.
    pub(in crate::gateway) fn ask(&self, uri: &ChannelName, whose: &Arc<Caller>) -> Asking<'_> {
        let mut asked = self.asked();
        asked.last += 1;
        let number = asked.last;
        asked.open.insert(number, (uri.clone(), Arc::clone(whose)));
        Asking {
            known: self,
            number,
        }
    }

    /// It said yes. False: that says nothing, since his access was taken back meanwhile.
    pub(in crate::gateway) fn allow(&self, question: Question<'_>, asking: &Asking<'_>) -> bool {
        // Kept locked: what is inserted here whoever takes access back finds.
        let asked = self.asked();
        let Some((_, whose)) = asked.open.get(&asking.number) else {
            return false;
        };
        let by = question.2;
        let allowed = Allowed {
            until: Instant::now() + by.access_ttl,
            whose: Arc::clone(whose),
            by: Arc::clone(by),
        };
        self.allowed.insert(question.key(), allowed);
        true
    }

    /// The upstream said no.
    pub(in crate::gateway) fn deny(&self, question: Question<'_>) {
        self.allowed.invalidate(&question.key());
    }

    /// Whether the answer is known to be yes, and until when.
    pub(in crate::gateway) fn until(&self, question: Question<'_>) -> Option<Instant> {
        let allowed = self.allowed.get(&question.key())?;
        let same = Arc::ptr_eq(&allowed.by, question.2) || allowed.by == *question.2;
        (same && Instant::now() < allowed.until).then_some(allowed.until)
    }

    /// What was allowed to those that `which` says holds no longer.
    pub(in crate::gateway) fn forget(&self, which: impl Fn(&ChannelName, &Caller) -> bool) {
        let still = |(uri, whose): &(ChannelName, Arc<Caller>)| !which(uri, whose);
        self.asked().open.retain(|_, one| still(one));
        for (key, allowed) in &self.allowed {
            if which(&key.1, &allowed.whose) {
                self.allowed.invalidate(&*key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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

    fn endpoint(ttl: Duration) -> Arc<Endpoint> {
        let bases = vec!["http://127.0.0.1:1".parse().unwrap()];
        let mut endpoint = Endpoint::new("posts", Some("/posts/{id}"), None, bases);
        endpoint.access_ttl = ttl;
        Arc::new(endpoint)
    }

    #[test]
    fn an_answer_holds_for_its_asker_uri_endpoint_and_time() {
        let known = Known::new(100);
        let (one, other) = (uri("/posts/1"), uri("/posts/2"));
        let minute = endpoint(Duration::from_secs(60));
        let (ada, bob) = (Asker::Token([1; 16]), Asker::Token([2; 16]));
        let asked = Question(ada, &one, &minute);
        assert!(known.allow(asked, &known.ask(&one, &caller())));
        assert!(known.until(asked).is_some());
        let copy = Arc::new((*minute).clone());
        assert!(known.until(Question(ada, &one, &copy)).is_some());
        assert!(known.until(Question(bob, &one, &minute)).is_none());
        let anonymous = Question(Asker::Anonymous, &one, &minute);
        assert!(known.until(anonymous).is_none());
        assert!(known.until(Question(ada, &other, &minute)).is_none());
        let at_once = endpoint(Duration::ZERO);
        assert!(known.until(Question(ada, &one, &at_once)).is_none());
        known.deny(asked);
        assert!(known.until(asked).is_none());
        let over = Question(ada, &one, &at_once);
        assert!(known.allow(over, &known.ask(&one, &caller())));
        assert!(known.until(over).is_none());
    }

    #[test]
    fn what_was_asked_before_access_was_taken_back_says_nothing() {
        let known = Known::new(100);
        let (one, other) = (uri("/posts/1"), uri("/posts/2"));
        let minute = endpoint(Duration::from_secs(60));
        let asking = [known.ask(&one, &caller()), known.ask(&other, &caller())];
        let one = Question(Asker::Anonymous, &one, &minute);
        let other = Question(Asker::Anonymous, &other, &minute);
        assert!(known.allow(one, &asking[0]));
        assert!(known.allow(other, &asking[1]));
        known.forget(|uri, _| uri.as_str() == "/posts/1");
        assert!(known.until(one).is_none());
        assert!(known.until(other).is_some(), "not meant");
        assert!(!known.allow(one, &asking[0]));
        assert!(known.until(one).is_none());
        assert!(known.allow(other, &asking[1]), "not meant");
        assert!(known.allow(one, &known.ask(one.1, &caller())));
        assert!(known.until(one).is_some());
        drop(asking);
        assert!(known.asked().open.is_empty());
    }
}
