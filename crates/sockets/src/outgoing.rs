//! Connections to other servers: TCP, or TLS above it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_outward::Guard;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Stream;

/// How long resolving and connecting may take, and the TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// TLS as clients do it, with the roots that browsers trust.
pub fn tls_client() -> Arc<ClientConfig> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A connection that was made.
pub(crate) struct Outgoing {
    pub(crate) stream: Box<dyn Stream>,
    /// This end of it.
    pub(crate) local: SocketAddr,
    /// The other end.
    pub(crate) peer: SocketAddr,
}

/// Connects to a server, with `tls` over TLS; the name is checked and told (SNI).
///
/// # Errors
/// It cannot be reached, leads inside, or has no certificate that is trusted.
pub(crate) async fn connect(
    guard: Guard,
    host: &str,
    port: u16,
    tls: Option<&Arc<ClientConfig>>,
) -> io::Result<Outgoing> {
    let stream = guard.connect(host, port, CONNECT).await?;
    stream.set_nodelay(true)?;
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let handshake = TlsConnector::from(tls.clone()).connect(name, stream);
            let done = timeout(CONNECT, handshake).await;
            Box::new(done.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
            })??)
        }
    };
    Ok(Outgoing {
        stream,
        local,
        peer,
    })
}
