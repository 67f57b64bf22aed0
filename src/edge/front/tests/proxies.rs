//! Whose address counts behind proxies. Every peer here is 127.0.0.1.

use super::*;

fn behind_proxy(proxy_protocol: bool) -> Config {
    Config {
        trusted_proxies: vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ],
        proxy_protocol,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_headers_count_only_from_trusted_proxies() {
    let mut edge = Edge::start(behind_proxy(false)).await;
    for (headers, expected) in [
        ("", "127.0.0.1"),
        (
            "X-Forwarded-For: 1.1.1.1, 192.0.2.1, 10.1.1.1\r\n",
            "192.0.2.1",
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: ::ffff:192.0.2.1\r\n",
            "192.0.2.1",
        ),
        ("Forwarded: for=\"[2001:db8::1]:80\"\r\n", "2001:db8::1"),
    ] {
        let (_, connection) = edge.open(&upgrade(headers)).await;
        assert_eq!(connection.address.to_string(), expected, "{headers}");
    }
    let both = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
    assert_eq!(status(&edge.ask(upgrade(both)).await), 400);

    let mut open = Edge::start(Config::default()).await;
    let (_, connection) = open.open(&upgrade("X-Forwarded-For: 192.0.2.1\r\n")).await;
    assert_eq!(connection.address.to_string(), "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_client_is_refused_behind_a_proxy_too() {
    let edge = Edge::start(behind_proxy(false)).await;
    let denied = edge.front.services.limits.denied();
    denied.set("192.0.2.0/24".parse().unwrap(), "test", None);
    let answer = edge.ask(upgrade("X-Forwarded-For: 192.0.2.1\r\n")).await;
    assert_eq!(status(&answer), 403);
    assert_eq!(
        status(&edge.ask(upgrade("X-Forwarded-For: 192.0.3.1\r\n")).await),
        101
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_headers_name_the_client() {
    let mut edge = Edge::start(behind_proxy(true)).await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x02\x0a\0\0\x01\0\x50\x01\xbb";
    for (prefix, headers, expected) in [
        (
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n"[..],
            "",
            "192.0.2.1",
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 80\r\n",
            "",
            "192.0.2.1",
        ),
        (v2, "", "192.0.2.2"),
        (b"PROXY UNKNOWN\r\n", "", "127.0.0.1"),
        // The proxy's client is no proxy: its headers are its own invention.
        (v2, "X-Forwarded-For: 1.1.1.1\r\n", "192.0.2.2"),
        // It is one: its headers count.
        (
            b"PROXY TCP4 10.1.1.1 10.0.0.1 4711 80\r\n",
            "X-Forwarded-For: 192.0.2.9\r\n",
            "192.0.2.9",
        ),
    ] {
        let mut stream = edge.connect().await;
        stream
            .write_all(&[prefix, upgrade(headers).as_bytes()].concat())
            .await
            .unwrap();
        assert_eq!(status(&read_answer(&mut stream).await), 101);
        assert_eq!(edge.next().await.address.to_string(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_must_send_one_and_others_must_not() {
    let edge = Edge::start(behind_proxy(true)).await;
    assert_eq!(edge.ask(upgrade("")).await, "", "closed without a word");
    let config = Config {
        proxy_protocol: true,
        ..Config::default()
    };
    let edge = Edge::start(config).await;
    assert_eq!(
        status(&edge.ask(upgrade("")).await),
        101,
        "nobody is trusted"
    );
    let header = format!("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n{}", upgrade(""));
    assert_eq!(status(&edge.ask(header).await), 400);
}
