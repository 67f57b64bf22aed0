//! The gateway over plain HTTP: a real API behind a real server, clients on real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http::ask;
use crate::support::{Client, PATIENCE, TestServer, Token, eventually};

/// An API of posts that knows nothing of Pogo: what is written to one is what it shows.
struct Api {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, posts) = (
            seen.clone(),
            Arc::new(Mutex::new(r#"{"id":1,"v":1}"#.to_owned())),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, log.clone(), posts.clone()));
            }
        });
        Self { port, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A server in front of it; `more` is of the endpoint.
    async fn server(&self, more: &str) -> TestServer {
        TestServer::with(&format!(
            r#"
            [[endpoint]]
            name = "posts"
            item = "/posts/{{id}}"
            collection = "/posts"
            upstream = {{ bases = ["http://127.0.0.1:{}"] }}
            access = "public"
            audience = "shared"
            {more}
            [[channel]]
            pattern = "**"
            subscribe = "anyone"
            "#,
            self.port
        ))
        .await
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<String>>>, posts: Arc<Mutex<String>>) {
    let mut buffer = Vec::new();
    loop {
        let (end, length) = loop {
            let text = String::from_utf8_lossy(&buffer).to_ascii_lowercase();
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text[..end].split("content-length: ").nth(1);
                let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                if buffer.len() >= end + 4 + length {
                    break (end + 4, length);
                }
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let request: Vec<u8> = buffer.drain(..end + length).collect();
        let head = String::from_utf8(request[..end].to_vec()).unwrap();
        log.lock()
            .unwrap()
            .push(head.lines().next().unwrap().to_owned());
        if head.starts_with("GET /posts/slow ") {
            let head =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
            let _ = stream.read_buf(&mut buffer).await;
            return;
        }
        if head.starts_with("PUT ") || head.starts_with("PATCH ") {
            let body = String::from_utf8(request[end..].to_vec()).unwrap();
            *posts.lock().unwrap() = body;
        }
        let body = posts.lock().unwrap().clone();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=60\r\n\
             Server: api\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_api_is_cached_and_its_writes_are_heard_by_sockets() {
    let api = Api::start().await;
    let server = api.server("").await;
    let edge = server.edge();
    let close = ["connection: close"];
    for status in ["fwd=uri-miss", "hit"] {
        let got = ask(edge, "GET", "/posts/1", &close, "").await;
        assert_eq!((got.status, &*got.body), (200, r#"{"id":1,"v":1}"#));
        assert!(
            got.header("cache-status").unwrap().contains(status),
            "{got:?}"
        );
    }
    assert_eq!(api.seen(), ["GET /posts/1 HTTP/1.1"]);
    let mut client = Client::with(edge, &Token::master("ada").sign()).await;
    let shown = client
        .command(json!({"id": 1, "event": "show", "uri": "/posts/1"}))
        .await;
    assert_eq!(shown["data"], json!({"id": 1, "v": 1}), "{shown}");
    assert_eq!(shown["bound"], "/posts/1", "{shown}");
    assert_eq!(api.seen().len(), 1, "it came out of the same cache");
    let typed = ["connection: close", "content-type: application/json"];
    let got = ask(edge, "PATCH", "/posts/1", &typed, r#"{"id":1,"v":2}"#).await;
    assert_eq!((got.status, &*got.body), (200, r#"{"id":1,"v":2}"#));
    let push = client.expect("update").await;
    assert_eq!(
        (&push["uri"], &push["data"]),
        (&json!("/posts/1"), &json!({"id": 1, "v": 2}))
    );
    let got = ask(edge, "GET", "/posts/1", &close, "").await;
    assert_eq!(got.body, r#"{"id":1,"v":2}"#);
    let requests = r#"pogo_gateway_requests_total{endpoint="posts",status="200"}"#;
    assert!(server.metric(requests).await >= 2.0);
    assert!(
        server
            .metric(r#"pogo_gateway_cache_total{result="hit"}"#)
            .await
            >= 1.0
    );
}

#[tokio::test]
async fn one_connection_asks_many_times_and_a_body_comes_as_it_comes() {
    let api = Api::start().await;
    let server = api.server("").await;
    let mut stream = TcpStream::connect(server.edge()).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /posts/1 HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = until(&mut stream, r#"{"id":1,"v":1}"#).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("via: 1.1 pogo\r\n"), "{answer}");
    }
    // What is not kept is given on before it has ended.
    stream
        .write_all(b"GET /posts/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    until(&mut stream, "first\r\n").await;
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn slow_readers_and_writers_hold_nobody_else() {
    let api = Api::start().await;
    let server = api.server("").await;
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(server.edge()).await.unwrap();
        let request = if number % 2 == 0 {
            "GET /posts/slow HTTP/1.1\r\nhost: x\r\n\r\n"
        } else {
            "POST /posts HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        };
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let asked = ask(server.edge(), "GET", "/posts/1", &["connection: close"], "");
    let got = tokio::time::timeout(Duration::from_secs(3), asked)
        .await
        .unwrap();
    assert_eq!(got.status, 200);
    let client = Client::with(server.edge(), &Token::of("ada").sign()).await;
    client.close().await;
}

#[tokio::test]
async fn nobody_smuggles_a_request_through() {
    let api = Api::start().await;
    let server = api.server("").await;
    for request in [
        "POST /posts HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n{}{}{",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked, x\r\n\r\n0\r\n\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
         FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        "GET /posts/1 HTTP/1.1\r\n\r\n",
        "GET /posts/1 HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "GET /posts/1 HTTP/1.1\r\nhost: a@b\r\n\r\n",
        "GET /posts/1 HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET /posts/1 HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        "GET http://internal/posts/1/../2 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET //internal/posts/1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /posts/..%2f..%2fadmin HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /posts/%2e%2e HTTP/1.1\r\nhost: x\r\n\r\n",
        "CONNECT internal:80 HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.edge()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{request:?} {answer}"
        );
        assert!(
            answer.matches("HTTP/1.1").count() <= 1,
            "{request:?} {answer}"
        );
    }
    assert_eq!(api.seen(), Vec::<String>::new());
    // Two lengths: it ends by its chunks, and the connection with it (RFC 9112, 6.1).
    let both = "POST /posts HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
                transfer-encoding: chunked\r\n\r\n0\r\n\r\n\
                GET /posts/evil HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stream = TcpStream::connect(server.edge()).await.unwrap();
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert_eq!(api.seen(), ["POST /posts HTTP/1.1"]);
}

#[tokio::test]
async fn a_body_of_chunks_arrives_as_one() {
    let api = Api::start().await;
    let server = api.server("").await;
    let mut stream = TcpStream::connect(server.edge()).await.unwrap();
    let head = "PUT /posts/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
                trailer: x-evil\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
        .write_all(b"3\r\n{\"i\r\n8\r\nd\":1,\"v\"\r\n3\r\n:7}\r\n0\r\nx-evil: 1\r\n\r\n")
        .await
        .unwrap();
    let answer = until(&mut stream, "}").await;
    assert!(answer.ends_with(r#"{"id":1,"v":7}"#), "{answer}");
    assert_eq!(api.seen(), ["PUT /posts/1 HTTP/1.1"]);
}

#[tokio::test]
async fn pages_ask_by_allowed_origins_and_tokens_count() {
    let api = Api::start().await;
    let server = TestServer::with(&format!(
        r#"
        [edge]
        allowed_origins = ["https://good.example"]
        [[endpoint]]
        name = "posts"
        item = "/posts/{{id}}"
        collection = "/posts"
        upstream = {{ bases = ["http://127.0.0.1:{}"] }}
        access = "claims:tenant=acme"
        audience = "claims:[tenant]"
        "#,
        api.port
    ))
    .await;
    let edge = server.edge();
    let bearer = |tenant: &str| {
        let token = Token::of("ada").claim("tenant", Value::from(tenant)).sign();
        format!("authorization: Bearer {token}")
    };
    for (headers, status) in [
        (vec![], 401),
        (vec!["authorization: Bearer no.such.token".to_owned()], 401),
        (vec![bearer("other")], 403),
        (vec![bearer("acme")], 200),
    ] {
        let mut lines: Vec<&str> = headers.iter().map(String::as_str).collect();
        lines.push("connection: close");
        lines.push("origin: https://good.example");
        let got = ask(edge, "GET", "/posts/1", &lines, "").await;
        assert_eq!(got.status, status, "{headers:?} {got:?}");
        let allowed = got.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://good.example"));
    }
    let foreign = [
        "origin: https://evil.example",
        "connection: close",
        &bearer("acme"),
    ];
    let got = ask(edge, "GET", "/posts/1", &foreign, "").await;
    assert_eq!(got.header("access-control-allow-origin"), None);
    assert_eq!(
        ask(edge, "DELETE", "/posts/1", &foreign, "").await.status,
        403
    );
    let none = ask(edge, "OPTIONS", "/posts", &["connection: close"], "").await;
    assert_eq!(
        (none.status, none.header("allow")),
        (204, Some("GET, HEAD, POST, OPTIONS"))
    );
    let got = ask(edge, "GET", "/elsewhere", &["connection: close"], "").await;
    assert_eq!(got.status, 404);
    let seen = eventually("one request", || async {
        (api.seen().len() == 1).then(|| api.seen())
    });
    assert_eq!(seen.await, ["GET /posts/1 HTTP/1.1"]);
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it comes");
    String::from_utf8(read).unwrap()
}
