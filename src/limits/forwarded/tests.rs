//! Who the client is, header by header; and that nobody outside chooses it.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const PEER: &str = "10.0.0.1";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
    let trusted =
        TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    match trusted.client(peer.parse().unwrap(), &headers(lines)) {
        Ok(address) => address.to_string(),
        Err(Conflict) => "conflict".to_owned(),
    }
}

#[test]
fn an_untrusted_peer_is_the_client() {
    let both = [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.2"),
    ];
    assert_eq!(client("198.51.100.7", &both), "198.51.100.7");
    assert_eq!(client("::ffff:198.51.100.7", &[]), "198.51.100.7");
}

#[test]
fn x_forwarded_for_counts_from_the_right() {
    for (value, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
        ("1.1.1.1,192.0.2.1 ,10.2.3.4, 10.9.9.9", "192.0.2.1"),
        ("192.0.2.1, ::ffff:10.2.3.4", "192.0.2.1"),
        ("192.0.2.1, fd00::7", "192.0.2.1"),
        ("1.1.1.1, 2001:db8::9", "2001:db8::9"),
        ("1.1.1.1, [2001:db8::9]", "2001:db8::9"),
        ("1.1.1.1, [2001:db8::9]:443", "2001:db8::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("\"192.0.2.1\"", "192.0.2.1"),
        ("10.5.5.5, 10.6.6.6", "10.5.5.5"),
        ("192.0.2.1,, 10.2.2.2,", "192.0.2.1"),
        ("", PEER),
        ("garbage", PEER),
        ("192.0.2.1, unknown, 10.2.2.2", "10.2.2.2"),
        ("192.0.2.1 10.2.2.2", PEER),
        ("192.0.2.1, fe80::1%eth0", PEER),
        ("192.0.2.1, 0x0a.1.1.1", PEER),
        ("\", 192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(
            client(PEER, &[("x-forwarded-for", value)]),
            expected,
            "{value:?}"
        );
    }
}

#[test]
fn forwarded_counts_from_the_right() {
    for (value, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("FOR=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
        ("proto=http; For=\"192.0.2.1:4711\"", "192.0.2.1"),
        ("for=1.1.1.1, for=\"[2001:db8::9]:443\"", "2001:db8::9"),
        ("for=192.0.2.1, for=10.3.3.3", "192.0.2.1"),
        ("for=1.1.1.1, for=192.0.2.1;host=\"a,b\"", "192.0.2.1"),
        ("for=192.0.2.1, for=unknown", PEER),
        ("for=192.0.2.1, for=_hidden, for=10.3.3.3", "10.3.3.3"),
        ("for=192.0.2.1, proto=https", PEER),
        ("for=1.1.1.1;for=192.0.2.1", PEER),
        // A client's open quote does not swallow what the proxy added.
        ("for=\", for=192.0.2.1", "192.0.2.1"),
        ("for=\"1.1.1.1, for=192.0.2.1", "192.0.2.1"),
        // A client's Host, quoted by the proxy, does not become a hop.
        ("for=192.0.2.1;host=\"x\\\", for=1.1.1.1;a=\\\"b\"", PEER),
    ] {
        assert_eq!(client(PEER, &[("forwarded", value)]), expected, "{value:?}");
    }
}

#[test]
fn several_lines_are_one_list() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "192.0.2.1, 10.2.2.2"),
        ("x-forwarded-for", "10.3.3.3"),
    ];
    assert_eq!(client(PEER, &lines), "192.0.2.1");
}

#[test]
fn both_headers_must_agree() {
    let both = |one, other| client(PEER, &[("x-forwarded-for", one), ("forwarded", other)]);
    assert_eq!(
        both("1.1.1.1, 192.0.2.1", "for=\"192.0.2.1:9\""),
        "192.0.2.1"
    );
    assert_eq!(both("192.0.2.1", "for=192.0.2.2"), "conflict");
    assert_eq!(both("192.0.2.1", ""), "conflict");
}

fn header_text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            any::<IpAddr>().prop_map(|address| address.to_string()),
            Just("10.1.1.1".to_owned()),
            "[ -~]{0,12}",
            Just("for=".to_owned()),
            Just("\"".to_owned()),
            Just(",".to_owned()),
            Just("\\".to_owned()),
        ],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_a_client_sends_before_its_proxy_adds_is_never_read(sent in header_text(), client_ip in any::<IpAddr>()) {
        let client_ip = normalise(client_ip);
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        prop_assume!(!trusted.trust(client_ip));
        let peer = PEER.parse().unwrap();

        let appended = format!("{sent}, {client_ip}");
        let xff = headers(&[("x-forwarded-for", &appended)]);
        prop_assert_eq!(trusted.client(peer, &xff), Ok(client_ip));
        let lines = headers(&[("x-forwarded-for", &sent), ("x-forwarded-for", &client_ip.to_string())]);
        prop_assert_eq!(trusted.client(peer, &lines), Ok(client_ip));

        let node = match client_ip {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]:1\""),
        };
        let appended = format!("{sent}, for={node};proto=https");
        let forwarded = headers(&[("forwarded", &appended)]);
        prop_assert_eq!(trusted.client(peer, &forwarded), Ok(client_ip));
    }

    #[test]
    fn any_header_gives_an_answer_and_an_untrusted_peer_itself(
        xff in header_text(),
        forwarded in header_text(),
        peer in any::<IpAddr>(),
    ) {
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let map = headers(&[("x-forwarded-for", &xff), ("forwarded", &forwarded)]);
        let _ = trusted.client(PEER.parse().unwrap(), &map);
        if !trusted.trust(peer) {
            prop_assert_eq!(trusted.client(peer, &map), Ok(normalise(peer)));
        }
    }
}
