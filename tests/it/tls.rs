//! TLS on the edge and client certificates on the control plane, with certificates made here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pogo::control::proto::ListNodesRequest;
use pogo::control::proto::nodes_client::NodesClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::support::raw::upgrade;
use crate::support::{PATIENCE, TestServer, eventually};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, and its key, as PEM.
fn issue(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn write(folder: &Path, name: &str, pair: &(String, String)) {
    // The key first: a watcher that sees the new certificate finds its key.
    std::fs::write(folder.join(format!("{name}.key")), &pair.1).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), &pair.0).unwrap();
}

/// The certificate that the edge shows, after a whole handshake.
async fn shown(server: &TestServer, authority: &Authority) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.edge()).await.unwrap();
    let name = ServerName::try_from("pogo.test").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    let certificate = certificates[0].to_vec();
    welcome(&mut stream).await;
    Some(certificate)
}

/// Upgrades over TLS and reads up to the welcome.
async fn welcome(stream: &mut TlsStream<TcpStream>) {
    stream
        .write_all(upgrade("/ws", &[]).as_bytes())
        .await
        .unwrap();
    let mut answer = vec![];
    let read = async {
        while !String::from_utf8_lossy(&answer).contains("pogo:welcome") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "ended");
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("no welcome");
}

#[tokio::test]
async fn the_edge_speaks_tls_and_takes_a_new_certificate_without_a_restart() {
    let authority = authority();
    let builder = TestServer::builder()
        .config("[edge]\ntls = { cert = \"{folder}/edge.pem\", key = \"{folder}/edge.key\" }");
    let folder = builder.folder_path();
    write(&folder, "edge", &issue(&authority, "pogo.test"));
    let server = builder.start().await;
    let first = shown(&server, &authority).await.expect("the handshake");
    write(&folder, "edge", &issue(&authority, "pogo.test"));
    eventually("the new certificate is shown", || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = shown(&server, &authority).await?;
        (now != first).then_some(())
    })
    .await;
    std::fs::write(folder.join("edge.pem"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    shown(&server, &authority)
        .await
        .expect("a broken file leaves the last good one");
}

#[tokio::test]
async fn a_client_certificate_opens_the_control_plane() {
    let (ours, other) = (authority(), authority());
    let tls = "tls = { cert = \"{folder}/control.pem\", key = \"{folder}/control.key\", \
               client_ca = \"{folder}/ca.pem\" }";
    let builder = TestServer::builder().config(&format!("[control]\n{tls}"));
    let folder = builder.folder_path();
    write(&folder, "control", &issue(&ours, "pogo.test"));
    std::fs::write(folder.join("ca.pem"), ours.pem()).unwrap();
    let server = builder.start().await;
    let call = async |identity: Option<(String, String)>| {
        let mut tls = ClientTlsConfig::new()
            .domain_name("pogo.test")
            .ca_certificate(Certificate::from_pem(ours.pem()));
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = format!("https://{}", server.control_address());
        let channel = Endpoint::from_shared(endpoint)
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect()
            .await;
        let Ok(channel) = channel else { return false };
        NodesClient::new(channel)
            .list_nodes(ListNodesRequest::default())
            .await
            .is_ok()
    };
    assert!(call(Some(issue(&ours, "service-1"))).await, "one of ours");
    assert!(!call(None).await, "none, and no key");
    assert!(
        !call(Some(issue(&other, "service-1"))).await,
        "from someone else"
    );
}
