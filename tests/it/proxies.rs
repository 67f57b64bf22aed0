//! The client's address behind proxies: believed from those that are trusted, counted from the
//! right. It is seen through `Sessions.ListSessions`.

use pogo::control::proto::ListSessionsRequest;

use crate::support::raw::{Raw, upgrade};
use crate::support::{TestServer, eventually};

const TRUSTED: &str = "[edge]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// The address of the only session.
async fn address(server: &TestServer) -> String {
    let control = server.control().await;
    eventually("there is a session", || {
        let mut sessions = control.sessions.clone();
        async move {
            let request = ListSessionsRequest::default();
            let found = sessions
                .list_sessions(request)
                .await
                .unwrap()
                .into_inner()
                .sessions;
            found.into_iter().next().map(|session| session.address)
        }
    })
    .await
}

/// Connects with `before` ahead of the request and `lines` in it, and returns what the server
/// takes for the client's address.
async fn seen(settings: &str, before: &[u8], lines: &[&str]) -> String {
    let server = TestServer::with(settings).await;
    let mut raw = Raw::connect(server.edge()).await;
    raw.write(before).await;
    let head = raw.request(&upgrade("/ws", lines)).await;
    assert_eq!(head.status, 101, "{lines:?}");
    address(&server).await
}

#[tokio::test]
async fn forwarded_headers_count_only_behind_a_trusted_proxy() {
    let forged = "X-Forwarded-For: 198.51.100.7";
    assert_eq!(seen("", b"", &[forged]).await, "127.0.0.1");
    for (expected, lines) in [
        ("198.51.100.7", vec![forged]),
        (
            "198.51.100.7",
            vec!["X-Forwarded-For: 203.0.113.9, 198.51.100.7"],
        ),
        (
            "198.51.100.7",
            vec!["X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.1.2.3"],
        ),
        (
            "198.51.100.7",
            vec![
                "X-Forwarded-For: 203.0.113.9",
                "X-Forwarded-For: 198.51.100.7",
            ],
        ),
        ("198.51.100.7", vec!["X-Forwarded-For: ::ffff:198.51.100.7"]),
        ("2001:db8::1", vec!["X-Forwarded-For: 2001:db8::1"]),
        (
            "198.51.100.7",
            vec!["Forwarded: for=203.0.113.9, for=198.51.100.7;proto=https"],
        ),
        ("2001:db8::1", vec!["Forwarded: For=\"[2001:db8::1]:4711\""]),
    ] {
        assert_eq!(seen(TRUSTED, b"", &lines).await, expected, "{lines:?}");
    }
}

#[tokio::test]
async fn the_proxy_protocol_is_read_where_it_is_said_to_come() {
    let settings = format!("{TRUSTED}\nproxy_protocol = true");
    let v1 = b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 8080\r\n";
    assert_eq!(seen(&settings, v1, &[]).await, "198.51.100.7");
    let v6 = b"PROXY TCP6 2001:db8::1 ::1 4711 8080\r\n";
    assert_eq!(seen(&settings, v6, &[]).await, "2001:db8::1");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([198, 51, 100, 7, 127, 0, 0, 1]);
    v2.extend([0x12, 0x67, 0x1f, 0x90]);
    assert_eq!(seen(&settings, &v2, &[]).await, "198.51.100.7");
    assert_eq!(
        seen(&settings, b"PROXY UNKNOWN\r\n", &[]).await,
        "127.0.0.1"
    );

    let server = TestServer::with(&settings).await;
    for bad in [
        &b"PROXY TCP4 nonsense\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
    ] {
        let mut raw = Raw::connect(server.edge()).await;
        raw.write(bad).await;
        raw.ended().await;
    }
}
