//! Certificates from PEM files, read again when a file changes or on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

use super::{Certificates, Error, provider};

/// The two files of a certificate.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate and its chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Files {
    /// Reads and checks both.
    ///
    /// # Errors
    /// A file that cannot be read, holds no PEM of the right kind, or a key of another certificate.
    pub fn read(&self) -> Result<CertifiedKey, Error> {
        let pem_error = |path: &Path, error: pem::Error, what: &str| match error {
            pem::Error::Io(source) => Error::Read {
                path: path.to_owned(),
                source,
            },
            pem::Error::NoItemsFound => Error::Pem {
                path: path.to_owned(),
                message: format!("holds no {what} in PEM"),
            },
            other => Error::Pem {
                path: path.to_owned(),
                message: format!("is broken: {other}"),
            },
        };
        let of_certificate = |error| pem_error(&self.certificate, error, "certificate");
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .map_err(of_certificate)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(of_certificate)?;
        if chain.is_empty() {
            return Err(of_certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| pem_error(&self.key, error, "private key"))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| Error::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }

    /// Keeps `certificates` as the files are: looks at them at every `interval` and whenever
    /// `now` is notified. Files that do not fit, as in the middle of a renewal, change nothing and
    /// are tried again once they change.
    pub async fn watch(
        self,
        certificates: Arc<Certificates>,
        interval: Duration,
        now: Arc<Notify>,
    ) {
        let mut seen = self.stamp();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = now.notified() => true,
            };
            let stamp = self.stamp();
            if stamp == seen && !asked {
                continue;
            }
            seen = stamp;
            match self.read() {
                Ok(next) => {
                    certificates.replace(next);
                    tracing::info!(certificate = %self.certificate.display(), "certificate reloaded");
                }
                Err(error) => {
                    tracing::warn!(%error, "the certificate was not reloaded; the old one stays");
                }
            }
        }
    }

    /// What changes when a file does. Links are followed: Kubernetes swaps a link's target.
    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}
