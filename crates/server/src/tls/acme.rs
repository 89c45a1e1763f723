//! Certificates from an authority by ACME (RFC 8555), proven over TLS itself (RFC 8737), so that
//! no other port than 443 is needed. Account and certificates are kept in the data folder.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ResolvesServerCert;
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, EventOk};
use tokio::task::JoinSet;

use super::{Error, provider};
use crate::config;

/// Protocol name of a challenge's handshake.
pub const ALPN: &[u8] = b"acme-tls/1";

/// Begins to get and renew the certificate, in one of `tasks`.
///
/// Until the first certificate is there, handshakes of browsers fail: nothing else could be served
/// under the domain's name.
///
/// # Errors
/// `acme.ca` cannot be read.
pub fn start(
    acme: &config::Acme,
    folder: &Path,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    let contact = acme.email.iter().map(|email| format!("mailto:{email}"));
    let config = match &acme.ca {
        None => AcmeConfig::new_with_provider(&acme.domains, provider()),
        Some(path) => AcmeConfig::new_with_client_config(&acme.domains, trusting(path)?),
    };
    let mut state = config
        .directory(&acme.directory)
        .contact(contact)
        .cache(DirCache::new(folder.to_owned()))
        .state();
    let resolver = state.resolver();
    let domains = acme.domains.join(", ");
    tasks.spawn(async move {
        // The stream never ends: it waits until the next renewal is due, and backs off on errors.
        while let Some(event) = state.next().await {
            match event {
                Ok(EventOk::DeployedNewCert) => tracing::info!(domains, "got a certificate"),
                Ok(EventOk::DeployedCachedCert) => tracing::info!(domains, "certificate loaded"),
                Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
                Err(error) => tracing::warn!(domains, %error, "no certificate yet; trying again"),
            }
        }
    });
    Ok(resolver)
}

/// A client that trusts one authority only.
fn trusting(path: &Path) -> Result<Arc<ClientConfig>, Error> {
    let broken = |message: String| Error::Pem {
        path: path.to_owned(),
        message,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)
        .map_err(|error| broken(format!("cannot be read: {error}")))?
    {
        let certificate = certificate.map_err(|error| broken(format!("is broken: {error}")))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(broken("holds no certificate in PEM".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
