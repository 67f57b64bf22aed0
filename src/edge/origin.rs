//! Which web pages may open a WebSocket: the `Origin` header (RFC 6454) against the configuration.
//! Whoever sends none is no browser and needs no origin.

use std::fmt;
use std::str::FromStr;

/// Whose pages may connect.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Those allowed. None: only pages from the very host that is asked.
    pub rules: Vec<OriginRule>,
    /// Pages from this machine, and local files (`null`), may too. The page of a foreign host that
    /// resolves to this machine may not, though its host is the one that it asks.
    pub development: bool,
}

/// An entry of `allowed_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// `*`
    Any,
    /// `null`: local files, sandboxed frames.
    Null,
    /// `https://app.example.com`
    Exact(Origin),
    /// `https://*.example.com`: every host below it, not itself.
    Below(Origin),
}

/// A scheme, a host in lower case and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

/// Not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin: write `https://app.example.com`, with a port if it is not the scheme's, \
     `https://*.example.com`, `*` or `null` (a name in other letters in its xn-- form)"
)]
pub struct NotAnOrigin(Box<str>);

impl Origins {
    /// Whether a page of `origin` (the header's bytes) may connect to the server that it called
    /// `host` (the Host header).
    pub fn allow(&self, origin: &[u8], host: &str) -> bool {
        let null = origin == b"null";
        let parsed = std::str::from_utf8(origin).ok().and_then(Origin::parse);
        if parsed.is_none() && !null {
            return false;
        }
        let listed = self.rules.iter().any(|rule| match (rule, &parsed) {
            (OriginRule::Any, _) => true,
            (OriginRule::Null, _) => null,
            (OriginRule::Exact(exact), Some(origin)) => exact == origin,
            (OriginRule::Below(parent), Some(origin)) => origin.is_below(parent),
            (_, None) => false,
        });
        let unlisted = match &parsed {
            Some(origin) if self.development => origin.is_loopback(),
            None if self.development => true,
            Some(origin) if self.rules.is_empty() => origin.is_host(host),
            _ => false,
        };
        listed || unlisted
    }
}

impl FromStr for OriginRule {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let wrong = || NotAnOrigin(text.into());
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        match text.split_once("://*.") {
            None => Origin::parse(text).map(Self::Exact).ok_or_else(wrong),
            Some((scheme, host)) => {
                let parent = Origin::parse(&format!("{scheme}://{host}")).ok_or_else(wrong)?;
                let is_name = !parent.host.starts_with('[');
                is_name.then_some(Self::Below(parent)).ok_or_else(wrong)
            }
        }
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

    fn is_below(&self, parent: &Self) -> bool {
        let host = self.host.strip_suffix(&*parent.host);
        let below = host.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        below && self.scheme == parent.scheme && self.port == parent.port
    }

    fn is_loopback(&self) -> bool {
        matches!(&*self.scheme, "http" | "https")
            && matches!(&*self.host, "localhost" | "127.0.0.1" | "[::1]")
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if default_port(&self.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
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
        Origins {
            rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            development: false,
        }
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
    fn with_no_rule_only_the_same_origin() {
        let none = origins(&[]);
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
    fn development_allows_this_machine_and_no_rebound_name() {
        let dev = Origins {
            development: true,
            ..Origins::default()
        };
        let allowed = [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:8443",
            "null",
        ];
        let refused = [
            "http://evil.com:8080",
            "http://localhost.evil.com",
            "http://127.0.0.1.evil.com",
        ];
        check(&dev, "evil.com:8080", &allowed, &refused);
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

        #[test]
        fn an_origin_is_read_back(host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", port in any::<Option<u16>>()) {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            let origin = Origin::parse(&format!("https://{host}{port}")).unwrap();
            prop_assert_eq!(Origin::parse(&origin.to_string()), Some(origin));
        }
    }
}
