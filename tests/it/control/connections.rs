//! What a connection may do, from its preface to its end.

use std::time::Duration;

use pogo::control::proto::{ListNodesRequest, WatchRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Code;

use super::rig::{Rig, limited, refused, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn an_old_connection_is_asked_to_go_and_then_told() {
    let rig = Rig::with(limited(|limits| {
        limits.connection_age = Duration::from_millis(50);
        limits.connection_age_grace = Duration::from_millis(50);
    }))
    .await;
    let mut clients = rig.clients().await;
    let mut watch = clients
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let details = refused(Code::Unavailable, soon(watch.next()).await.unwrap());
    assert_eq!(details.error_info().unwrap().reason, "CONNECTION_AGE");
}

/// Whether the server ends the connection within a test's patience.
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut sink = vec![0; 65_536];
    soon(async {
        loop {
            match stream.read(&mut sink).await {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_without_a_whole_preface_is_cut() {
    let rig = Rig::with(limited(|limits| {
        limits.handshake_deadline = Duration::from_millis(200);
    }))
    .await;
    for part in [
        &b""[..],
        &PREFACE[..10],
        PREFACE,
        &[PREFACE, &EMPTY_SETTINGS[..5]].concat(),
    ] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(part).await.unwrap();
        assert!(is_cut(&mut stream).await);
    }
    let mut whole = TcpStream::connect(rig.address).await.unwrap();
    whole
        .write_all(&[PREFACE, EMPTY_SETTINGS].concat())
        .await
        .unwrap();
    let longer = Duration::from_millis(600);
    assert!(
        tokio::time::timeout(longer, is_cut(&mut whole))
            .await
            .is_err(),
        "it stays"
    );
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let rig = Rig::with(limited(|limits| limits.connections = 1)).await;
    let mut first = rig.clients().await;
    first
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap();
    let mut second = TcpStream::connect(rig.address).await.unwrap();
    second
        .write_all(&[PREFACE, EMPTY_SETTINGS].concat())
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "it waits in the backlog");
    drop(first);
    assert_eq!(soon(second.read(&mut byte)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let rig = Rig::start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let mut flood = [PREFACE, EMPTY_SETTINGS].concat();
    for id in (1..20_000_u32).step_by(2) {
        // A POST to `/` and its end, all from the static table; then RST_STREAM.
        flood.extend([0, 0, 3, 1, 5]);
        flood.extend(id.to_be_bytes());
        flood.extend([0x83, 0x86, 0x84]);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(id.to_be_bytes());
        flood.extend([0, 0, 0, 8]);
    }
    // It may be cut before all is written.
    let _ = stream.write_all(&flood).await;
    assert!(is_cut(&mut stream).await);
    rig.clients()
        .await
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap();
}
