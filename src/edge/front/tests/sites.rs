//! Requests with a body, and the site that answers them.

use super::*;
use crate::edge::{SiteFuture, Visit};
use bytes::Bytes;
use http::Response;

/// Answers with what was asked. `/site/never` takes for ever.
pub(super) struct Echo;

impl Site for Echo {
    fn has(&self, path: &str) -> bool {
        path.starts_with("/site/")
    }

    fn answer(&self, request: Request<Bytes>, visit: Visit) -> SiteFuture<'_> {
        Box::pin(async move {
            if request.uri().path() == "/site/never" {
                std::future::pending::<()>().await;
            }
            let says = format!(
                "{} {} {} {:?} {}",
                request.method(),
                request.uri(),
                visit.address,
                visit.page,
                String::from_utf8_lossy(request.body()),
            );
            Response::new(says.into())
        })
    }
}

fn post(path: &str, extra: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: server.test\r\nContent-Length: {length}\r\n{extra}\r\n{body}"
    )
}

#[tokio::test]
async fn a_site_gets_the_whole_request_and_who_asks() {
    let edge = Edge::start(Config {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    })
    .await;
    let forwarded = "X-Forwarded-For: 203.0.113.7\r\nOrigin: http://server.test\r\n";
    let answer = edge.ask(post("/site/a?b=c", forwarded, "hello")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert!(
        answer.ends_with("POST /site/a?b=c 203.0.113.7 Trusted hello"),
        "{answer}"
    );
    let chunked = "POST /site/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let answer = edge.ask(chunked).await;
    assert!(answer.ends_with("Unknown hello"), "{answer}");
    for path in ["/site", "/elsewhere"] {
        assert_eq!(status(&edge.ask(post(path, "", "hello")).await), 404);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whether_it_says_so_or_not() {
    let edge = Edge::start(Config {
        max_body_bytes: 4,
        ..Config::default()
    })
    .await;
    assert_eq!(status(&edge.ask(post("/site/", "", "four")).await), 200);
    let answer = edge.ask(post("/site/", "", "fives")).await;
    assert_eq!(status(&answer), 413);
    assert!(answer.contains("edge.max_body_bytes"), "{answer}");
    // It is told before it has sent anything.
    let head = "POST /site/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(status(&edge.ask(head).await), 413);
    let chunked = "POST /site/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nfives\r\n0\r\n\r\n";
    assert_eq!(status(&edge.ask(chunked).await), 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let edge = Edge::start(Config {
        body_deadline: Duration::from_millis(20),
        ..Config::default()
    })
    .await;
    let head = "POST /site/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfour";
    assert_eq!(status(&edge.ask(head).await), 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_keeps_nobody_out_for_long() {
    let mut edge = Edge::start(Config {
        max_handshakes: 1,
        body_deadline: Duration::from_secs(600),
        ..Config::default()
    })
    .await;
    let mut slow = edge.connect().await;
    let head = "POST /site/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfour";
    slow.write_all(head.as_bytes()).await.unwrap();
    edge.open(&upgrade("")).await;
    assert_eq!(status(&read_answer(&mut slow).await), 408);
}

#[tokio::test]
async fn requests_to_a_site_count_for_their_address() {
    let limits = crate::limits::Config {
        requests: crate::limits::RateConfig::new(1, 2),
        ..limits::roomy()
    };
    let edge = Edge::limited(Config::default(), limits).await;
    for expected in [200, 200, 429] {
        assert_eq!(
            status(&edge.ask(post("/site/", "", "hello")).await),
            expected
        );
    }
}
