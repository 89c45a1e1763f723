//! Connections to other servers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use inver_outward::Guard;
use inver_protocols::rtmp::{
    Capabilities, Client, ClientConfig, ClientEvent, Media, Purpose, Target,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Connection, End, Stream};

/// How long resolving, connecting and the TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the server may take to allow what is asked for.
const START: Duration = Duration::from_secs(10);

/// What servers are told that we are; some take no unknown programs.
const FLASH_VERSION: &str = "FMLE/3.0 (compatible; Inver)";

/// Why there is no connection on which media may flow. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// No connection, or no TLS on it.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// The server refuses.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// It ended.
    #[error("{0}")]
    Ended(#[from] End),
    /// It does not answer.
    #[error("the server has not allowed it within {} s", START.as_secs())]
    Silent,
}

/// TLS as clients do it, with the roots that browsers trust.
pub fn tls_client() -> Arc<TlsConfig> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Connects to a server, over TLS where the target says so; the name is checked and told (SNI).
///
/// # Errors
/// It cannot be reached, leads inside, or has no certificate that is trusted.
pub async fn connect(
    guard: Guard,
    target: &Target,
    tls: &Arc<TlsConfig>,
    purpose: Purpose,
) -> Result<Connection<Client>, NoConnection> {
    let connecting = async {
        let stream = guard.connect(&target.host, target.port, CONNECT).await?;
        stream.set_nodelay(true)?;
        if !target.tls {
            return Ok(Box::new(stream) as Box<dyn Stream>);
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(tls.clone())
            .connect(name, stream)
            .await?;
        Ok::<_, io::Error>(Box::new(stream) as Box<dyn Stream>)
    };
    let stream = timeout(CONNECT, connecting).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
    })??;
    let config = ClientConfig {
        address: target.address.clone(),
        purpose,
        flash_version: FLASH_VERSION.to_owned(),
        enhanced: true,
    };
    Ok(Connection::client(stream, config))
}

/// What a server said until media may flow.
#[derive(Debug)]
pub struct Begun {
    /// What it knows of Enhanced RTMP.
    pub capabilities: Capabilities,
    /// Media that came before the word that it begins.
    pub early: Vec<Media>,
}

/// Waits until the server allows what was asked for.
///
/// # Errors
/// It refuses, ends or says nothing.
pub async fn started(connection: &mut Connection<Client>) -> Result<Begun, NoConnection> {
    let mut begun = Begun {
        capabilities: Capabilities::default(),
        early: Vec::new(),
    };
    let waiting = async {
        loop {
            match connection.next().await? {
                ClientEvent::Connected { capabilities } => begun.capabilities = capabilities,
                ClientEvent::Started => return Ok(()),
                ClientEvent::Refused { code, description } => {
                    return Err(NoConnection::Refused(refusal(&code, &description)));
                }
                ClientEvent::Ended { code } => return Err(NoConnection::Refused(code)),
                ClientEvent::Media(media) => begun.early.push(media),
                ClientEvent::ReconnectRequested { .. } => {}
                ClientEvent::Closed => return Err(End::Closed.into()),
            }
        }
    };
    timeout(START, waiting)
        .await
        .map_err(|_| NoConnection::Silent)??;
    Ok(begun)
}

/// A server's words; they never hold more than it was told, and it was told the key.
fn refusal(code: &str, description: &str) -> String {
    match (code, description) {
        ("", "") => "without a word".to_owned(),
        (code, "") => code.to_owned(),
        ("", description) => description.to_owned(),
        (code, description) => format!("{description} ({code})"),
    }
}
