//! Connections to other servers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use inver_outward::Guard;
use inver_protocols::rtmp::{Capabilities, ClientConfig, ClientEvent, Media, Purpose, Target};
use rustls::ClientConfig as TlsConfig;
use tokio::time::timeout;

use super::{ClientConnection, End};
use crate::outgoing::{self, Outgoing};

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

/// Connects to a server, over TLS where the target says so; the name is checked and told (SNI).
///
/// # Errors
/// It cannot be reached, leads inside, or has no certificate that is trusted.
pub async fn connect(
    guard: Guard,
    target: &Target,
    tls: &Arc<TlsConfig>,
    purpose: Purpose,
) -> Result<ClientConnection, NoConnection> {
    let tls = target.tls.then_some(tls);
    let Outgoing { stream, .. } = outgoing::connect(guard, &target.host, target.port, tls).await?;
    let config = ClientConfig {
        address: target.address.clone(),
        purpose,
        flash_version: FLASH_VERSION.to_owned(),
        enhanced: true,
    };
    Ok(ClientConnection::client(stream, config))
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
pub async fn started(connection: &mut ClientConnection) -> Result<Begun, NoConnection> {
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
