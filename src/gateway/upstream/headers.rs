//! Headers on both ways. To the upstream go those of an allow-list and what says who asks; from it
//! come those that speak of the resource, and none that speak of the connection, of the upstream's
//! own host, or for the site that Pogo answers on.

mod location;

use std::net::IpAddr;

use http::header::{
    self, ACCEPT, ACCEPT_LANGUAGE, CONNECTION, CONTENT_LOCATION, CONTENT_TYPE, FORWARDED, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LINK, LOCATION, RANGE,
    USER_AGENT, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::Asked;

/// What a client may say to an upstream.
const FROM_CLIENTS: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("prefer"),
    RANGE,
];

/// What is between two peers (RFC 9110, 7.6.1), whether `Connection` names it or not.
const BETWEEN_PEERS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What an upstream cannot say for the site that Pogo answers on: where else it is, and what
/// browsers are to do with the whole origin for long. CORS is the edge's matter. `Set-Cookie` stays: the
/// cache has to see it, and takes it off.
const NOT_FOR_CLIENTS: [&str; 4] = [
    "alt-svc",
    "service-worker-allowed",
    "strict-transport-security",
    "refresh",
];

const SOFTWARE: &str = concat!("pogo/", env!("CARGO_PKG_VERSION"));
/// By what name Pogo stands in `Via`.
const VIA_POGO: HeaderValue = HeaderValue::from_static("1.1 pogo");

/// The headers of a request; `more`: what clients may say beside what they always may.
pub(super) fn of_request(asked: &Asked, more: &[HeaderName]) -> HeaderMap {
    let named = named_by_connection(&asked.headers);
    let mut headers = HeaderMap::new();
    for name in FROM_CLIENTS.iter().chain(more) {
        if named.contains(name) || headers.contains_key(name) {
            continue;
        }
        for value in asked.headers.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(USER_AGENT, HeaderValue::from_static(SOFTWARE));
    headers.insert(VIA, VIA_POGO);
    // What is kept is kept as it is, and read as JSON.
    let plain = HeaderValue::from_static("identity");
    headers.insert(header::ACCEPT_ENCODING, plain);
    if let Some(address) = asked.address {
        forwarded(&mut headers, address);
    }
    for (name, value) in &asked.identity {
        headers.insert(name, value.clone());
    }
    headers
}

/// For whom the request is made. Only his address: what else he says of himself is his own word.
fn forwarded(headers: &mut HeaderMap, address: IpAddr) {
    let element = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    if let (Ok(element), Ok(address)) = (
        HeaderValue::try_from(element),
        HeaderValue::try_from(address.to_string()),
    ) {
        headers.insert(FORWARDED, element);
        headers.insert("x-forwarded-for", address);
    }
}

/// Whether an answer says in two ways where it ends (RFC 9112, 6.3): hyper reads it by one of them,
/// and somebody further on may by the other.
pub(super) fn has_two_lengths(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    lengths > 1 || (lengths == 1 && headers.contains_key(header::TRANSFER_ENCODING))
}

/// Takes out of an answer's headers what is not a client's: `asked` is the whole URI of the
/// request, `bases` the upstream's.
pub(super) fn clean_answer(headers: &mut HeaderMap, asked: &Uri, bases: &[Uri]) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in BETWEEN_PEERS.iter().chain(&NOT_FOR_CLIENTS) {
        headers.remove(*name);
    }
    let cors: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in cors {
        headers.remove(name);
    }
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(value) = headers.remove(&name) else {
            continue;
        };
        let ours = value.to_str().ok();
        let ours = ours.and_then(|text| location::below(text, asked, bases));
        if let Some(value) = ours.and_then(|path| HeaderValue::try_from(path).ok()) {
            headers.insert(name, value);
        }
    }
    let links: Vec<HeaderValue> = headers.get_all(LINK).iter().cloned().collect();
    headers.remove(LINK);
    for link in links {
        let ours = link.to_str().ok();
        let ours = ours.and_then(|text| location::links_below(text, asked, bases));
        if let Some(link) = ours.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.append(LINK, link);
        }
    }
    headers.append(VIA, VIA_POGO);
}

/// The headers that are between the peers because `Connection` says so.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
