//! TLS and client certificates, with certificates made here.

use std::path::Path;

use pogo::control::proto::ListNodesRequest;
use pogo::control::{Config, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::rig::{ADMIN, Clients, Rig, keys, refused};

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
    (
        params.signed_by(&key, authority).unwrap().pem(),
        key.serialize_pem(),
    )
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    std::fs::write(folder.join("key.pem"), key).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate).unwrap();
}

fn files(folder: &Path) -> Tls {
    Tls {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_ca: Some(folder.join("ca.pem")),
    }
}

async fn connect(
    rig: &Rig,
    roots: &Authority,
    identity: Option<&(String, String)>,
    secret: Option<&str>,
) -> Option<Clients> {
    let mut tls = ClientTlsConfig::new()
        .domain_name("pogo.test")
        .ca_certificate(Certificate::from_pem(roots.pem()));
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", rig.address)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.ok()?;
    Some(Clients::over(channel, secret))
}

async fn tls_rig(folder: &TempDir, server: &Authority, callers: &Authority) -> Rig {
    write(folder.path(), &issue(server, "pogo.test"));
    std::fs::write(folder.path().join("ca.pem"), callers.pem()).unwrap();
    Rig::with(|config| config.tls = Some(files(folder.path()))).await
}

#[tokio::test]
async fn a_client_certificate_or_a_key() {
    let (server, callers, stranger) = (authority(), authority(), authority());
    let folder = TempDir::new().unwrap();
    let rig = tls_rig(&folder, &server, &callers).await;
    let good = issue(&callers, "service");
    let foreign = issue(&stranger, "service");
    let nodes = ListNodesRequest::default;

    let mut both = connect(&rig, &server, Some(&good), None).await.unwrap();
    both.nodes.list_nodes(nodes()).await.unwrap();
    let mut key = connect(&rig, &server, None, Some(ADMIN)).await.unwrap();
    key.nodes.list_nodes(nodes()).await.unwrap();
    let mut neither = connect(&rig, &server, None, None).await.unwrap();
    refused(
        Code::Unauthenticated,
        neither.nodes.list_nodes(nodes()).await,
    );
    // A key that is shown is what counts.
    let mut wrong = connect(&rig, &server, Some(&good), Some("wrong"))
        .await
        .unwrap();
    refused(Code::Unauthenticated, wrong.nodes.list_nodes(nodes()).await);
    // TLS 1.3 tells the client of a bad certificate only after its handshake.
    if let Some(mut clients) = connect(&rig, &server, Some(&foreign), Some(ADMIN)).await {
        clients.nodes.list_nodes(nodes()).await.unwrap_err();
    }
    let plain = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    if let Ok(channel) = plain.connect().await {
        Clients::over(channel, Some(ADMIN))
            .nodes
            .list_nodes(nodes())
            .await
            .unwrap_err();
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let (first, second) = (authority(), authority());
    let folder = TempDir::new().unwrap();
    let rig = tls_rig(&folder, &first, &first).await;
    let reload = || {
        let tls = Some(files(folder.path()));
        rig.control.reload(Config {
            tls,
            keys: keys(),
            ..Config::default()
        })
    };
    assert!(connect(&rig, &first, None, Some(ADMIN)).await.is_some());
    assert!(connect(&rig, &second, None, Some(ADMIN)).await.is_none());

    write(folder.path(), &issue(&second, "pogo.test"));
    reload().unwrap();
    assert!(connect(&rig, &second, None, Some(ADMIN)).await.is_some());
    assert!(connect(&rig, &first, None, Some(ADMIN)).await.is_none());

    let (certificate, _) = issue(&first, "pogo.test");
    std::fs::write(folder.path().join("cert.pem"), certificate).unwrap();
    reload().unwrap_err();
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    reload().unwrap_err();
    std::fs::remove_file(folder.path().join("cert.pem")).unwrap();
    reload().unwrap_err();
    assert!(
        connect(&rig, &second, None, Some(ADMIN)).await.is_some(),
        "the last good one stays"
    );
}
