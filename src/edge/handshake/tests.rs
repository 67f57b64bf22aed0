//! Heads of requests, and what becomes of them.

use http::Request;
use proptest::prelude::*;

use super::*;

/// RFC 6455's own handshake; `extra` headers replace those of the same name, `-name` takes one off.
fn head(uri: &str, extra: &[(&str, &str)]) -> Parts {
    let (mut head, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
    let usual = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in usual {
        if !extra
            .iter()
            .any(|(other, _)| other.trim_start_matches('-') == name)
        {
            head.headers.append(name, value.parse().unwrap());
        }
    }
    for (name, value) in extra.iter().filter(|(name, _)| !name.starts_with('-')) {
        let name: HeaderName = name.parse().unwrap();
        head.headers.append(name, value.parse().unwrap());
    }
    head
}

fn config() -> Config {
    Config {
        token_in_query: true,
        ..Config::default()
    }
}

fn status(head: &Parts) -> u16 {
    match examine(head, &config(), &Origins::Same) {
        Ok(_) => 101,
        Err(refusal) => refusal.status.as_u16(),
    }
}

#[test]
fn the_rfcs_handshake_is_answered_as_there() {
    let handshake = examine(&head("/", &[]), &config(), &Origins::Same)
        .ok()
        .unwrap();
    assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(handshake.encoding, Encoding::Json);
    assert_eq!(handshake.subprotocol, None, "none was offered");
}

#[test]
fn what_is_out_of_order_is_told_apart() {
    for (extra, expected) in [
        (&[("sec-websocket-version", "8")][..], 426),
        (&[("sec-websocket-version", "13, 8")], 426),
        (&[("-sec-websocket-version", "")], 426),
        (
            &[
                ("sec-websocket-version", "13"),
                ("sec-websocket-version", "13"),
            ],
            426,
        ),
        (&[("-sec-websocket-key", "")], 400),
        (&[("sec-websocket-key", "")], 400),
        (&[("sec-websocket-key", "short")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j!Q==")], 400),
        (&[("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEC==")], 101),
        (
            &[
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            400,
        ),
        (&[("-host", "")], 400),
        (&[("host", "a"), ("host", "b")], 400),
        (&[("content-length", "5")], 400),
        (&[("content-length", "0")], 101),
        (&[("transfer-encoding", "chunked")], 400),
    ] {
        assert_eq!(status(&head("/", extra)), expected, "{extra:?}");
    }
    let mut post = head("/", &[]);
    post.method = Method::POST;
    assert_eq!(status(&post), 405);
    let mut old = head("/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(status(&old), 400);
}

#[test]
fn origins_and_subprotocols_must_fit() {
    for (extra, expected) in [
        (&[("origin", "http://server.example.com")][..], 101),
        (&[("origin", "https://server.example.com")], 101),
        (&[("origin", "http://server.example.com:81")], 403),
        (&[("origin", "http://server.example.com.evil.com")], 403),
        (
            &[
                ("origin", "http://evil.com"),
                ("origin", "http://server.example.com"),
            ],
            403,
        ),
        (
            &[
                ("origin", "http://server.example.com"),
                ("origin", "http://server.example.com"),
            ],
            403,
        ),
        (&[("origin", "null")], 403),
        (&[("sec-websocket-protocol", "graphql-ws, soap")], 400),
        (&[("sec-websocket-protocol", "pogo.v2.json")], 400),
        (&[("sec-websocket-protocol", "pogo.v1.json")], 101),
    ] {
        assert_eq!(status(&head("/", extra)), expected, "{extra:?}");
    }
}

#[test]
fn only_a_request_for_a_websocket_is_one() {
    let asks = |extra| is_upgrade(&head("/", extra).headers);
    assert!(asks(&[]));
    assert!(asks(&[
        ("upgrade", "h2c, WebSocket"),
        ("connection", "keep-alive, UPGRADE")
    ]));
    assert!(asks(&[
        ("connection", "keep-alive"),
        ("connection", "upgrade")
    ]));
    assert!(!asks(&[("-upgrade", "")]));
    assert!(!asks(&[("upgrade", "websockets")]));
    assert!(!asks(&[("connection", "keep-alive")]));
}

fn offer(lines: &[&str]) -> (Option<&'static str>, String) {
    let extra: Vec<_> = lines
        .iter()
        .map(|line| ("sec-websocket-protocol", *line))
        .collect();
    let handshake = examine(&head("/", &extra), &config(), &Origins::Same)
        .ok()
        .unwrap();
    (handshake.subprotocol, shown(&handshake.token))
}

fn shown(token: &Token) -> String {
    match token {
        Token::Absent => "absent".to_owned(),
        Token::Header(text) => format!("header {text}"),
        Token::Readable(text) => format!("readable {text}"),
        Token::Ambiguous => "ambiguous".to_owned(),
    }
}

#[test]
fn subprotocols_choose_the_encoding_and_may_carry_a_token() {
    let json = Some("pogo.v1.json");
    assert_eq!(offer(&[]), (None, "absent".to_owned()));
    assert_eq!(offer(&["soap, pogo.v1.json"]), (json, "absent".to_owned()));
    assert_eq!(
        offer(&["pogo.v1.json, pogo.bearer.a.b.c"]),
        (json, "readable a.b.c".to_owned())
    );
    assert_eq!(
        offer(&["pogo.bearer.a.b.c", "pogo.v1.json"]),
        (json, "readable a.b.c".to_owned())
    );
    assert_eq!(
        offer(&["pogo.bearer.a.b.c"]),
        (None, "readable a.b.c".to_owned())
    );
    assert_eq!(
        offer(&["pogo.bearer.a, pogo.bearer.a"]),
        (None, "ambiguous".to_owned())
    );
    assert_eq!(offer(&["pogo.bearer."]), (None, "readable ".to_owned()));
}

#[test]
fn each_encoding_is_chosen_where_it_is_offered() {
    for encoding in Encoding::ALL {
        let name = encoding.subprotocol();
        assert_eq!(offer(&[name]).0, Some(name));
        assert_eq!(offer(&["soap", name, "pogo.v1.json"]).0, Some(name));
    }
    let chosen = |encodings: &[Encoding], offers: &[(&str, &str)]| {
        let config = Config {
            encodings: encodings.to_vec(),
            ..config()
        };
        let handshake = examine(&head("/", offers), &config, &Origins::Same);
        handshake.ok().map(|handshake| handshake.encoding)
    };
    let (json, packed) = (Encoding::Json, Encoding::MsgPack);
    assert_eq!(chosen(&[packed, json], &[]), Some(json));
    assert_eq!(chosen(&[packed], &[]), Some(packed), "there is no other");
    let offer = [("sec-websocket-protocol", "pogo.v1.msgpack")];
    assert_eq!(chosen(&[packed], &offer), Some(packed));
    assert_eq!(chosen(&[json], &offer), None);
}

#[test]
fn the_first_source_of_a_token_counts() {
    let token = |uri, extra: &[(&str, &str)], config: &Config| match examine(
        &head(uri, extra),
        config,
        &Origins::Same,
    ) {
        Ok(handshake) => shown(&handshake.token),
        Err(refusal) => refusal.status.as_u16().to_string(),
    };
    let on = config();
    let off = Config::default();
    let offered = ("sec-websocket-protocol", "pogo.bearer.b");
    assert_eq!(
        token("/?token=c", &[("authorization", "Bearer a"), offered], &on),
        "header a"
    );
    assert_eq!(token("/?token=c", &[offered], &on), "readable b");
    assert_eq!(token("/ws?x=1&token=c", &[], &on), "readable c");
    assert_eq!(token("/?token=a%2Eb%2ec%3D", &[], &on), "readable a.b.c=");
    assert_eq!(token("/?token=%zz%4", &[], &on), "readable %zz%4");
    assert_eq!(token("/?token=c&token=d", &[], &on), "ambiguous");
    assert_eq!(token("/?token=c", &[], &off), "absent");
    assert_eq!(
        token("/", &[("authorization", "bearer  a ")], &on),
        "header a"
    );
    assert_eq!(token("/", &[("authorization", "Bearer")], &on), "header ");
    assert_eq!(
        token("/", &[("authorization", "Basic YTpi"), offered], &on),
        "readable b"
    );
    assert_eq!(
        token(
            "/",
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &on
        ),
        "401"
    );
}

proptest! {
    #[test]
    fn any_header_is_answered(
        name in prop::sample::select(vec![
            "origin", "host", "authorization", "sec-websocket-protocol", "sec-websocket-key",
            "sec-websocket-version", "connection", "upgrade",
        ]),
        value in prop::collection::vec(32_u8..=255, 0..60).prop_map(|mut bytes| {
            bytes.retain(|byte| *byte != 127);
            bytes
        }),
        query in "[a-z=&%0-9.]{0,40}",
    ) {
        let mut head = head(&format!("/?{query}"), &[(&format!("-{name}"), "")]);
        head.headers.insert(name, http::HeaderValue::from_bytes(&value).unwrap());
        let _ = is_upgrade(&head.headers);
        let _ = examine(&head, &config(), &Origins::Same);
    }
}
