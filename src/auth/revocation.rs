//! Revoked tokens: what is remembered of them, and the check. The broker bounds how many there
//! are; here each is indexed by what it names, so that a check costs the same however many.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::{AuthError, Fingerprint, Grant};
use crate::session_id::SessionId;

/// What a revocation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationTarget {
    /// A session and every other on one of the same tokens.
    Session {
        /// The session.
        session: SessionId,
        /// The tokens that it had used: none, one, or over Pusher's protocol several.
        tokens: Box<[Fingerprint]>,
    },
    /// A token by its `jti`.
    TokenId(Box<str>),
    /// Tokens of a subject that were issued before a time, or that do not say when.
    Subject {
        /// The subject, byte for byte.
        subject: Box<str>,
        /// Unix seconds; tokens with `iat` ≤ this are refused.
        issued_until: u64,
    },
}

/// One recorded revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Names this record.
    pub id: Box<str>,
    /// What is revoked.
    pub target: RevocationTarget,
    /// Why, in the operator's words.
    pub reason: Box<str>,
    /// Since the Unix epoch.
    pub created_at: Duration,
    /// When it is forgotten, since the Unix epoch: no token can be valid longer.
    pub expires_at: Duration,
}

/// The revocations in force on this node.
#[derive(Debug, Default)]
pub struct Revocations {
    /// How many there are, so that a check takes no lock while there are none.
    count: AtomicUsize,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    records: BTreeMap<Box<str>, Revocation>,
    tokens: HashMap<Fingerprint, usize>,
    token_ids: HashMap<Box<str>, usize>,
    /// For each subject the times that its tokens are refused up to, and how often each is there.
    subjects: HashMap<Box<str>, BTreeMap<u64, usize>>,
}

impl Revocations {
    /// Whether some revocation refuses the token behind `grant`.
    pub fn refuses(&self, grant: &Grant) -> bool {
        self.count.load(Ordering::SeqCst) != 0 && self.read(|index| index.refuses(grant))
    }

    /// [`Self::refuses`] as a result.
    ///
    /// # Errors
    /// [`AuthError::Revoked`]
    pub fn check(&self, grant: &Grant) -> Result<(), AuthError> {
        if self.refuses(grant) {
            Err(AuthError::Revoked)
        } else {
            Ok(())
        }
    }

    /// Puts `revocation` in force; it takes the place of one with the same id. (It is bounded by
    /// the broker, which records first.)
    pub fn insert(&self, revocation: &Revocation) {
        self.write(|index| {
            index.remove(&revocation.id);
            index.insert(revocation.clone());
        });
    }

    /// Takes one out of force.
    pub fn remove(&self, id: &str) {
        self.write(|index| index.remove(id));
    }

    /// Forgets those that have ended; returns how many. `now` is Unix time.
    pub fn sweep(&self, now: Duration) -> usize {
        self.write(|index| {
            let ended = index
                .records
                .values()
                .filter(|record| record.expires_at <= now);
            let ended: Vec<_> = ended.map(|record| record.id.clone()).collect();
            for id in &ended {
                index.remove(id);
            }
            ended.len()
        })
    }

    /// How many are in force.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those whose id follows `after`, in order of id, at most `limit`.
    pub fn list(&self, after: &str, limit: usize) -> Vec<Revocation> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.read(|index| {
            index
                .records
                .range::<str, _>(range)
                .take(limit)
                .map(|(_, one)| one.clone())
                .collect()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut index);
        self.count.store(index.records.len(), Ordering::SeqCst);
        result
    }
}

impl Index {
    fn refuses(&self, grant: &Grant) -> bool {
        let by_id = |id| self.token_ids.contains_key(id);
        let by_subject = |subject| {
            let last = self
                .subjects
                .get(subject)
                .and_then(BTreeMap::last_key_value);
            last.is_some_and(|(until, _)| grant.issued_at.is_none_or(|issued| issued <= *until))
        };
        self.tokens.contains_key(&grant.fingerprint)
            || grant.token_id.as_deref().is_some_and(by_id)
            || grant.subject.as_deref().is_some_and(by_subject)
    }

    fn insert(&mut self, revocation: Revocation) {
        match &revocation.target {
            RevocationTarget::Session { tokens, .. } => {
                for token in tokens {
                    *self.tokens.entry(*token).or_default() += 1;
                }
            }
            RevocationTarget::TokenId(id) => *self.token_ids.entry(id.clone()).or_default() += 1,
            RevocationTarget::Subject {
                subject,
                issued_until,
            } => {
                let times = self.subjects.entry(subject.clone()).or_default();
                *times.entry(*issued_until).or_default() += 1;
            }
        }
        self.records.insert(revocation.id.clone(), revocation);
    }

    fn remove(&mut self, id: &str) {
        let Some(revocation) = self.records.remove(id) else {
            return;
        };
        match revocation.target {
            RevocationTarget::Session { tokens, .. } => {
                for token in tokens {
                    release(&mut self.tokens, &token);
                }
            }
            RevocationTarget::TokenId(id) => release(&mut self.token_ids, &id),
            RevocationTarget::Subject {
                subject,
                issued_until,
            } => {
                let Some(times) = self.subjects.get_mut(&subject) else {
                    return;
                };
                if let Some(count) = times.get_mut(&issued_until) {
                    *count -= 1;
                    if *count == 0 {
                        times.remove(&issued_until);
                    }
                }
                if times.is_empty() {
                    self.subjects.remove(&subject);
                }
            }
        }
    }
}

/// Counts one less of `key`.
fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Capabilities;

    fn grant(subject: &str, issued_at: Option<u64>, token_id: Option<&str>, token: u8) -> Grant {
        Grant {
            subject: Some(subject.into()),
            token_id: token_id.map(Into::into),
            issued_at,
            expires_at: 2_000,
            channels: vec![],
            capabilities: Capabilities::default(),
            info: None,
            fingerprint: [token; 16],
            presented: None,
        }
    }

    fn revocation(id: &str, target: RevocationTarget, expires: u64) -> Revocation {
        Revocation {
            id: id.into(),
            target,
            reason: "".into(),
            created_at: Duration::from_secs(1_000),
            expires_at: Duration::from_secs(expires),
        }
    }

    fn subject(name: &str, issued_until: u64) -> RevocationTarget {
        RevocationTarget::Subject {
            subject: name.into(),
            issued_until,
        }
    }

    #[test]
    fn a_subject_loses_the_tokens_issued_until_then_and_those_without_a_time() {
        let revocations = Revocations::default();
        assert!(!revocations.refuses(&grant("ann", Some(1), None, 1)));
        revocations.insert(&revocation("r", subject("ann", 1_000), 9_000));
        for (issued, refused) in [
            (Some(999), true),
            (Some(1_000), true),
            (Some(1_001), false),
            (None, true),
        ] {
            assert_eq!(
                revocations.refuses(&grant("ann", issued, None, 1)),
                refused,
                "{issued:?}"
            );
        }
        for other in ["Ann", "ann\0", "ann ", "an", "a\u{301}nn"] {
            assert!(
                !revocations.refuses(&grant(other, None, None, 1)),
                "{other:?}"
            );
        }
        let anonymous = Grant {
            subject: None,
            ..grant("", None, None, 1)
        };
        assert!(!revocations.refuses(&anonymous));
        assert_eq!(
            revocations.check(&grant("ann", None, None, 1)),
            Err(AuthError::Revoked)
        );
        assert_eq!(revocations.check(&anonymous), Ok(()));
    }

    #[test]
    fn a_session_loses_its_token_and_a_token_id_every_token_that_has_it() {
        let revocations = Revocations::default();
        let session = SessionId::random().unwrap();
        let target = RevocationTarget::Session {
            session,
            tokens: [[7; 16], [9; 16]].into(),
        };
        revocations.insert(&revocation("s", target, 9_000));
        revocations.insert(&revocation(
            "n",
            RevocationTarget::Session {
                session,
                tokens: [].into(),
            },
            9_000,
        ));
        revocations.insert(&revocation(
            "t",
            RevocationTarget::TokenId("id-1".into()),
            9_000,
        ));
        assert!(revocations.refuses(&grant("a", None, None, 7)));
        assert!(revocations.refuses(&grant("a", None, None, 9)));
        assert!(!revocations.refuses(&grant("a", None, None, 8)));
        assert!(revocations.refuses(&grant("a", None, Some("id-1"), 8)));
        assert!(!revocations.refuses(&grant("a", None, Some("id-2"), 8)));
        assert_eq!(revocations.len(), 3);
        revocations.remove("s");
        for token in [7, 9] {
            assert!(!revocations.refuses(&grant("a", None, None, token)));
        }
    }

    #[test]
    fn the_same_target_twice_is_refused_until_both_are_gone() {
        let revocations = Revocations::default();
        for (id, until) in [("1", 500), ("2", 1_000), ("3", 1_000)] {
            revocations.insert(&revocation(id, subject("ann", until), 9_000));
            let target = RevocationTarget::TokenId("x".into());
            revocations.insert(&revocation(&format!("t{id}"), target, 9_000));
        }
        // The same id again changes nothing.
        revocations.insert(&revocation("3", subject("ann", 1_000), 9_000));
        assert_eq!(revocations.len(), 6);
        let refused = |issued| revocations.refuses(&grant("ann", Some(issued), None, 1));
        revocations.remove("2");
        assert!(refused(1_000));
        revocations.remove("3");
        assert!(refused(500) && !refused(501));
        revocations.remove("1");
        revocations.remove("nothing");
        assert!(!refused(1));
        for id in ["t1", "t2", "t3"] {
            assert!(revocations.refuses(&grant("bob", None, Some("x"), 1)));
            revocations.remove(id);
        }
        assert!(revocations.is_empty());
        assert!(!revocations.refuses(&grant("bob", None, Some("x"), 1)));
    }

    #[test]
    fn sweeping_forgets_what_has_ended_and_lists_are_paged_by_id() {
        let revocations = Revocations::default();
        for (id, expires) in [("b", 2_000), ("a", 3_000), ("c", 2_001), ("d", 1_999)] {
            revocations.insert(&revocation(
                id,
                RevocationTarget::TokenId(id.into()),
                expires,
            ));
        }
        let ids = |after, limit| {
            let page = revocations.list(after, limit);
            page.into_iter()
                .map(|one| one.id.into_string())
                .collect::<String>()
        };
        assert_eq!((ids("", 2), ids("b", 9)), ("ab".into(), "cd".into()));
        assert_eq!(revocations.sweep(Duration::from_secs(2_000)), 2);
        assert_eq!(ids("", 9), "ac");
        assert!(!revocations.refuses(&grant("x", None, Some("b"), 1)));
        assert!(revocations.refuses(&grant("x", None, Some("c"), 1)));
        assert_eq!(revocations.sweep(Duration::from_secs(4_000)), 2);
        assert!(revocations.is_empty());
    }
}
