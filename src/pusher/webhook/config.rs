//! The webhooks' settings, and where they go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use ipnet::IpNet;

use crate::auth::pusher::App;
use crate::notice::NoticeKind;

/// The webhooks' settings, checked; each is the setting `pusher.webhook_…` of its name.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who is told.
    pub hooks: Vec<Hook>,
    /// Private addresses that are allowed.
    pub allow: Vec<IpNet>,
    /// Whether this machine's own are (`--dev`).
    pub loopback: bool,
    /// How long departures are held back.
    pub delay: Duration,
    /// Most departures held back.
    pub delayed: usize,
    /// How long an event waits for others.
    pub batch_wait: Duration,
    /// Most events in a request.
    pub batch_events: usize,
    /// Most bytes of events in a request.
    pub batch_bytes: usize,
    /// Most events that wait for one webhook.
    pub queue_events: usize,
    /// Most bytes of them.
    pub queue_bytes: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// The first pause.
    pub retry_min: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// How long a request is tried.
    pub retry_for: Duration,
    /// How much of an answer is read.
    pub response_bytes: usize,
    /// How long what waits may still be sent at the end.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hooks: Vec::new(),
            allow: Vec::new(),
            loopback: false,
            delay: Duration::from_secs(3),
            delayed: 65_536,
            batch_wait: Duration::from_millis(100),
            batch_events: 100,
            batch_bytes: 256 << 10,
            queue_events: 10_000,
            queue_bytes: 8 << 20,
            timeout: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            retry_for: Duration::from_secs(300),
            response_bytes: 64 << 10,
            drain: Duration::from_secs(5),
        }
    }
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Whose key and secret sign.
    pub app: Arc<App>,
    /// Where it goes.
    pub target: Target,
    /// What it is told of; empty: of all, and of counts where the app has them.
    pub kinds: Vec<NoticeKind>,
}

impl Hook {
    /// Whether it is told of `kind`.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        if self.kinds.is_empty() {
            return kind != NoticeKind::SubscriptionCount || self.app.subscription_count;
        }
        self.kinds.contains(&kind)
    }

    /// Everything it is told of.
    pub fn wanted(&self) -> impl Iterator<Item = NoticeKind> {
        let kinds = NoticeKind::ALL.into_iter();
        kinds.filter(|kind| self.wants(*kind))
    }
}

/// An `http` or `https` address. What is shown of it has neither user nor query.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Without the user.
    pub(super) uri: Uri,
    /// The user, as `Authorization: Basic`.
    pub(super) authorization: Option<HeaderValue>,
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URI with a host.
    #[error("it is no URL with a host")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("it starts neither with http:// nor with https://")]
    Scheme,
    /// The user or password is not percent-encoded as it must be.
    #[error("its user is not spelled as a URL's")]
    User,
}

impl Target {
    /// Reads an address; `user:password@` in it becomes `Authorization: Basic` (RFC 7617).
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let mut parts = uri.into_parts();
        if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&parts.scheme.as_ref()) {
            return Err(TargetError::Scheme);
        }
        let authority = parts.authority.take().ok_or(TargetError::Malformed)?;
        let mut authorization = None;
        let place = match authority.as_str().rsplit_once('@') {
            None => authority.as_str(),
            Some((user, place)) => {
                let user = decode(user).ok_or(TargetError::User)?;
                let value = format!("Basic {}", STANDARD.encode(user));
                let mut value = HeaderValue::try_from(value).map_err(|_| TargetError::User)?;
                value.set_sensitive(true);
                authorization = Some(value);
                place
            }
        };
        let place: Authority = place.parse().map_err(|_| TargetError::Malformed)?;
        if place.host().is_empty() || place.as_str().ends_with(':') {
            return Err(TargetError::Malformed);
        }
        parts.authority = Some(place);
        let uri = Uri::from_parts(parts).map_err(|_| TargetError::Malformed)?;
        Ok(Self { uri, authorization })
    }

    /// Whether it is reached by TLS.
    pub(super) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", Authority::as_str);
        let scheme = self.uri.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_becomes_a_header_and_is_never_shown() {
        let target = Target::parse("https://ann:p%40ss%3a@example.org:8443/a/b?key=k1").unwrap();
        assert_eq!(target.uri, "https://example.org:8443/a/b?key=k1");
        let header = target.authorization.as_ref().unwrap();
        assert_eq!(header, &format!("Basic {}", STANDARD.encode("ann:p@ss:")));
        for shown in [format!("{target}"), format!("{target:?}")] {
            assert_eq!(shown, "https://example.org:8443/a/b");
        }
        assert!(!format!("{header:?}").contains("Basic"));
    }

    #[test]
    fn only_http_with_a_host_is_a_target() {
        for (text, why) in [
            ("ftp://example.org/", TargetError::Scheme),
            ("/a", TargetError::Scheme),
            ("example.org", TargetError::Scheme),
            ("http://", TargetError::Malformed),
            ("http:///a", TargetError::Malformed),
            ("http://a:/", TargetError::Malformed),
            ("http://a b/", TargetError::Malformed),
            ("http://%4@a/", TargetError::User),
            ("http://%zz@a/", TargetError::User),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text}");
        }
        for good in [
            "http://a",
            "https://[::1]:1/",
            "http://2130706433/",
            "http://a@b",
        ] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn no_kinds_are_all_of_them_but_counts_only_with_the_apps() {
        let hook_of = |kinds: &[NoticeKind], subscription_count| {
            let mut app = App::new("1", "key", "secret");
            app.subscription_count = subscription_count;
            Hook {
                app: Arc::new(app),
                target: Target::parse("http://a").unwrap(),
                kinds: kinds.to_vec(),
            }
        };
        let hook = |kinds: &[NoticeKind]| hook_of(kinds, false);
        assert_eq!(hook_of(&[], true).wanted().count(), NoticeKind::ALL.len());
        assert_eq!(hook(&[]).wanted().count(), NoticeKind::ALL.len() - 1);
        assert!(!hook(&[]).wants(NoticeKind::SubscriptionCount));
        let asked = [NoticeKind::SubscriptionCount];
        assert!(hook(&asked).wants(NoticeKind::SubscriptionCount));
        let one = hook(&[NoticeKind::CacheMiss]);
        assert_eq!(one.wanted().collect::<Vec<_>>(), [NoticeKind::CacheMiss]);
    }
}
