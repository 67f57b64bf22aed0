//! Whether a request is the app's: `auth_signature` is the hex HMAC-SHA256 of
//!
//! ```text
//! METHOD
//! /path
//! name=value&name=value
//! ```
//!
//! with every parameter of the query but itself, names in lower case and sorted, values unescaped.
//! The body is covered by the parameter `body_md5`, and the time by `auth_timestamp`.

use bytes::Bytes;
use http::{Method, Request};
use md5::{Digest, Md5};

use super::super::answer::Refused;
use crate::auth::pusher::{App, hex};
use crate::protocol::pairs::{Pairs, Plus};
use crate::protocol::pusher::excerpt;

/// So much of what was to be signed is repeated, in bytes.
const MAX_TEXT: usize = 640;
/// So much of a signature, which has 64, or of a key.
const MAX_SIGNATURE: usize = 128;
/// How far a request's time may be from ours, in seconds.
const WINDOW: u64 = 600;

pub(super) fn unknown_key(key: &str) -> Refused {
    Refused::unauthorized(format!("Unknown auth_key: {}", excerpt(key, MAX_SIGNATURE)))
}

/// Checks that `request` was signed by `app` around `now` (Unix seconds); its parameters as they
/// were signed.
pub(super) fn check(
    app: &App,
    request: &Request<Bytes>,
    query: Pairs,
    now: u64,
) -> Result<Pairs, Refused> {
    let need = |name: &'static str| {
        let missing = || Refused::unauthorized(format!("{name} is missing"));
        query.get(name).ok_or_else(missing)
    };
    let key = need("auth_key")?;
    if key != &*app.key {
        return Err(unknown_key(key));
    }
    let version = need("auth_version")?;
    if version != "1.0" {
        return Err(Refused::unauthorized("auth_version must be 1.0"));
    }
    check_time(need("auth_timestamp")?, now)?;
    check_body(query.get("body_md5"), request.body())?;
    let shown = need("auth_signature")?.to_owned();
    check_signature(app, request, query, &shown)
}

fn check_time(text: &str, now: u64) -> Result<(), Refused> {
    let time: Option<u64> = text.parse().ok();
    match time {
        Some(time) if time.abs_diff(now) <= WINDOW => Ok(()),
        Some(time) => Err(Refused::unauthorized(format!(
            "Timestamp expired: Given timestamp ({time}) not within {WINDOW}s of server time ({now})"
        ))),
        None => Err(Refused::unauthorized(
            "auth_timestamp must be Unix time in seconds",
        )),
    }
}

/// Libraries send `body_md5` with every POST, and pusher-http-python with a GET too. A body that
/// nothing vouches for is nobody's.
fn check_body(shown: Option<&str>, body: &[u8]) -> Result<(), Refused> {
    match shown {
        None if body.is_empty() => Ok(()),
        None => Err(Refused::unauthorized("body_md5 is missing")),
        Some(shown) if shown == hex(&Md5::digest(body)) => Ok(()),
        Some(_) => Err(Refused::unauthorized(
            "Invalid body_md5: it is not the MD5 of the body",
        )),
    }
}

fn check_signature(
    app: &App,
    request: &Request<Bytes>,
    query: Pairs,
    shown: &str,
) -> Result<Pairs, Refused> {
    let (method, path) = (request.method(), request.uri().path());
    let text = text(method, path, &query)?;
    if app.matches(text.as_bytes(), shown) {
        return Ok(query);
    }
    // Libraries that escape as forms do write a space as `+`.
    let raw = request.uri().query().unwrap_or_default();
    if raw.contains('+')
        && let Some(spaced) = Pairs::read(raw, Plus::Space)
        && app.matches(self::text(method, path, &spaced)?.as_bytes(), shown)
    {
        return Ok(spaced);
    }
    // Cut, so that both are seen.
    let (text, shown) = (excerpt(&text, MAX_TEXT), excerpt(shown, MAX_SIGNATURE));
    Err(Refused::unauthorized(format!(
        "Invalid signature: you should have sent HmacSHA256Hex({text:?}, your_secret_key), \
         but you sent {shown:?}"
    )))
}

/// What is signed. A name that is there twice, or an `&` in a value, would let one text stand for
/// several requests.
fn text(method: &Method, path: &str, query: &Pairs) -> Result<String, Refused> {
    let mut pairs: Vec<(String, &str)> = query
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| name != "auth_signature")
        .collect();
    pairs.sort_unstable();
    let twice = pairs.windows(2).any(|two| two[0].0 == two[1].0);
    let odd = pairs
        .iter()
        .any(|(name, value)| name.contains(['&', '=']) || value.contains('&'));
    if twice || odd {
        return Err(Refused::bad(
            "A parameter is there twice, or holds an `&` or `=` where it cannot be signed",
        ));
    }
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(format!("{method}\n{path}\n{}", pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    const TIME: u64 = 1_353_088_179;
    const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;

    fn app() -> App {
        App::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
    }

    fn request(method: &str, path_and_query: &str, body: &str) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(path_and_query)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap()
    }

    fn checked(request: &Request<Bytes>, now: u64) -> Result<Pairs, Refused> {
        let query = Pairs::read(request.uri().query().unwrap_or_default(), Plus::Itself);
        check(&app(), request, query.unwrap(), now)
    }

    /// The example of Pusher's documentation.
    const QUERY: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
        &body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=\
        da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

    #[test]
    fn the_documented_example_holds_and_nothing_near_it() {
        let good = format!("/apps/3/events?{QUERY}");
        assert!(checked(&request("POST", &good, BODY), TIME).is_ok());
        let body = BODY.replace("some", "same");
        let changes = [
            ("GET", good.clone(), BODY, TIME),
            ("POST", good.replace("/events", "/event"), BODY, TIME),
            ("POST", good.replace("?", "?info=a&"), BODY, TIME),
            ("POST", good.replace("7e6c", "7e6d"), BODY, TIME),
            ("POST", good.replace("auth_key=2", "auth_key=3"), BODY, TIME),
            ("POST", good.replace("=1.0", "=1.1"), BODY, TIME),
            (
                "POST",
                good.replace("&body_md5=ec3", "&body_md5=ec4"),
                BODY,
                TIME,
            ),
            ("POST", good.clone(), &body, TIME),
            ("POST", good.clone(), BODY, TIME + 601),
            ("POST", good.clone(), BODY, TIME - 601),
        ];
        for (method, uri, body, now) in changes {
            let refused = checked(&request(method, &uri, body), now).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{uri}");
        }
        for near in [TIME + 600, TIME - 600] {
            assert!(checked(&request("POST", &good, BODY), near).is_ok());
        }
        for name in [
            "auth_key",
            "auth_timestamp",
            "auth_version",
            "auth_signature",
        ] {
            let gone = good.replace(name, "other");
            let refused = checked(&request("POST", &gone, BODY), TIME).unwrap_err();
            assert_eq!(refused.says, format!("{name} is missing"));
        }
    }

    fn signed(method: &str, path: &str, rest: &str, body: &str) -> Request<Bytes> {
        let query =
            format!("auth_key=278d425bdf160c739803&auth_timestamp={TIME}&auth_version=1.0{rest}");
        let pairs = Pairs::read(&query, Plus::Itself).unwrap();
        let text = text(&method.parse().unwrap(), path, &pairs).unwrap();
        let signature = app().hex(text.as_bytes());
        request(
            method,
            &format!("{path}?{query}&auth_signature={signature}"),
            body,
        )
    }

    #[test]
    fn a_body_is_vouched_for_on_any_method() {
        let empty = hex(&Md5::digest(b""));
        let get = signed("GET", "/apps/3/channels", &format!("&body_md5={empty}"), "");
        assert!(checked(&get, TIME).is_ok());
        assert!(checked(&signed("GET", "/apps/3/channels", "", ""), TIME).is_ok());
        let other = hex(&Md5::digest(b"x"));
        for (method, rest, body) in [
            ("GET", format!("&body_md5={other}"), ""),
            ("POST", String::new(), "{}"),
            ("POST", format!("&body_md5={other}"), "{}"),
        ] {
            let refused = checked(&signed(method, "/apps/3/channels", &rest, body), TIME);
            assert!(refused.unwrap_err().says.contains("body_md5"));
        }
    }

    #[test]
    fn one_text_is_one_request() {
        for odd in ["a=1&a=2", "A=1&a=2", "a=1%26b=2", "a%3D1=2", "a%26b=2"] {
            let pairs = Pairs::read(odd, Plus::Itself).unwrap();
            let refused = text(&Method::GET, "/", &pairs).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{odd}");
        }
    }

    #[test]
    fn a_space_may_come_as_a_plus() {
        let spaced = signed("GET", "/apps/3/channels", "&filter_by_prefix=a%20b", "");
        let plus = spaced.uri().to_string().replace("%20", "+");
        let pairs = checked(&request("GET", &plus, ""), TIME).unwrap();
        assert_eq!(pairs.get("filter_by_prefix"), Some("a b"));
    }

    fn escaped(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    proptest! {
        /// In whatever order and case the parameters come, and however they are escaped.
        #[test]
        fn the_text_is_what_libraries_sign(
            pairs in proptest::collection::btree_map("[a-z_]{1,8}", "[^&]{0,12}", 0..6),
            upper in any::<bool>(),
            backwards in any::<bool>(),
        ) {
            let pairs: BTreeMap<String, String> = pairs;
            let lines: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let expected = format!("POST\n/apps/3/events\n{}", lines.join("&"));
            let mut sent: Vec<_> = pairs
                .iter()
                .map(|(k, v)| (if upper { k.to_uppercase() } else { k.clone() }, v))
                .map(|(k, v)| format!("{}={}", escaped(&k), escaped(v)))
                .collect();
            sent.push("auth_signature=x".into());
            if backwards {
                sent.reverse();
            }
            let read = Pairs::read(&sent.join("&"), Plus::Itself).unwrap();
            prop_assert_eq!(text(&Method::POST, "/apps/3/events", &read).unwrap(), expected);
        }

        #[test]
        fn nothing_unsigned_gets_through(query in "[a-z0-9_=&%+.]{0,80}") {
            let request = request("GET", &format!("/apps/3/channels?{query}"), "");
            prop_assume!(Pairs::read(&query, Plus::Itself).is_some());
            prop_assert!(checked(&request, TIME).is_err());
        }
    }
}
