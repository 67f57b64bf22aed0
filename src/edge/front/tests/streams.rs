//! Bodies that are not read whole.

use std::time::Instant;

use bytes::Bytes;
use http::{Response, Uri};
use http_body_util::{BodyExt, StreamBody as Parts};
use hyper::body::Frame;

use super::*;
use crate::edge::{BoxError, StreamBody, StreamFuture, Visit};

/// `/stream/echo` gives the body back as it comes; `/stream/flood` never ends; `/stream/never`
/// says nothing.
pub(super) struct Echo;

impl StreamSite for Echo {
    fn has(&self, uri: &Uri) -> bool {
        uri.path().starts_with("/stream/") || uri.path().starts_with("/site/")
    }

    fn answer(&self, request: Request<StreamBody>, visit: Visit) -> StreamFuture<'_> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match head.uri.path() {
                "/stream/echo" => body,
                "/stream/flood" => {
                    let part = || Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'x'; 4096])));
                    let parts = futures_util::stream::repeat_with(part);
                    Parts::new(parts).boxed_unsync()
                }
                "/stream/never" => std::future::pending().await,
                _ => {
                    let says = format!("{} {:?}", visit.address, visit.page);
                    let whole = http_body_util::Full::new(Bytes::from(says));
                    whole.map_err(|never| match never {}).boxed_unsync()
                }
            };
            Response::new(body)
        })
    }
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_connection_carries_one_request_after_another() {
    let edge = Edge::start(Config::default()).await;
    let mut stream = edge.connect().await;
    for _ in 0..3 {
        let request = "GET /stream/a HTTP/1.1\r\nHost: server.test\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = until(&mut stream, "127.0.0.1 Unknown").await;
        assert_eq!(header(&answer, "connection"), None);
    }
    // What another site answers ends it, as ever.
    let request = "GET /site/a HTTP/1.1\r\nHost: server.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.contains("GET /site/a 127.0.0.1"), "{answer}");
    let old = "GET /stream/a HTTP/1.0\r\nHost: server.test\r\n\r\n";
    let answer = edge.ask(old).await;
    assert!(answer.ends_with("127.0.0.1 Unknown"), "{answer}");
}

#[tokio::test]
async fn a_connection_waits_for_its_next_request_longer_than_for_a_head() {
    let edge = Edge::start(Config {
        header_deadline: Duration::from_millis(100),
        http_idle: Duration::from_secs(20),
        ..Config::default()
    })
    .await;
    let mut stream = edge.connect().await;
    let request = "GET /stream/a HTTP/1.1\r\nHost: server.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = until(&mut stream, "127.0.0.1 Unknown").await;
    assert_eq!(header(&answer, "keep-alive"), Some("timeout=10"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    until(&mut stream, "127.0.0.1 Unknown").await;
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_cut() {
    let edge = Edge::start(Config {
        header_deadline: Duration::from_millis(100),
        http_idle: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let mut stream = edge.connect().await;
    let request = "GET /stream/a HTTP/1.1\r\nHost: server.test\r\n\r\nGET /str";
    stream.write_all(request.as_bytes()).await.unwrap();
    until(&mut stream, "127.0.0.1 Unknown").await;
    let rest = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
    assert!(rest.unwrap().is_err());
}

#[tokio::test]
async fn a_body_that_nobody_read_ends_the_connection_and_the_answer_says_so() {
    let edge = Edge::start(Config::default()).await;
    for (body, close) in [
        ("Content-Length: 0\r\n\r\n", false),
        ("Content-Length: 9\r\n\r\n123456789", true),
    ] {
        let mut stream = edge.connect().await;
        let request = format!("GET /stream/a HTTP/1.1\r\nHost: server.test\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = until(&mut stream, "127.0.0.1 Unknown").await;
        assert_eq!(
            header(&answer, "connection"),
            close.then_some("close"),
            "{body}"
        );
        assert_eq!(header(&answer, "keep-alive").is_none(), close);
    }
}

#[tokio::test]
async fn a_body_is_answered_before_it_has_ended() {
    let edge = Edge::start(Config {
        body_deadline: Duration::from_millis(1),
        max_body_bytes: 1,
        ..Config::default()
    })
    .await;
    let mut stream = edge.connect().await;
    let head = "POST /stream/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
    until(&mut stream, "5\r\nfirst\r\n").await;
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(
        until(&mut stream, "0\r\n\r\n").await,
        "6\r\nsecond\r\n0\r\n\r\n"
    );
}

#[tokio::test]
async fn streams_take_no_slot_of_a_handshake() {
    let mut edge = Edge::start(Config {
        max_handshakes: 1,
        ..Config::default()
    })
    .await;
    let mut held = vec![];
    for path in ["flood", "never", "never"] {
        let mut stream = edge.connect().await;
        let request = format!("GET /stream/{path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let began = Instant::now();
    edge.open(&upgrade("")).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "nobody was in its way"
    );
}

#[tokio::test]
async fn an_address_has_so_many_of_them() {
    let limits = crate::limits::Config {
        connections: 2.try_into().unwrap(),
        ..limits::roomy()
    };
    let edge = Edge::limited(Config::default(), limits).await;
    let request = "GET /stream/a HTTP/1.1\r\nHost: server.test\r\n\r\n";
    let mut held = vec![];
    for _ in 0..2 {
        let mut stream = edge.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        until(&mut stream, "Unknown").await;
        held.push(stream);
    }
    let answer = edge.ask(request).await;
    assert_eq!(status(&answer), 429, "{answer}");
    drop(held.pop());
    // When the close has been seen is the server's affair.
    for _ in 0..100 {
        let mut stream = edge.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        if first.ends_with(b"200") {
            return;
        }
    }
    panic!("the place was not given back");
}
