//! Which web pages may open a WebSocket: the `Origin` header (RFC 6454) against the configuration.
//! Whoever sends none is no browser and needs no origin.

use std::str::FromStr;

/// Whose pages may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages from the very host that they ask.
    #[default]
    Same,
    /// These only. Then the asked host counts for nothing, so a foreign name that resolves to this
    /// machine gains nothing (which is why `--dev` lists this machine's names).
    Listed(Vec<OriginRule>),
}

/// An entry of `allowed_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// `*`
    Any,
    /// `null`: local files, sandboxed frames.
    Null,
    /// `https://app.example.com`, `https://*.example.com`, `http://localhost:*`
    Page(PageRule),
}

/// A scheme, host and port, the latter two perhaps open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRule {
    origin: Origin,
    /// Every host below `origin`'s, not itself.
    below: bool,
    any_port: bool,
}

/// A scheme, a host in lower case and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

/// How an origin stands to this server where plain HTTP asks: see [`super::Page`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// An entry names it.
    Named,
    /// It is the host that is asked.
    Host,
    /// It may connect without being named.
    Open,
    Refused,
}

/// Not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin: write `https://app.example.com`, with a port if it is not the scheme's \
     (`:*`: any), `https://*.example.com`, `*` or `null` (names in other letters in their xn-- form)"
)]
pub struct NotAnOrigin(Box<str>);

impl Origins {
    /// Whose pages may connect as Pusher's clients, who bring no cookie's rights along: where none
    /// are listed, everyone's.
    pub fn for_pusher(&self) -> Self {
        match self {
            Self::Same => Self::Listed(vec![OriginRule::Any]),
            Self::Listed(rules) => Self::Listed(rules.clone()),
        }
    }

    /// Whether a page of `origin` (the header's bytes) may connect to the server that it called
    /// `host` (the Host header).
    pub fn allow(&self, origin: &[u8], host: &str) -> bool {
        let page = match origin {
            b"null" => None,
            bytes => match std::str::from_utf8(bytes).ok().and_then(Origin::parse) {
                Some(page) => Some(page),
                None => return false,
            },
        };
        match (self, page) {
            (Self::Same, page) => page.is_some_and(|page| page.is_host(host)),
            (Self::Listed(rules), page) => rules.iter().any(|rule| match (rule, &page) {
                (OriginRule::Any, _) | (OriginRule::Null, None) => true,
                (OriginRule::Page(rule), Some(page)) => rule.holds(page),
                (OriginRule::Null, Some(_)) | (OriginRule::Page(_), None) => false,
            }),
        }
    }
}

impl Origins {
    /// How `origin` stands to the server that it called `host`. What is no origin is refused.
    pub(super) fn standing(&self, origin: &str, host: &str) -> Standing {
        let page = Origin::parse(origin);
        if page.is_none() && origin != "null" {
            return Standing::Refused;
        }
        let named = |rule: &OriginRule| match (rule, &page) {
            (OriginRule::Page(rule), Some(page)) => rule.holds(page),
            _ => false,
        };
        match self {
            Self::Listed(rules) if rules.iter().any(named) => Standing::Named,
            _ if page.as_ref().is_some_and(|page| page.is_host(host)) => Standing::Host,
            Self::Listed(_) if !self.allow(origin.as_bytes(), host) => Standing::Refused,
            _ => Standing::Open,
        }
    }
}

impl PageRule {
    fn holds(&self, page: &Origin) -> bool {
        let host = if self.below {
            let rest = page.host.strip_suffix(&*self.origin.host);
            rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            page.host == self.origin.host
        };
        let port = self.any_port || page.port == self.origin.port;
        host && port && page.scheme == self.origin.scheme
    }
}

impl FromStr for OriginRule {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (rest, any_port) = match text.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (rest, below) = match rest.split_once("://*.") {
            Some((scheme, host)) => (format!("{scheme}://{host}"), true),
            None => (rest.to_owned(), false),
        };
        let origin = Origin::parse(&rest).filter(|origin| !(below && origin.host.starts_with('[')));
        let rule = origin.map(|origin| PageRule {
            origin,
            below,
            any_port,
        });
        rule.map(Self::Page).ok_or_else(|| NotAnOrigin(text.into()))
    }
}

impl Origin {
    /// `scheme://host` or `scheme://host:port`, and nothing else: no path, no user.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let scheme_is_one = letters.next()?.is_ascii_alphabetic()
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split_port(authority)?;
        if !scheme_is_one {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase().into_boxed_str();
        let port = port.or(default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// Whether `host` (a Host header) names this host and port. Behind a proxy that ends TLS the
    /// server does not know its own scheme, so a missing port is the origin's default.
    fn is_host(&self, host: &str) -> bool {
        split_port(host).is_some_and(|(name, port)| {
            let port = port.or(default_port(&self.scheme));
            *name == *self.host && port == self.port
        })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Host in lower case, and port. An IPv6 address stands in brackets.
fn split_port(authority: &str) -> Option<(Box<str>, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
    };
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (is_v6 || is_name).then(|| (host.to_ascii_lowercase().into_boxed_str(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origins(rules: &[&str]) -> Origins {
        Origins::Listed(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    fn check(origins: &Origins, host: &str, allowed: &[&str], refused: &[&str]) {
        for origin in allowed {
            assert!(
                origins.allow(origin.as_bytes(), host),
                "{origin} is refused"
            );
        }
        for origin in refused {
            assert!(
                !origins.allow(origin.as_bytes(), host),
                "{origin} is allowed"
            );
        }
    }

    const TRICKS: [&str; 12] = [
        "https://good.com.evil",
        "https://evilgood.com",
        "https://good.com@evil.com",
        "https://good.com:443@evil.com",
        "https://evil.com/https://good.com",
        "https://good.com/",
        "https://good.com.",
        "https://good.com, https://evil.com",
        "https://good.com https://evil.com",
        "null",
        "",
        "https://good.com\\.evil.com",
    ];

    #[test]
    fn exact_origins() {
        let rules = origins(&["https://Good.com", "http://other.net:8080"]);
        let allowed = [
            "https://good.com",
            "HTTPS://GOOD.COM:443",
            "http://other.net:8080",
        ];
        check(&rules, "good.com", &allowed, &TRICKS);
        let refused = [
            "http://good.com",
            "https://good.com:444",
            "http://other.net",
            "https://a.good.com",
        ];
        check(&rules, "good.com", &[], &refused);
    }

    #[test]
    fn hosts_below_a_host() {
        let rules = origins(&["https://*.good.com"]);
        check(
            &rules,
            "x",
            &["https://a.good.com", "https://a.b.good.com:443"],
            &TRICKS,
        );
        let refused = [
            "https://good.com",
            "https://.good.com",
            "http://a.good.com",
            "https://a.good.com:8443",
            "https://agood.com",
            "https://a.good.com.evil.com",
        ];
        check(&rules, "good.com", &[], &refused);
    }

    #[test]
    fn only_the_same_origin() {
        let none = Origins::Same;
        check(
            &none,
            "good.com",
            &["https://good.com", "http://GOOD.com:80"],
            &TRICKS,
        );
        check(
            &none,
            "good.com:8080",
            &["http://good.com:8080"],
            &["http://good.com", "https://good.com"],
        );
        check(
            &none,
            "[::1]:8080",
            &["http://[::1]:8080"],
            &["http://[::1]", "http://::1:8080"],
        );
        check(&none, "", &[], &["https://good.com", "null"]);
    }

    #[test]
    fn any_and_null_when_listed() {
        check(
            &origins(&["*"]),
            "x",
            &["https://any.where", "null"],
            &["garbage", ""],
        );
        check(&origins(&["null"]), "x", &["null"], &["https://x", "NULL"]);
    }

    #[test]
    fn any_port_of_this_machine_and_no_rebound_name() {
        let dev = origins(&["http://localhost:*", "http://[::1]:*", "null"]);
        let allowed = [
            "http://localhost:3000",
            "http://localhost",
            "http://[::1]:8443",
            "null",
        ];
        let refused = [
            "http://evil.com:8080",
            "https://localhost:3000",
            "http://localhost.evil.com:1",
            "http://evil-localhost:1",
        ];
        check(&dev, "evil.com:8080", &allowed, &refused);
        check(
            &origins(&["https://*.a.com:*"]),
            "x",
            &["https://b.a.com:9"],
            &["https://a.com:9"],
        );
    }

    #[test]
    fn an_empty_list_allows_no_page() {
        check(
            &origins(&[]),
            "good.com",
            &[],
            &["https://good.com", "null"],
        );
    }

    #[test]
    fn what_is_no_rule_is_an_error_that_says_what_is() {
        for text in [
            "good.com",
            "https://",
            "https://*",
            "https://a.*.com",
            "https://good.com/x",
            "https://*.[::1]",
            "https://a.com:*:*",
            "*.com",
        ] {
            let error = text.parse::<OriginRule>().unwrap_err();
            assert!(
                error.to_string().contains("https://app.example.com"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn only_what_is_written_is_allowed(origin in "[a-z:/@.*\\[\\]0-9]{0,30}") {
            let rules = origins(&["https://good.com"]);
            let written = matches!(&*origin, "https://good.com" | "https://good.com:443");
            prop_assert_eq!(rules.allow(origin.as_bytes(), "good.com"), written);
        }
    }
}
