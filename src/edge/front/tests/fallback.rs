//! Fallback transports from request to worker, with the test in the worker's place.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use tokio::io::AsyncWriteExt;

use super::{Busy, CloseCode, Config, Duration, Edge, PATIENCE, Stream, status};
use crate::edge::FallbackConfig;
use crate::protocol::frame::{self, Opcode};

const BASE: &str = "/pusher/app/key/1/abcdefgh";

fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: server.test\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn config() -> Config {
    let fallback = FallbackConfig {
        buffer_bytes: 10_000,
        abandoned_after: Duration::from_millis(100),
        ..FallbackConfig::default()
    };
    Config {
        fallback,
        ..Config::default()
    }
}

fn text(text: &str) -> Vec<u8> {
    [
        &frame::header(Opcode::Text, text.len())[..],
        text.as_bytes(),
    ]
    .concat()
}

impl Edge {
    /// Opens a session by a poll: the worker's end.
    async fn open_fallback(&mut self) -> UnixStream {
        let answer = self.ask(post(&format!("{BASE}/xhr?protocol=7"), "")).await;
        assert!(answer.contains("o{}\n"), "{answer}");
        match self.next().await.stream {
            Stream::Local(worker) => worker,
            other => panic!("not local: {other:?}"),
        }
    }

    async fn poll_fallback(&self) -> String {
        self.ask(post(&format!("{BASE}/xhr?protocol=7"), "")).await
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_session_is_a_connection_like_any_other() {
    let mut edge = Edge::start(config()).await;
    let mut worker = edge.open_fallback().await;
    let mut byte = [0];
    let read = worker.read(&mut byte).unwrap_err();
    assert_eq!(
        read.kind(),
        ErrorKind::WouldBlock,
        "the socket does not block"
    );

    worker.write_all(&text("one")).unwrap();
    assert!(edge.poll_fallback().await.contains("a[\"one\"]\n"));
    let body = r#"["two","three"]"#;
    let answer = edge.ask(post(&format!("{BASE}/xhr_send"), body)).await;
    assert_eq!(status(&answer), 204);
    let mut said = Vec::new();
    until(|| {
        let mut scratch = [0; 64];
        if let Ok(read) = worker.read(&mut scratch) {
            said.extend_from_slice(&scratch[..read]);
        }
        said.ends_with(b"three")
    })
    .await;
    assert_eq!(said[..2], [0x81, 0x80 | 3], "a whole text, masked");

    worker
        .write_all(&frame::close_frame(CloseCode::Draining))
        .unwrap();
    assert!(
        edge.poll_fallback()
            .await
            .contains("c[4200,\"draining\"]\n")
    );
    until(|| matches!(worker.read(&mut byte), Ok(0))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_writes_for_nobody_finds_an_end() {
    let mut edge = Edge::start(Config {
        fallback: FallbackConfig {
            abandoned_after: PATIENCE,
            ..config().fallback
        },
        ..config()
    })
    .await;
    let mut worker = edge.open_fallback().await;
    let message = text(&"x".repeat(1_000));
    let (mut taken, mut refusals) = (0, 0);
    // Room comes back once or twice, while the task moves what is there into its own.
    until(|| {
        match worker.write(&message) {
            Ok(written) => (taken, refusals) = (taken + written, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals += 1;
            }
        }
        refusals == 20
    })
    .await;
    assert!(taken < 100_000, "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_session_is_a_client_that_has_gone() {
    let mut edge = Edge::start(config()).await;
    let mut worker = edge.open_fallback().await;
    let mut byte = [0];
    until(|| matches!(worker.read(&mut byte), Ok(0))).await;
    let answer = edge.ask(post(&format!("{BASE}/xhr_send"), "[\"x\"]")).await;
    assert_eq!(status(&answer), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_gone_is_told() {
    let mut edge = Edge::start(config()).await;
    drop(edge.open_fallback().await);
    assert!(edge.poll_fallback().await.contains("c[1006,"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_begins_on_a_node_that_goes_away() {
    let edge = Edge::start(config()).await;
    *edge.shelf.busy.lock().unwrap() = Some(Busy::Draining);
    assert_eq!(status(&edge.poll_fallback().await), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_let_go_when_its_worker_lets_go() {
    let mut edge = Edge::start(Config {
        fallback: FallbackConfig {
            heartbeat: Duration::from_millis(50),
            ..config().fallback
        },
        ..config()
    })
    .await;
    let mut deaf = edge.connect().await;
    let request = post(&format!("{BASE}/xhr_streaming?protocol=7"), "");
    deaf.write_all(request.as_bytes()).await.unwrap();
    let Stream::Local(mut worker) = edge.next().await.stream else {
        panic!("not local")
    };
    // Some megabytes, until the kernel's own buffers towards the client are full too.
    let message = text(&"x".repeat(10_000));
    let mut refusals = 0;
    until(|| {
        while worker.write(&message).is_ok() {
            refusals = 0;
        }
        refusals += 1;
        refusals == 50
    })
    .await;
    drop(worker);
    let open = &edge.front.services.metrics.fallback_sessions;
    assert_eq!(open.get(), 1);
    until(|| open.get() == 0).await;
}
