//! The apps: whose key stands in a client's URL, and with whose secret is signed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
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
}

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
        }
    }

    /// The hex HMAC-SHA256 of `text` under the app's secret.
    pub fn hex(&self, text: &[u8]) -> String {
        hex(hmac::sign(&self.signing, text).as_ref())
    }

    /// Whether `shown` is [`Self::hex`] of `text`; in lower case, as libraries write it.
    pub fn matches(&self, text: &[u8], shown: &str) -> bool {
        verify_slices_are_equal(self.hex(text).as_bytes(), shown.as_bytes()).is_ok()
    }

    /// The key of an encrypted channel's messages, as `/pusher/auth` gives it to clients: the
    /// HMAC-SHA256 of the channel's name under the app's secret, 32 bytes, in base64.
    pub fn shared_secret(&self, channel: &str) -> String {
        STANDARD.encode(hmac::sign(&self.signing, channel.as_bytes()))
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

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
