//! The apps: whose key stands in a client's URL, and with whose secret is signed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Signatures with a memo are made under a key derived for it.
const MEMO_LABEL: &[u8] = b"pogo: signatures that remember a token";

/// An app. What it signs is checked in constant time, and nothing shows its secret.
pub struct App {
    /// As it stands in the paths of the HTTP API.
    pub id: Box<str>,
    /// As it stands in clients' URLs; public.
    pub key: Box<str>,
    /// Whether clients may publish events of their own.
    pub client_events: bool,
    /// Whether clients are told how many subscribers a channel has.
    pub subscription_count: bool,
    signing: hmac::Key,
    memo: hmac::Key,
    master: Option<MasterKey>,
}

/// What the keys of encrypted channels are derived from, by `pusher-http-…` libraries and here.
pub type MasterKey = [u8; 32];

/// All apps, by key and by id.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    by_key: HashMap<Box<str>, Arc<App>>,
    by_id: HashMap<Box<str>, Arc<App>>,
}

impl App {
    /// An app with client events and without counts.
    pub fn new(id: &str, key: &str, secret: &str) -> Self {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let derived = hmac::sign(&signing, MEMO_LABEL);
        Self {
            id: id.into(),
            key: key.into(),
            client_events: true,
            subscription_count: false,
            memo: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            signing,
            master: None,
        }
    }

    /// With the key that its backend's library is given as `encryptionMasterKey`.
    #[must_use]
    pub fn with_master_key(mut self, key: MasterKey) -> Self {
        self.master = Some(key);
        self
    }

    /// The hex HMAC-SHA256 of `text` under the app's secret.
    pub fn hex(&self, text: &[u8]) -> String {
        hex(hmac::sign(&self.signing, text).as_ref())
    }

    /// Whether `shown` is [`Self::hex`] of `text`; in lower case, as libraries write it.
    pub fn matches(&self, text: &[u8], shown: &str) -> bool {
        verify_slices_are_equal(self.hex(text).as_bytes(), shown.as_bytes()).is_ok()
    }

    /// The key of an encrypted channel's messages, as `/pusher/auth` gives it to clients: 32 bytes
    /// in base64. With a master key the SHA-256 of the channel's name and it, as libraries derive
    /// it; without one the HMAC-SHA256 of the name under the app's secret.
    pub fn shared_secret(&self, channel: &str) -> String {
        match &self.master {
            Some(master) => {
                let text = [channel.as_bytes(), master].concat();
                STANDARD.encode(digest::digest(&digest::SHA256, &text))
            }
            None => STANDARD.encode(hmac::sign(&self.signing, channel.as_bytes())),
        }
    }

    pub(super) fn memo_hex(&self, text: &str) -> String {
        hex(hmac::sign(&self.memo, text.as_bytes()).as_ref())
    }

    pub(super) fn memo_matches(&self, text: &str, shown: &str) -> bool {
        verify_slices_are_equal(self.memo_hex(text).as_bytes(), shown.as_bytes()).is_ok()
    }
}

impl Apps {
    /// The apps; where two share a key or an id, which the configuration refuses, the last counts.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Self {
        let mut all = Self::default();
        for app in apps.into_iter().map(Arc::new) {
            all.by_key.insert(app.key.clone(), Arc::clone(&app));
            all.by_id.insert(app.id.clone(), app);
        }
        all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The app whose key this is.
    pub fn by_key(&self, key: &str) -> Option<&Arc<App>> {
        self.by_key.get(key)
    }

    /// The app whose id this is.
    pub fn by_id(&self, id: &str) -> Option<&Arc<App>> {
        self.by_id.get(id)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.by_id.values()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// `bytes` in hexadecimal digits, in lower case as Pusher's libraries write them.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_derive_the_same_secret_from_the_master_key() {
        let app = App::new("1", "k", "s");
        let own = app.shared_secret("private-encrypted-a");
        // What pusher-http-node 5.3.4 answers for this channel and key.
        let app = app.with_master_key(*b"01234567890123456789012345678901");
        assert_eq!(
            app.shared_secret("private-encrypted-a"),
            "OaSNicEQhvgdc4eu4sum89NyQCnNOMP2wDIA2tge76Y="
        );
        assert_ne!(own, app.shared_secret("private-encrypted-a"));
        assert!(!format!("{app:?}").contains("master"));
    }
}
