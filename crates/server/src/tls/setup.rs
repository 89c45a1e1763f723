//! From the configuration to the TLS of all listeners.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConfig;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::files::Files;
use super::{Certificates, Error, acme, self_signed, server_config};
use crate::config::Config;

/// TLS of all listeners.
#[derive(Debug)]
pub struct Tls {
    /// What listeners use.
    pub server: Arc<ServerConfig>,
    /// SHA-256 of a self-signed certificate, as browsers show it.
    pub fingerprint: Option<String>,
}

/// Sets TLS up, or not where nothing asks for it. What must go on meanwhile runs in `tasks`;
/// `reload` makes files be read again.
///
/// # Errors
/// Files that cannot be read or written, or do not fit together.
pub fn set_up(
    config: &Config,
    data_dir: &Path,
    machine: &[IpAddr],
    reload: Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Result<Option<Tls>, Error> {
    let folder = data_dir.join("tls");
    if !config.acme.domains.is_empty() {
        let resolver = acme::start(&config.acme, &folder, tasks)?;
        let server = server_config(resolver, true)?;
        return Ok(Some(Tls {
            server,
            fingerprint: None,
        }));
    }
    let files = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        _ if config.tls.self_signed => {
            let names = self_signed::names(&config.tls.self_signed_names, machine);
            self_signed::ensure(&folder, &names, SystemTime::now())?
        }
        _ => return Ok(None),
    };
    let first = files.read()?;
    let fingerprint = config.tls.self_signed.then(|| {
        let leaf = first.cert.first().map_or(&[][..], |leaf| leaf);
        let bytes = digest(&SHA256, leaf);
        let bytes: Vec<_> = bytes.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        bytes.join(":")
    });
    let certificates = Arc::new(Certificates::new(first));
    let server = server_config(certificates.clone(), false)?;
    tasks.spawn(files.watch(certificates, config.tls.reload_interval.0, reload));
    Ok(Some(Tls {
        server,
        fingerprint,
    }))
}
