//! HTTPS: where the certificate comes from, and how it is replaced while connections last.
//!
//! Three sources: PEM files that are watched ([`files`]), a certificate made here for use in a
//! local network ([`self_signed`]), an authority that speaks ACME ([`acme`], RFC 8555 with the
//! TLS-ALPN-01 challenge of RFC 8737). A new certificate serves new handshakes only; connections
//! that exist keep theirs.

pub mod acme;
pub mod files;
pub mod self_signed;
mod setup;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use setup::{Tls, set_up};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no PEM, or holds something else.
    #[error("{path} {message}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    #[error("{certificate} and {key} do not work together: {source}")]
    Pair {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused its settings.
    #[error("cannot set TLS up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The cryptography that all of TLS uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate that can be replaced at any time.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<CertifiedKey>,
}

impl Certificates {
    /// Begins with one.
    pub fn new(first: CertifiedKey) -> Self {
        Self {
            current: ArcSwap::from_pointee(first),
        }
    }

    /// Serves another one from the next handshake on.
    pub fn replace(&self, next: CertifiedKey) {
        self.current.store(Arc::new(next));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS settings of a listener: HTTP/2 and HTTP/1.1, TLS 1.2 and 1.3.
///
/// # Errors
/// Only where the cryptography lacks a protocol version, which ours does not.
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    challenges: bool,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if challenges {
        // No client but the authority offers it, and it offers nothing else (RFC 8737, 3).
        config.alpn_protocols.push(acme::ALPN.to_vec());
    }
    Ok(Arc::new(config))
}
