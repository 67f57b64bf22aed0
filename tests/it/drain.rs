//! Going away gracefully: unready first, then every session is told, then closed.

use std::time::{Duration, Instant};

use crate::support::{Client, Connect, TestServer, Token, eventually};

#[tokio::test]
async fn a_running_server_is_healthy_and_ready() {
    let server = TestServer::start().await;
    assert_eq!(server.admin("/healthz").await.0, 200);
    assert_eq!(server.admin("/readyz").await.0, 200);
    let _client = Client::anonymous(&server).await;
    let (status, metrics) = server.admin("/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "pogo_sessions",
        "pogo_channels",
        "pogo_build_info",
        "pogo_broker_up 1",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    assert_eq!(server.admin("/nothing").await.0, 404);
}

#[tokio::test]
async fn a_drain_tells_every_session_and_closes_it() {
    let mut server = TestServer::with("[drain]\nperiod = \"2s\"").await;
    let mut clients = vec![];
    for n in 0..20 {
        clients.push(Client::with(&server, &Token::of(&format!("s{n}")).sign()).await);
    }
    let mut control = server.control().await;
    let begun = Instant::now();
    server.stop();
    eventually("it is no longer ready", || async {
        (server.admin("/readyz").await.0 == 503).then_some(())
    })
    .await;
    assert_eq!(server.admin("/healthz").await.0, 200);
    let mut pauses = vec![];
    for client in &mut clients {
        let told = client.expect("pogo:drain").await;
        pauses.push(told["data"]["reconnect_after_ms"].as_u64().unwrap());
    }
    for client in &mut clients {
        assert_eq!(client.closed().await, (4200, "draining".into()));
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 5, "spread out: {pauses:?}");
    // gRPC goes on until the sessions are gone, or has ended by then; never an answer half done.
    let answer = control
        .nodes
        .list_nodes(pogo::control::proto::ListNodesRequest::default())
        .await;
    if let Ok(answer) = answer {
        assert!(answer.into_inner().nodes[0].draining);
    }
    drop(control);
    eventually("the server ends", || async {
        server.is_over().then_some(())
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_draining_server_takes_no_new_session() {
    let mut server = TestServer::with("[drain]\nperiod = \"5s\"").await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    server.stop();
    client.expect("pogo:drain").await;
    if let Ok(stream) = tokio::net::TcpStream::connect(server.edge()).await {
        drop(stream);
        assert_eq!(Connect::new().refused(&server).await, 503);
    }
    assert_eq!(client.closed().await.0, 4200);
}
