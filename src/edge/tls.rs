//! The edge's own certificate: read at start, read again when the files change or on a signal.
//! What cannot be used is reported and the one in use stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsFiles;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM form")]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        #[source]
        source: Option<pem::Error>,
    },
    /// Certificate and key do not belong together, or cannot be used for TLS.
    #[error("the certificate in {cert} cannot be used with the key in {key}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The certificate in use, and the files to read the next from.
#[derive(Debug)]
pub struct TlsReloader {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What the configuration was built from, by its digest: the key itself is not kept.
    built_from: Mutex<Digest>,
}

type Digest = [u8; 32];

impl TlsReloader {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let pair = Pair::read(files)?;
        Ok(Self {
            files: files.clone(),
            config: ArcSwap::from_pointee(pair.build(files)?),
            built_from: Mutex::new(pair.digest()),
        })
    }

    /// What new connections use.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again: whether there is another certificate now. Blocks on the files.
    ///
    /// # Errors
    /// They cannot be read or used; the certificate in use stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let pair = Pair::read(&self.files)?;
        let digest = pair.digest();
        let mut built_from = self
            .built_from
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if digest == *built_from {
            return Ok(false);
        }
        self.config.store(Arc::new(pair.build(&self.files)?));
        *built_from = digest;
        Ok(true)
    }

    /// Reloads whenever the files change, for ever; drop the future to end it.
    pub async fn watch(self: Arc<Self>) {
        let mut trouble: Option<String> = None;
        let mut told = false;
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let this = Arc::clone(&self);
            let Ok(outcome) = tokio::task::spawn_blocking(move || this.reload()).await else {
                continue;
            };
            match outcome {
                Ok(changed) => {
                    if changed {
                        tracing::info!(cert = %self.files.cert.display(), "TLS certificate reloaded");
                    }
                    trouble = None;
                }
                Err(error) => {
                    // Told at the second look, once: while one of the two files has changed and
                    // the other has not yet, nothing is wrong.
                    let text = error.to_string();
                    let again = trouble.as_ref() == Some(&text);
                    told = again && {
                        if !told {
                            let error: &dyn std::error::Error = &error;
                            tracing::error!(error, "the TLS certificate in use stays");
                        }
                        true
                    };
                    trouble = Some(text);
                }
            }
        }
    }
}

/// What the two files hold.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
        })
    }

    fn digest(&self) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        // The length first, so that no byte can move from one file to the other unseen.
        context.update(&self.cert.len().to_be_bytes());
        context.update(&self.cert);
        context.update(&self.key);
        let mut out = Digest::default();
        out.copy_from_slice(context.finish().as_ref());
        out
    }

    fn build(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let pem = |path: &Path, what, source| TlsError::Pem {
            path: path.to_owned(),
            what,
            source,
        };
        let chain = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| pem(&files.cert, "certificate", Some(error)))?;
        if chain.is_empty() {
            return Err(pem(&files.cert, "certificate", None));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| pem(&files.key, "private key", Some(error)))?;
        let unusable = |source| TlsError::Unusable {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &TlsFiles, name: &str) -> String {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        made.signing_key.serialize_pem()
    }

    fn files(dir: &tempfile::TempDir) -> TlsFiles {
        TlsFiles {
            cert: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
        }
    }

    #[test]
    fn a_new_pair_is_taken_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        write(&files, "one.test");
        let tls = TlsReloader::load(&files).unwrap();
        let first = tls.config();
        assert!(!tls.reload().unwrap(), "nothing changed");
        assert!(Arc::ptr_eq(&first, &tls.config()));

        let key = write(&files, "two.test");
        std::fs::write(&files.key, "no key").unwrap();
        assert!(matches!(
            tls.reload(),
            Err(TlsError::Pem {
                what: "private key",
                ..
            })
        ));
        assert!(Arc::ptr_eq(&first, &tls.config()), "the old one stays");

        std::fs::write(&files.key, key).unwrap();
        assert!(tls.reload().unwrap());
        assert!(!Arc::ptr_eq(&first, &tls.config()));
    }

    #[test]
    fn each_trouble_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        assert!(matches!(
            TlsReloader::load(&files),
            Err(TlsError::Read { .. })
        ));
        let key = write(&files, "one.test");
        write(&files, "two.test");
        std::fs::write(&files.key, key).unwrap();
        assert!(matches!(
            TlsReloader::load(&files),
            Err(TlsError::Unusable { .. })
        ));
        std::fs::write(&files.cert, "").unwrap();
        assert!(matches!(
            TlsReloader::load(&files),
            Err(TlsError::Pem {
                what: "certificate",
                ..
            })
        ));
    }
}
