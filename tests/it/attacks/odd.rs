//! Requests and commands that no good client sends.

use serde_json::{Value, json};

use crate::support::raw::{Raw, upgrade};
use crate::support::{Client, TestServer, Token};

const RULE: &str = "[[channel]]\npattern = \"log\"\nhistory = { size = 10, ttl = \"1m\" }";

/// Requests, and the status each must get.
fn odd_requests() -> Vec<(u16, String)> {
    let get = |line: &str, lines: &str| format!("{line}\r\nHost: x\r\n{lines}\r\n");
    let with = |lines: &[&str]| upgrade("/ws", lines);
    let many: Vec<_> = (0..300).map(|n| format!("pogo.bearer.{n}")).collect();
    let many = format!("Sec-WebSocket-Protocol: pogo.v1.json, {}", many.join(", "));
    vec![
        // Two readers of one message must not disagree about where it ends.
        (
            400,
            with(&["Content-Length: 5", "Transfer-Encoding: chunked"]) + "0\r\n\r\n",
        ),
        (400, with(&["Content-Length: 5"]) + "hello"),
        (400, with(&["Transfer-Encoding: chunked"]) + "0\r\n\r\n"),
        (
            400,
            get(
                "POST / HTTP/1.1",
                "Content-Length: 5\r\nContent-Length: 6\r\n",
            ),
        ),
        (
            400,
            get(
                "POST / HTTP/1.1",
                "Content-Length: 99999999999999999999\r\n",
            ),
        ),
        (400, with(&["X: a\r\n b"])),
        (400, get("GET /ws\0 HTTP/1.1", "")),
        (400, get("GET / HTTP/9.9", "")),
        (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".into()),
        (400, upgrade("/ws", &["Host: -"])),
        (400, upgrade("/ws", &["Host: a", "Host: b"])),
        (
            400,
            with(&[
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]),
        ),
        (400, with(&["Sec-WebSocket-Protocol: other"])),
        (401, with(&["Authorization: Bearer"])),
        (
            401,
            with(&["Authorization: Bearer a", "Authorization: Bearer b"]),
        ),
        (404, upgrade("//ws", &[])),
        (404, upgrade("/ws/../ws", &[])),
        (404, get("CONNECT x:80 HTTP/1.1", "")),
        (404, get("OPTIONS * HTTP/1.1", "")),
        (404, get("GET /metrics HTTP/1.1", "")),
        (404, get("GET /healthz HTTP/1.1", "")),
        (404, get("GET /pogo.v1.Nodes/ListNodes HTTP/1.1", "")),
        (405, get("TRACE / HTTP/1.1", "")),
        (426, get("GET http://evil.test/ws HTTP/1.1", "")),
        (431, upgrade(&format!("/ws?{}", "x".repeat(20_000)), &[])),
        (101, with(&[&many])),
    ]
}

#[tokio::test]
async fn odd_requests_are_answered_or_cut_and_never_believed() {
    let server = TestServer::start().await;
    for (expected, request) in odd_requests() {
        let mut raw = Raw::connect(server.edge()).await;
        let head = raw.request(&request).await;
        let short: String = request.chars().take(120).collect();
        let near = expected == 404 && head.status == 405 || expected == 431 && head.status == 414;
        assert!(
            head.status == expected || near,
            "{} for {short:?}",
            head.status
        );
        for word in ["rust", "hyper", "pogo/", "server:", "panick", "src/"] {
            assert!(!head.text.contains(word), "{word} in {}", head.text);
        }
        if head.status == 101 {
            assert_eq!(raw.closed().await, Some(4001), "several tokens are none");
        }
    }
    // Another protocol's preface is no request at all.
    let mut raw = Raw::connect(server.edge()).await;
    raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.ended().await;
}

#[tokio::test]
async fn numbers_at_their_ends_are_answered() {
    let server = TestServer::with(RULE).await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    client.subscribe("log").await;
    let at = client
        .ok(json!({"event": "e", "channel": "log", "data": 1}))
        .await;
    let (epoch, most) = (&at["epoch"], u64::MAX);
    let history =
        |options: Value| json!({"event": "channel:history", "channel": "log", "options": options});
    let subscribe = |options: Value| json!({"event": "channel:subscribe", "channel": "log", "options": options});
    for options in [
        json!({"limit": -1}),
        json!({"limit": 1.5}),
        json!({"limit": 1e300}),
        json!({"limit": "1"}),
        json!({"from": {"epoch": epoch, "offset": -1}}),
        json!({"from": {"offset": 1}}),
        json!({"from": 1}),
    ] {
        assert_eq!(
            client.error(history(options.clone())).await,
            "bad_request",
            "{options}"
        );
    }
    for options in [
        json!({"rewind": -1}),
        json!({"rewind": 0.5}),
        json!({"recover": {"epoch": 1, "offset": 1}}),
    ] {
        assert_eq!(
            client.error(subscribe(options.clone())).await,
            "bad_request",
            "{options}"
        );
    }
    for options in [
        json!({"limit": 0}),
        json!({"limit": most}),
        json!({"from": {"epoch": epoch, "offset": most}}),
    ] {
        for reverse in [false, true] {
            let mut options = options.clone();
            options["reverse"] = json!(reverse);
            client.ok(history(options)).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_recovered_from_the_future() {
    let server = TestServer::with(RULE).await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    client.subscribe("log").await;
    let at = client
        .ok(json!({"event": "e", "channel": "log", "data": 1}))
        .await;
    let (epoch, most) = (&at["epoch"], u64::MAX);
    let subscribe = |options: Value| json!({"event": "channel:subscribe", "channel": "log", "options": options});
    for offset in [2, 1 << 63, most] {
        let options = json!({"recover": {"epoch": epoch, "offset": offset}});
        let data = client.ok(subscribe(options)).await;
        assert_eq!(
            data["recovered"], false,
            "nothing is recovered from the future"
        );
    }
    let long = json!({"recover": {"epoch": "x".repeat(60_000), "offset": 1}});
    assert_eq!(client.ok(subscribe(long)).await["recovered"], false);
    assert_eq!(
        client.ok(subscribe(json!({"rewind": most}))).await["publications"][0]["data"],
        1
    );
}

#[tokio::test]
async fn spans_and_times_out_of_range_are_refused() {
    use pogo::control::proto::revoke_sessions_request::Target;
    use pogo::control::proto::{DenyRequest, RevokeSessionsRequest};
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    for ttl in [
        span(0, 0),
        span(-1, 0),
        span(1, -1),
        span(0, 1_000_000_000),
        span(i64::MIN, i32::MIN),
    ] {
        let mut request = crate::support::publish_request("x", "e", &json!(1));
        request.ttl = ttl;
        let refused = control.publisher.publish(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{ttl:?}");
        let request = DenyRequest {
            addresses: vec!["192.0.2.1".into()],
            ttl,
            ..DenyRequest::default()
        };
        let refused = control.firewall.deny(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{ttl:?}");
    }
    let mut request = crate::support::publish_request("x", "e", &json!(1));
    request.ttl = span(i64::MAX, 999_999_999);
    control.publisher.publish(request).await.unwrap();
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0)] {
        let request = RevokeSessionsRequest {
            target: Some(Target::Subject("x".into())),
            issued_before: Some(prost_types::Timestamp { seconds, nanos }),
            ..RevokeSessionsRequest::default()
        };
        let refused = control.sessions.revoke_sessions(request).await.unwrap_err();
        assert_eq!(
            refused.code(),
            tonic::Code::InvalidArgument,
            "{seconds} {nanos}"
        );
    }
}
