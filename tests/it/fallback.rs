//! The transports of clients without WebSockets, over real HTTP: what pusher-js relies on, and what
//! bounds them.

mod bounds;
mod ends;
mod sockjs;

use serde_json::json;

use crate::support::TestServer;
use crate::support::fallback::{Mode, Response, Xhr};
use crate::support::http::{APP, APP_KEY, ask};

/// A server with these settings of `[pusher]` or others beside the app of the tests.
async fn server(settings: &str) -> TestServer {
    TestServer::builder()
        .config(APP)
        .config(settings)
        .start()
        .await
}

#[tokio::test]
async fn both_ways_carry_a_session() {
    let server = server("").await;
    let mut control = server.control().await;
    for mode in [Mode::Streaming, Mode::Polling] {
        let mut xhr = Xhr::connect(&server, mode).await;
        xhr.subscribe("news").await;
        for n in 0..3 {
            control.publish("news", "e", &json!([n])).await;
            let push = xhr.next().await;
            assert_eq!(push["event"], "e");
            assert_eq!(push["channel"], "news");
            assert_eq!(push["data"], format!("[{n}]"));
        }
        assert_eq!(xhr.opened, 1);
        assert!((xhr.requests > 1) == (mode == Mode::Polling));
    }
    assert_eq!(
        server.metric("pogo_sessions{protocol=\"pusher\"}").await,
        2.0
    );
    assert_eq!(server.metric("pogo_fallback_sessions").await, 2.0);
}

#[tokio::test]
async fn nothing_keeps_or_holds_back_a_response() {
    let server = server("").await;
    let path = format!("/pusher/app/{APP_KEY}/1/abcdefgh/xhr_streaming");
    let response = Response::of(server.edge(), "POST", &path, "").await;
    for line in [
        "access-control-allow-origin: *",
        "x-accel-buffering: no",
        "transfer-encoding: chunked",
    ] {
        assert!(response.head.contains(line), "{line}: {}", response.head);
    }
    assert!(response.head.contains("no-store"), "{}", response.head);
}

#[tokio::test]
async fn a_long_stream_is_asked_for_anew_and_nothing_is_lost() {
    const MESSAGES: usize = 120;
    let server = server("").await;
    let mut control = server.control().await;
    let mut xhr = Xhr::connect(&server, Mode::Streaming).await;
    xhr.subscribe("news").await;
    // 1.2 MB, faster than a client reads that begins anew after each 256 KiB.
    let filler = "é".repeat(5_000);
    let publish = async {
        for n in 0..MESSAGES {
            control.publish("news", "e", &json!([n, filler])).await;
        }
    };
    let read = async {
        for n in 0..MESSAGES {
            let push = xhr.next().await;
            let data = push["data"].as_str().unwrap();
            assert!(data.starts_with(&format!("[{n},")), "{n}: {data:.20}");
        }
    };
    tokio::join!(publish, read);
    assert_eq!(xhr.opened, 1, "a second `o` would be a lost session");
    assert!(xhr.requests >= 3, "{}", xhr.requests);
}

#[tokio::test]
async fn whoever_receives_next_gets_what_comes_next() {
    let server = server("").await;
    let mut control = server.control().await;
    let mut xhr = Xhr::connect(&server, Mode::Streaming).await;
    xhr.subscribe("news").await;
    let target = format!("{}/xhr_streaming?protocol=7", xhr.path);
    let mut second = Response::of(server.edge(), "POST", &target, "").await;
    assert_eq!(xhr.frame().await, None, "the first response ends");
    control.publish("news", "e", &json!(1)).await;
    let line = second.line().await.unwrap();
    assert!(line.starts_with("a[") && line.contains("news"), "{line}");
}

#[tokio::test]
async fn browsers_are_told_who_may_ask() {
    let server = server("[edge]\nallowed_origins = [\"https://app.test\"]").await;
    let path = format!("/pusher/app/{APP_KEY}/1/abcdefgh/xhr?protocol=7");
    let may = ["origin: https://app.test"];
    let answer = ask(&server, "OPTIONS", &path, &may, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.test")
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .is_some_and(|names| names.contains("Content-Type"))
    );
    let answer = ask(&server, "POST", &path, &may, "").await;
    assert_eq!(
        (answer.status, answer.header("vary")),
        (200, Some("Origin"))
    );
    for method in ["OPTIONS", "POST"] {
        let answer = ask(&server, method, &path, &["origin: https://evil.test"], "").await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}
