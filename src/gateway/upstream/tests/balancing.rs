//! Retries, several bases, and the breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::rig::{Nobody, OK, Reply, Server, asked, endpoint, get, post};
use crate::gateway::upstream::{Config, Unasked, UpstreamError, Upstreams};
use crate::metrics::Metrics;

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn upstreams() -> (Upstreams, Metrics) {
    let metrics = Metrics::new();
    (Upstreams::new(Config::default(), metrics.clone()), metrics)
}

#[tokio::test]
async fn a_read_is_made_again_once_and_a_write_only_with_a_key() {
    let failing_first =
        || Server::start(|number, _| Reply::Say(if number == 0 { BUSY } else { OK }.into()));
    let (upstreams, _) = upstreams();
    let mut keyed = post();
    keyed.idempotent = true;
    let delete = asked(http::Method::DELETE, "/posts/1", "");
    for (ask, status, seen) in [
        (get(), 200, 2),
        (post(), 503, 1),
        (keyed, 200, 2),
        (delete, 503, 1),
    ] {
        let server = failing_first().await;
        let what = format!("{ask:?}");
        let answer = upstreams
            .fetch(&server.endpoint(), ask, 1024)
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(server.seen().len(), seen, "{what}");
    }
    let server = Server::saying(BUSY).await;
    let answer = upstreams.fetch(&server.endpoint(), get(), 1024).await;
    assert_eq!(answer.unwrap().status(), 503);
    assert_eq!(server.seen().len(), 2);
    let server = Server::saying(BROKEN).await;
    let answer = upstreams.fetch(&server.endpoint(), get(), 1024).await;
    assert_eq!(answer.unwrap().status(), 500);
    assert_eq!(server.seen().len(), 1, "it would be no different");
}

#[tokio::test]
async fn an_upstream_that_asks_for_time_gets_it() {
    let text = "HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n";
    let server = Server::saying(text).await;
    let answer = upstreams().0.fetch(&server.endpoint(), get(), 1024).await;
    assert_eq!(answer.unwrap().headers()["retry-after"], "30");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_request_that_was_cut_off_is_made_again_if_it_reads() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Last(String::new()),
        _ => Reply::Say(OK.into()),
    })
    .await;
    let (upstreams, _) = upstreams();
    upstreams
        .fetch(&server.endpoint(), get(), 1024)
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 2);
    let server = Server::start(|_, _| Reply::Last(String::new())).await;
    let answer = upstreams.fetch(&server.endpoint(), post(), 1024).await;
    assert!(answer.unwrap_err().is_outcome_unknown());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn retries_have_a_budget() {
    let server = Server::saying(BUSY).await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.breaker.requests = 1_000;
    endpoint.upstream.breaker.ratio = 1.0;
    let (upstreams, metrics) = upstreams();
    let asking = (0..40).map(|_| upstreams.fetch(&endpoint, get(), 1024));
    futures_util::future::join_all(asking).await;
    // Ten that were saved, and a tenth of forty at most.
    assert!(
        (50..=54).contains(&server.seen().len()),
        "{}",
        server.seen().len()
    );
    let text = metrics.encode();
    let line = r#"pogo_gateway_retries_total{endpoint="posts"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_base_that_is_gone_costs_nobody_his_answer() {
    let server = Server::saying(OK).await;
    let nobody = Nobody::new();
    let bases = [nobody.base(), format!("http://127.0.0.1:{}", server.port)];
    let endpoint = endpoint(&[&bases[0], &bases[1]]);
    let (upstreams, metrics) = upstreams();
    for number in 0..60 {
        // A write that reached nobody may go to the other, too.
        let ask = if number % 2 == 0 { get() } else { post() };
        upstreams.fetch(&endpoint, ask, 1024).await.unwrap();
    }
    assert_eq!(server.seen().len(), 60);
    let text = metrics.encode();
    let count = |line: &str| {
        let rest = text.lines().find_map(|found| found.strip_prefix(line));
        rest.map_or(0, |number| number.trim().parse::<u32>().unwrap())
    };
    let answered = count(r#"pogo_gateway_requests_total{endpoint="posts",status="200"}"#);
    let failed = count(r#"pogo_gateway_requests_total{endpoint="posts",status="unavailable"}"#);
    let ejected = count(r#"pogo_gateway_ejected{endpoint="posts"}"#);
    assert_eq!(answered, 60);
    // How often the gone one is drawn is a matter of how fast the other is.
    assert!(failed <= 5, "put out after five: {text}");
    assert_eq!(ejected, u32::from(failed == 5), "{text}");
}

/// A server that closes its kept connection when the second request comes.
async fn closing() -> Server {
    Server::start(|number, _| match number {
        1 => Reply::Last(String::new()),
        _ => Reply::Say(OK.into()),
    })
    .await
}

#[tokio::test]
async fn a_read_on_a_connection_that_was_closed_meanwhile_is_made_again_on_a_new_one() {
    let (upstreams, _) = upstreams();
    let (read, write) = (closing().await, closing().await);
    for server in [&read, &write] {
        let mut endpoint = server.endpoint();
        endpoint.upstream.retries = 0;
        upstreams.fetch(&endpoint, get(), 1024).await.unwrap();
        // The connection is idle when its task has seen the end of the answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let is_read = std::ptr::eq(server, &raw const read);
        let ask = if is_read { get() } else { post() };
        let answer = upstreams.fetch(&endpoint, ask, 1024).await;
        if is_read {
            assert_eq!((server.seen().len(), server.connections()), (3, 2));
            answer.unwrap();
        } else {
            assert_eq!((server.seen().len(), server.connections()), (2, 1));
            assert!(answer.unwrap_err().is_outcome_unknown());
        }
    }
}

#[tokio::test]
async fn a_read_that_a_new_connection_does_not_answer_has_failed() {
    let server = Server::start(|_, _| Reply::Last(String::new())).await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.retries = 0;
    let answer = upstreams().0.fetch(&endpoint, get(), 1024).await;
    assert!(answer.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn bases_share_the_requests() {
    let servers = [Server::saying(OK).await, Server::saying(OK).await];
    let bases = servers
        .each_ref()
        .map(|server| format!("http://127.0.0.1:{}", server.port));
    let endpoint = endpoint(&[&bases[0], &bases[1]]);
    let (upstreams, _) = upstreams();
    for _ in 0..10 {
        let asking = (0..10).map(|_| upstreams.fetch(&endpoint, get(), 1024));
        for answer in futures_util::future::join_all(asking).await {
            answer.unwrap();
        }
    }
    for server in &servers {
        assert!(server.seen().len() >= 20, "{}", server.seen().len());
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_and_tried_again() {
    let ill = Arc::new(AtomicUsize::new(1));
    let is_ill = Arc::clone(&ill);
    let server = Server::start(move |_, _| {
        let ill = is_ill.load(Ordering::SeqCst) == 1;
        Reply::Say(if ill { BROKEN } else { OK }.into())
    })
    .await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.breaker.open = Duration::from_millis(200);
    let (upstreams, metrics) = upstreams();
    for _ in 0..20 {
        let answer = upstreams.fetch(&endpoint, get(), 1024).await;
        assert_eq!(answer.unwrap().status(), 500);
    }
    let refused = upstreams.fetch(&endpoint, get(), 1024).await;
    match refused {
        Err(UpstreamError::Unavailable {
            why: Unasked::Open,
            retry_after: Some(wait),
        }) => {
            assert!(wait <= Duration::from_millis(200));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.seen().len(), 20);
    assert!(
        metrics
            .encode()
            .contains(r#"pogo_gateway_breaker{endpoint="posts"} 2"#)
    );
    ill.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..5 {
        upstreams.fetch(&endpoint, get(), 1024).await.unwrap();
    }
    assert!(
        metrics
            .encode()
            .contains(r#"pogo_gateway_breaker{endpoint="posts"} 0"#)
    );
}

#[tokio::test]
async fn what_a_client_does_wrong_opens_no_breaker() {
    let server = Server::saying(NOT_FOUND).await;
    let (upstreams, metrics) = upstreams();
    for _ in 0..60 {
        let answer = upstreams.fetch(&server.endpoint(), get(), 1024).await;
        assert_eq!(answer.unwrap().status(), 404);
    }
    upstreams.retain(|name| name != "posts");
    assert!(
        !metrics.encode().contains("pogo_gateway_breaker{"),
        "it is gone"
    );
}
