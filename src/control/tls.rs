//! TLS: the server's certificate and the authority of client certificates, read again when their
//! files change. Files that cannot be read or do not fit leave the last good ones in force.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::config::Tls;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should, in PEM.
    #[error("{path} does not hold {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key are not accepted, or not each other's.
    #[error("the certificate or its key is not accepted")]
    Certificate(#[from] rustls::Error),
    /// The authority is not accepted.
    #[error("the authority of client certificates is not accepted")]
    Authority(#[from] VerifierBuilderError),
}

/// The certificates in force.
#[derive(Debug)]
pub(super) struct Certificates {
    files: Tls,
    current: ArcSwap<ServerConfig>,
    stamp: Mutex<Stamp>,
}

/// When each file was last changed; `None` where it cannot be said.
type Stamp = [Option<SystemTime>; 3];

impl Certificates {
    pub(super) fn load(files: Tls) -> Result<Self, TlsError> {
        let stamp = Mutex::new(stamp(&files));
        let current = ArcSwap::from_pointee(load(&files)?);
        Ok(Self {
            files,
            current,
            stamp,
        })
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads the files again if they have changed since, and says whether it did.
    pub(super) fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.files);
        {
            let mut seen = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == now {
                return Ok(false);
            }
            *seen = now;
        }
        self.current.store(Arc::new(load(&self.files)?));
        Ok(true)
    }
}

fn stamp(files: &Tls) -> Stamp {
    let changed = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    [
        changed(&files.cert),
        changed(&files.key),
        files.client_ca.as_ref().and_then(changed),
    ]
}

fn load(files: &Tls) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&files.cert)?;
    let key =
        PrivateKeyDer::from_pem_reader(open(&files.key)?).map_err(|source| TlsError::Pem {
            path: files.key.clone(),
            what: "a private key",
            source,
        })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A client may come without a certificate, and then needs a key; a certificate that is shown must
/// be good.
fn verifier(
    path: &PathBuf,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(verifier.allow_unauthenticated().build()?)
}

fn open(path: &PathBuf) -> Result<File, TlsError> {
    File::open(path).map_err(|source| TlsError::Read {
        path: path.clone(),
        source,
    })
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |source| TlsError::Pem {
        path: path.clone(),
        what: "certificates",
        source,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(open(path)?).collect();
    let read = read.map_err(refused)?;
    if read.is_empty() {
        return Err(refused(pem::Error::NoItemsFound));
    }
    Ok(read)
}
