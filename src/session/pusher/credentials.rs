//! Who the client is: what signatures remember of Pogo tokens, and the user that it signed in as.

use std::sync::Arc;

use crate::auth::pusher::Memo;
use crate::hub::SessionFilter;
use crate::protocol::pusher::Identity;

/// Most tokens that one session can have used; each subscription may come with one of its own.
const MAX_MEMOS: usize = 64;

/// All that is known of the client.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    memos: Vec<Memo>,
    user: Option<Box<SignedIn>>,
}

/// Who has signed in.
#[derive(Debug)]
pub(super) struct SignedIn {
    pub(super) identity: Identity,
    /// Signed by the app itself: there is no token whose revocation would find it.
    pub(super) by_app: bool,
}

impl Credentials {
    /// Takes what a signature remembers: whether it is new; `None`: there are too many.
    pub(super) fn take(&mut self, memo: Memo) -> Option<bool> {
        let known = |other: &Memo| other.fingerprint == memo.fingerprint;
        if self.memos.iter().any(known) {
            return Some(false);
        }
        if self.memos.len() >= MAX_MEMOS {
            return None;
        }
        self.memos.push(memo);
        Some(true)
    }

    /// Takes the last one back.
    pub(super) fn take_back(&mut self) {
        self.memos.pop();
    }

    pub(super) fn memos(&self) -> &[Memo] {
        &self.memos
    }

    /// When the first of them ends, Unix seconds.
    pub(super) fn expires_at(&self) -> Option<u64> {
        self.memos.iter().map(|memo| memo.expires_at).min()
    }

    pub(super) fn user(&self) -> Option<&SignedIn> {
        self.user.as_deref()
    }

    pub(super) fn sign_in(&mut self, user: SignedIn) {
        self.user = Some(Box::new(user));
    }

    pub(super) fn sign_out(&mut self) {
        self.user = None;
    }

    /// The user, or else the first token's subject.
    pub(super) fn subject(&self) -> Option<Arc<str>> {
        let user = self.user.as_ref().map(|user| user.identity.id.clone());
        user.or_else(|| self.memos.iter().find_map(|memo| memo.subject.clone()))
    }

    /// Whether one of the tokens, or the user that the app vouches for, is what `filter` asks for.
    pub(super) fn match_filter(&self, filter: &SessionFilter) -> bool {
        let user = self.user.as_deref();
        let is_user = |id: &str| user.is_some_and(|user| &*user.identity.id == id);
        if !filter.user.as_deref().is_none_or(is_user) {
            return false;
        }
        let asks_token = filter.token_id.is_some() || !filter.tokens.is_empty();
        let asks = asks_token || filter.subject.is_some() || filter.issued_until.is_some();
        let of_memo = |memo: &Memo| {
            (filter.subject.is_none() || memo.subject.as_deref() == filter.subject.as_deref())
                && (filter.token_id.is_none()
                    || memo.token_id.as_deref() == filter.token_id.as_deref())
                && (filter.tokens.is_empty() || filter.tokens.contains(&memo.fingerprint))
                && (filter.issued_until.is_none() || memo.issued_at <= filter.issued_until)
        };
        let by_app = user.is_some_and(|user| user.by_app) && !asks_token;
        !asks
            || self.memos.iter().any(of_memo)
            || by_app && filter.subject.as_deref().is_some_and(is_user)
    }
}
