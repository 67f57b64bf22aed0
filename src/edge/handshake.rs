//! The WebSocket handshake (RFC 6455, section 4.2): a request's head in, what to upgrade to or a
//! refusal out. No I/O, and no token leaves this module but for the authenticator.

mod deflate;

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, ORIGIN,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::response::Refusal;
use super::{Config, Origins};
use crate::protocol::Encoding;

/// What carries a token beside the subprotocols proper.
const BEARER_SUBPROTOCOL: &str = "pogo.bearer.";

/// A handshake that is in order.
pub(super) struct Handshake {
    /// `Sec-WebSocket-Accept`.
    pub(super) accept: String,
    /// What the session will speak.
    pub(super) encoding: Encoding,
    /// The subprotocol to answer with: the encoding's, if it was offered. With none, browsers give
    /// up a connection for which they offered some (WHATWG WebSockets, "establish"), so clients
    /// offer an encoding beside `pogo.bearer.…`.
    pub(super) subprotocol: Option<&'static str>,
    /// `Sec-WebSocket-Extensions`, where permessage-deflate is granted.
    pub(super) extensions: Option<&'static str>,
    /// Where there was a token, and which.
    pub(super) token: Token,
}

/// The token of a handshake. Sources are looked at in this order, and the first that has one
/// counts: the `Authorization` header, an offered subprotocol, the query.
pub(super) enum Token {
    /// None.
    Absent,
    /// In the header: a bad one is answered with 401.
    Header(Box<str>),
    /// Where browsers put it: a bad one is answered with a close code, which they can read.
    Readable(Box<str>),
    /// More than one where there can be one.
    Ambiguous,
}

/// Whether the client asks for a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    lists(headers, &UPGRADE, "websocket") && lists(headers, &CONNECTION, "upgrade")
}

/// Checks the head of a request that asks for a WebSocket of the native protocol.
pub(super) fn examine(
    head: &Parts,
    config: &Config,
    origins: &Origins,
) -> Result<Handshake, Refusal> {
    let plain = examine_app(head, config, origins)?;
    let offer = Offer::read(&head.headers, config)?;
    Ok(Handshake {
        encoding: offer.encoding,
        subprotocol: offer.subprotocol,
        token: token(head, offer.token, config.token_in_query)?,
        ..plain
    })
}

/// Checks the head of a request that asks for a WebSocket of Pusher's protocol, which knows no
/// subprotocols and no tokens.
pub(super) fn examine_app(
    head: &Parts,
    config: &Config,
    origins: &Origins,
) -> Result<Handshake, Refusal> {
    let headers = &head.headers;
    if head.method != Method::GET {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Open a WebSocket with GET.",
        ));
    }
    if head.version != Version::HTTP_11 {
        return Err(Refusal::bad("Open a WebSocket over HTTP/1.1."));
    }
    let host = only(headers, &HOST).and_then(|host| std::str::from_utf8(host).ok());
    let Some(host) = host else {
        return Err(Refusal::bad("Send one Host header."));
    };
    if has_body(headers) {
        return Err(Refusal::bad("Send no body when opening a WebSocket."));
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "Send `Sec-WebSocket-Version: 13`.",
        ));
    }
    let Some(key) = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return Err(Refusal::bad(
            "Send one Sec-WebSocket-Key: 16 random bytes in base64.",
        ));
    };
    check_origin(headers, host, origins)?;
    Ok(Handshake {
        accept: derive_accept_key(key),
        encoding: Encoding::Pusher,
        subprotocol: None,
        extensions: extensions(headers, config)?,
        token: Token::Absent,
    })
}

/// What is answered to the offered extensions.
fn extensions(headers: &HeaderMap, config: &Config) -> Result<Option<&'static str>, Refusal> {
    if !config.compression {
        return Ok(None);
    }
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    deflate::grant(lines.iter().map(|line| line.as_bytes()))
        .map_err(|_| Refusal::bad("Send well-formed Sec-WebSocket-Extensions, or none."))
}

fn check_origin(headers: &HeaderMap, host: &str, allowed: &Origins) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let allowed = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => allowed.allow(origin.as_bytes(), host),
        (Some(_), Some(_)) => false,
    };
    allowed.then_some(()).ok_or(Refusal::new(
        StatusCode::FORBIDDEN,
        "Pages of this origin may not connect; add it to `allowed_origins`.",
    ))
}

/// What `Sec-WebSocket-Protocol` offers.
struct Offer {
    encoding: Encoding,
    subprotocol: Option<&'static str>,
    token: Token,
}

impl Offer {
    fn read(headers: &HeaderMap, config: &Config) -> Result<Self, Refusal> {
        let first = config.encodings.first().copied();
        let default = first
            .filter(|_| !config.encodings.contains(&Encoding::Json))
            .unwrap_or(Encoding::Json);
        let mut offer = Self {
            encoding: default,
            subprotocol: None,
            token: Token::Absent,
        };
        let mut unknown = false;
        for name in elements(headers, &SEC_WEBSOCKET_PROTOCOL) {
            if let Some(token) = name.strip_prefix(BEARER_SUBPROTOCOL) {
                offer.token = match offer.token {
                    Token::Absent => Token::Readable(token.into()),
                    _ => Token::Ambiguous,
                };
                continue;
            }
            let known = Encoding::of_subprotocol(name)
                .filter(|encoding| config.encodings.contains(encoding));
            match known {
                // The client's order is its preference.
                Some(encoding) if offer.subprotocol.is_none() => {
                    offer.encoding = encoding;
                    offer.subprotocol = Some(encoding.subprotocol());
                }
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown && offer.subprotocol.is_none() {
            return Err(Refusal::bad(
                "No offered subprotocol is spoken here; offer `pogo.v1.json`.",
            ));
        }
        Ok(offer)
    }
}

fn token(head: &Parts, offered: Token, in_query: bool) -> Result<Token, Refusal> {
    let mut lines = head.headers.get_all(AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (Some(_), Some(_)) => return Err(Refusal::unauthorized()),
        (Some(line), None) => {
            let line = line.to_str().map_err(|_| Refusal::unauthorized())?;
            let (scheme, rest) = line.split_once(' ').unwrap_or((line, ""));
            // Another scheme is somebody else's: a proxy's password, say.
            if scheme.eq_ignore_ascii_case("bearer") {
                return Ok(Token::Header(rest.trim().into()));
            }
        }
        (None, _) => {}
    }
    match offered {
        Token::Absent if in_query => Ok(token_of_query(head.uri.query().unwrap_or_default())),
        offered => Ok(offered),
    }
}

fn token_of_query(query: &str) -> Token {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("token="));
    match (values.next(), values.next()) {
        (None, _) => Token::Absent,
        (Some(value), None) => Token::Readable(percent_decoded(value).into()),
        (Some(_), Some(_)) => Token::Ambiguous,
    }
}

/// A token has no letter that must be escaped, but some libraries escape `.` and `=` all the same.
/// What does not decode stays as it is, and is then no token.
fn percent_decoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut parts = value.split('%');
    out.extend(parts.next());
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[2..]);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// 16 bytes in base64. The last letter's spare bits may be anything: RFC 6455's own example has
/// some set.
fn is_key(key: &[u8]) -> bool {
    const KEY: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    key.len() == 24 && KEY.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get_all(CONTENT_LENGTH)
            .iter()
            .any(|length| length != "0")
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// The elements of a list header, over all its lines.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests;
