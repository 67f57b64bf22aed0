//! The client's address behind proxies: from `X-Forwarded-For` or `Forwarded` (RFC 7239), believed
//! only as far as trusted proxies wrote it, that is from the right.
//!
//! - The peer is asked first: one that is not trusted is itself the client, whatever it sends.
//! - Each hop from the right is what a trusted proxy saw. The first that is not trusted is the
//!   client. What is left of it anyone may have written: it is never read.
//! - A hop that is no address (`unknown`, an obfuscated name, garbage) ends the search: the last
//!   trusted hop is all that is known.
//! - Most proxies write one of the two headers and pass the other on as the client sent it. So
//!   with both present both must say the same, or the request is refused ([`Conflict`]): preferring
//!   either would let clients choose their address behind proxies that write the other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;

use super::address::normalise;
use super::ranges::Ranges;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Peers that are believed when they say for whom they speak.
#[derive(Debug, Default)]
pub struct TrustedProxies(Ranges<()>);

/// `Forwarded` and `X-Forwarded-For` name different clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Forwarded and X-Forwarded-For name different clients")]
pub struct Conflict;

impl TrustedProxies {
    /// Trusts `ranges`.
    pub fn new(ranges: &[IpNet]) -> Self {
        Self(ranges.iter().copied().collect())
    }

    /// Whether `address` is a trusted proxy.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.any(address, |()| true)
    }

    /// The address of the client behind `peer`, normalised.
    ///
    /// # Errors
    /// Both headers are present and do not agree.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Conflict> {
        let peer = normalise(peer);
        if !self.trust(peer) {
            return Ok(peer);
        }
        let by = |name, hop: fn(&[u8]) -> Option<IpAddr>| {
            let present = headers.contains_key(&name);
            present.then(|| self.walk(peer, headers, &name, hop))
        };
        match (by(X_FORWARDED_FOR, plain_hop), by(FORWARDED, forwarded_hop)) {
            (Some(one), Some(other)) if one != other => Err(Conflict),
            (Some(client), _) | (None, Some(client)) => Ok(client),
            (None, None) => Ok(peer),
        }
    }

    /// Goes from the right over all lines of the header, as if they were one.
    fn walk(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        parse: fn(&[u8]) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut last = peer;
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        for line in lines.into_iter().rev() {
            for element in ElementsFromRight(Some(line.as_bytes())) {
                if element.is_empty() {
                    continue; // RFC 9110 5.6.1: empty elements do not count.
                }
                let Some(hop) = parse(element) else {
                    return last;
                };
                last = normalise(hop);
                if !self.trust(last) {
                    return last;
                }
            }
        }
        last
    }
}

/// The elements of a list header, the last first, split at commas outside quotes. Split from the
/// right, so that a quote which a client left open cannot swallow what proxies added. (An escaped
/// quote splits wrongly, but the backslash stays in the element, and no address has one.)
struct ElementsFromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for ElementsFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut quoted = false;
        let comma = rest.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let (before, element) = match comma {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        self.0 = before;
        Some(element.trim_ascii())
    }
}

/// A hop of `X-Forwarded-For`: an address, perhaps with a port, brackets or quotes.
fn plain_hop(element: &[u8]) -> Option<IpAddr> {
    node(unquote(element)?)
}

/// A hop of `Forwarded`: its one `for` parameter.
fn forwarded_hop(element: &[u8]) -> Option<IpAddr> {
    if element.contains(&b'\\') {
        return None;
    }
    let mut found = None;
    for pair in element.split(|byte| *byte == b';') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = parts.next()?.trim_ascii();
        if name.eq_ignore_ascii_case(b"for") {
            if found.is_some() {
                return None;
            }
            found = Some(parts.next()?);
        }
    }
    node(unquote(found?.trim_ascii())?)
}

fn unquote(text: &[u8]) -> Option<&str> {
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    std::str::from_utf8(text).ok()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    match text.parse::<SocketAddr>().ok()? {
        SocketAddr::V6(address) if address.scope_id() != 0 => None,
        address => Some(address.ip()),
    }
}

#[cfg(test)]
mod tests;
