//! Time and places: what is slow holds nobody but itself.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::rig::{Nobody, OK, Reply, Server, endpoint, get, post, upstreams};
use crate::gateway::upstream::{BoxError, RequestBody, Unasked, UpstreamError};

fn unasked<T: std::fmt::Debug>(answer: Result<T, UpstreamError>) -> Unasked {
    match answer {
        Err(UpstreamError::Unavailable { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn silence_ends_and_may_have_been_heard() {
    let server = Server::start(|_, _| Reply::Nothing).await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.timeout = Duration::from_millis(400);
    let began = Instant::now();
    let answer = upstreams().fetch(&endpoint, post(), 1024).await;
    assert!(
        matches!(answer, Err(UpstreamError::Timeout { sent: true })),
        "{answer:?}"
    );
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "half of it for the head"
    );
    assert_eq!(server.seen().len(), 1, "a write is made once");
}

#[tokio::test]
async fn a_body_has_what_is_left_of_the_time() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{";
        Reply::Slowly(vec![head.into(), "}".into()], Duration::from_secs(60))
    })
    .await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.timeout = Duration::from_secs(3);
    let answer = upstreams().fetch(&endpoint, get(), 1024).await;
    assert!(
        matches!(answer, Err(UpstreamError::Timeout { sent: true })),
        "{answer:?}"
    );
    let answer = upstreams().stream(&endpoint, get()).await.unwrap();
    let read = answer.into_body().collect().await;
    assert!(
        matches!(read, Err(UpstreamError::Timeout { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let nobody = Nobody::new();
    let answer = upstreams()
        .fetch(&endpoint(&[&nobody.base()]), post(), 1024)
        .await;
    assert!(!answer.as_ref().unwrap_err().is_outcome_unknown());
    assert_eq!(unasked(answer), Unasked::Unreachable);
}

#[tokio::test]
async fn a_full_upstream_refuses_soon_and_others_are_not_full() {
    let slow = Server::start(|_, _| Reply::Nothing).await;
    let fast = Server::saying(OK).await;
    let upstreams = upstreams();
    let mut endpoint = slow.endpoint();
    endpoint.upstream.concurrency = 1;
    endpoint.upstream.timeout = Duration::from_secs(20);
    let mut other = fast.endpoint();
    other.name = "fast".into();
    let held = upstreams.fetch(&endpoint, get(), 1024);
    let others = async {
        while slow.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        let answer = upstreams.fetch(&endpoint, get(), 1024).await;
        assert_eq!(unasked(answer), Unasked::Full);
        upstreams.fetch(&other, get(), 1024).await.unwrap();
    };
    tokio::select! {
        answer = held => panic!("{answer:?}"),
        () = others => {}
    }
    assert_eq!(slow.seen().len(), 1);
}

#[tokio::test]
async fn who_reads_or_sends_slowly_keeps_no_place_from_others() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".into()),
        _ => Reply::Say(OK.into()),
    })
    .await;
    let upstreams = upstreams();
    let mut endpoint = server.endpoint();
    endpoint.upstream.concurrency = 2;
    let unread = upstreams.stream(&endpoint, get()).await.unwrap();
    let upload = || {
        let mut ask = post();
        let body = tokio_stream::pending::<Result<Frame<bytes::Bytes>, BoxError>>();
        ask.body = RequestBody::Stream(BodyExt::boxed_unsync(StreamBody::new(body)));
        upstreams.stream(&endpoint, ask)
    };
    let others = async {
        while server.connections() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(unasked(upload().await), Unasked::Full);
        upstreams.fetch(&endpoint, get(), 1024).await.unwrap();
    };
    tokio::select! {
        answer = upload() => panic!("{answer:?}"),
        () = others => {}
    }
    drop(unread);
}
