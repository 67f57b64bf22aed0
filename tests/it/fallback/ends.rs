//! How fallback sessions end: by their clients, by the server, by nobody's doing anything.

use pogo::control::proto::{
    ListSessionsRequest, RevokeSessionsRequest, revoke_sessions_request::Target,
};
use serde_json::json;

use super::server;
use crate::support::fallback::{Mode, Xhr};
use crate::support::{PATIENCE, TestServer, eventually};

/// Enough to fill the kernel's buffers and the mailbox of a client that does not read.
const FLOOD: usize = 150;

async fn sessions(server: &TestServer) -> (f64, f64) {
    (
        server.metric("pogo_fallback_sessions").await,
        server.metric("pogo_sessions{protocol=\"pusher\"}").await,
    )
}

async fn nobody_is_left(server: &TestServer) {
    eventually("all sessions are gone", || async {
        (sessions(server).await == (0.0, 0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_stops_asking_is_forgotten() {
    let server = server("[pusher]\nfallback_abandoned_after = \"300ms\"").await;
    let mut polls = Xhr::connect(&server, Mode::Polling).await;
    assert_eq!(sessions(&server).await, (1.0, 1.0));
    nobody_is_left(&server).await;
    let gone = polls.send_raw("[\"{}\"]").await;
    assert_eq!(gone.status, 404);
    // A browser that wakes up finds that its session is another.
    polls.next().await;
    assert_eq!(polls.opened, 2);
}

#[tokio::test]
async fn a_client_that_cuts_its_response_is_gone_soon() {
    let server = server("[pusher]\nfallback_abandoned_after = \"1h\"").await;
    for mode in [Mode::Streaming, Mode::Polling] {
        let mut xhr = Xhr::connect(&server, mode).await;
        xhr.request().await;
        xhr.abort();
        nobody_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_revoked_session_is_told_so_and_gets_nothing_more() {
    let server = server("").await;
    let mut control = server.control().await;
    for mode in [Mode::Streaming, Mode::Polling] {
        let mut xhr = Xhr::connect(&server, mode).await;
        xhr.subscribe("news").await;
        let list = control
            .sessions
            .list_sessions(ListSessionsRequest::default());
        let list = list.await.unwrap().into_inner().sessions;
        let [session] = &list[..] else {
            panic!("{list:?}")
        };
        let revoked = control.revoke(RevokeSessionsRequest {
            target: Some(Target::Session(session.id.clone())),
            ..RevokeSessionsRequest::default()
        });
        assert_eq!(revoked.await.sessions_closed, 1);
        assert_eq!(xhr.closed().await.0, 4009);
        nobody_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_drain_sends_everybody_elsewhere() {
    let mut server = server("").await;
    let mut streams = Xhr::connect(&server, Mode::Streaming).await;
    let mut polls = Xhr::connect(&server, Mode::Polling).await;
    server.stop();
    let (stream, poll) = tokio::join!(streams.closed(), polls.closed());
    assert_eq!((stream.0, poll.0), (4200, 4200));
    eventually("it ends", || async { server.is_over().then_some(()) }).await;
}

#[tokio::test]
async fn an_unknown_app_is_said_as_over_a_websocket() {
    let server = server("").await;
    let mut xhr = Xhr::new(&server, Mode::Streaming);
    xhr.path = "/pusher/app/unknown/1/abcdefgh".into();
    assert_eq!(xhr.frame().await.as_deref(), Some("o{}"));
    assert_eq!(xhr.closed().await.0, 4001);
}

#[tokio::test]
async fn whoever_does_not_read_is_cut_and_nobody_else_notices() {
    let server = server("[edge]\nmailbox_bytes = 262144").await;
    let mut control = server.control().await;
    let mut stalled = Xhr::connect(&server, Mode::Polling).await;
    let mut deaf = Xhr::connect(&server, Mode::Streaming).await;
    deaf.subscribe("news").await;
    let mut reader = Xhr::connect(&server, Mode::Streaming).await;
    stalled.subscribe("news").await;
    reader.subscribe("news").await;
    // A poll that is answered and not followed by another.
    control.publish("news", "e", &json!(0)).await;
    stalled.next().await;
    reader.next().await;
    let filler = "x".repeat(60_000);
    for n in 0..FLOOD {
        control.publish("news", "e", &json!([n, filler])).await;
        let push = reader.next().await;
        let data = push["data"].as_str().unwrap();
        assert!(data.starts_with(&format!("[{n},")), "{data:.20}");
    }
    let cut = "pogo_disconnects_total{code=\"4100\"}";
    eventually("both are cut", || async {
        (server.metric(cut).await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(control.publish("news", "e", &json!(0)).await.receivers, 1);
}

#[tokio::test]
async fn a_silent_response_gets_heartbeats() {
    let server = server("[pusher]\nfallback_heartbeat = \"50ms\"").await;
    let mut streams = Xhr::connect(&server, Mode::Streaming).await;
    let mut polls = Xhr::connect(&server, Mode::Polling).await;
    for _ in 0..3 {
        assert_eq!(streams.frame().await.as_deref(), Some("h"));
        assert_eq!(streams.send_raw("[]").await.status, 204);
        assert_eq!(polls.frame().await.as_deref(), Some("h"));
    }
    assert!(polls.requests >= 4);
    let waited = tokio::time::timeout(PATIENCE, streams.frame()).await;
    assert!(waited.is_ok());
}
