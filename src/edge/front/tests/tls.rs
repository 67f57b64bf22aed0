//! TLS: the hand-over with its state, silence, and another certificate.

use std::io::{Read, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::edge::TlsFiles;

/// A new certificate in `files`; the client that trusts it.
fn certificate(files: &TlsFiles) -> TlsConnector {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn edge(header_deadline: Duration) -> (Edge, TlsConnector, TlsFiles, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("tls.crt"),
        key: dir.path().join("tls.key"),
    };
    let connector = certificate(&files);
    let config = Config {
        tls: Some(files.clone()),
        header_deadline,
        ..Config::default()
    };
    (Edge::start(config).await, connector, files, dir)
}

async fn dial(edge: &Edge, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("server.test").unwrap();
    connector.connect(name, edge.connect().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_handed_over_with_its_tls_state() {
    let (mut edge, connector, ..) = edge(Duration::from_secs(5)).await;
    let mut client = dial(&edge, &connector).await.unwrap();
    client
        .write_all(&[upgrade("").as_bytes(), b"early "].concat())
        .await
        .unwrap();
    assert_eq!(status(&read_answer(&mut client).await), 101);
    let Connection { stream, early, .. } = edge.next().await;
    let Stream::Tls(mut stream, mut tls) = stream else {
        panic!("it is under TLS")
    };
    client.write_all(b"late").await.unwrap();
    client.flush().await.unwrap();

    // As a worker would: what is decrypted already, then the socket.
    stream.set_nonblocking(false).unwrap();
    let (client, received) = tokio::task::spawn_blocking(move || {
        let mut received = early.to_vec();
        let mut scratch = [0; 64];
        while received.len() < 10 {
            match tls.reader().read(&mut scratch) {
                Ok(read) => received.extend(&scratch[..read]),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    tls.read_tls(&mut stream).unwrap();
                    tls.process_new_packets().unwrap();
                }
            }
        }
        tls.writer().write_all(b"frame").unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut stream).unwrap();
        }
        (client, received)
    })
    .await
    .unwrap();
    assert_eq!(received, b"early late");
    let mut client = client;
    let mut frame = [0; 5];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"frame");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_silent_in_tls_is_cut() {
    let (edge, connector, ..) = edge(Duration::from_millis(400)).await;
    let since = std::time::Instant::now();
    assert_eq!(
        read_answer(&mut edge.connect().await).await,
        "",
        "before the handshake"
    );
    let mut stream = dial(&edge, &connector).await.unwrap();
    let _ = read_answer(&mut stream).await;
    let mut half = edge.connect().await;
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let _ = read_answer(&mut half).await;
    let bounds = Duration::from_millis(900)..Duration::from_secs(15);
    assert!(bounds.contains(&since.elapsed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_serves_new_connections() {
    let (edge, connector, files, _dir) = edge(Duration::from_secs(5)).await;
    let mut old = dial(&edge, &connector).await.unwrap();
    let next = certificate(&files);
    assert!(dial(&edge, &next).await.is_err(), "not read yet");
    assert!(edge.front.tls().unwrap().reload().unwrap());
    let mut new = dial(&edge, &next).await.unwrap();
    assert!(dial(&edge, &connector).await.is_err());
    for stream in [&mut old, &mut new] {
        stream.write_all(upgrade("").as_bytes()).await.unwrap();
        assert_eq!(status(&read_answer(stream).await), 101);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_readable_and_denied_addresses_get_no_handshake() {
    let (edge, connector, ..) = edge(Duration::from_secs(5)).await;
    let mut stream = dial(&edge, &connector).await.unwrap();
    let long = upgrade(&format!("X: {}\r\n", "y".repeat(1 << 20)));
    stream.write_all(long.as_bytes()).await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 431);
    let denied = edge.front.services.limits.denied();
    denied.set("127.0.0.1/32".parse().unwrap(), "test", None);
    assert!(dial(&edge, &connector).await.is_err());
}
