//! Connections to other servers.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::rand;
use inver_outward::Guard;
use inver_protocols::rtsp::{ClientConfig, Target};
use rustls::ClientConfig as TlsConfig;

use super::ClientConnection;
use crate::outgoing::{self, Outgoing};

/// A connection to another server that plays.
#[derive(Debug)]
pub struct Connected {
    /// The connection; it asks for the description by itself.
    pub connection: ClientConnection,
    /// This end's address, for media beside the connection.
    pub local: IpAddr,
    /// The server's.
    pub peer: IpAddr,
}

/// Connects to a server, over TLS where the target says so; the name is checked and told (SNI).
///
/// # Errors
/// It cannot be reached, leads inside, or has no certificate that is trusted.
pub async fn connect(guard: Guard, target: &Target, tls: &Arc<TlsConfig>) -> io::Result<Connected> {
    let mut seed = [0; 32];
    rand::fill(&mut seed).map_err(|_| io::Error::other("no random numbers"))?;
    let tls = target.tls.then_some(tls);
    let outgoing = outgoing::connect(guard, &target.host, target.port, tls).await?;
    let Outgoing {
        stream,
        local,
        peer,
    } = outgoing;
    let config = ClientConfig {
        target: target.clone(),
        seed,
    };
    Ok(Connected {
        connection: ClientConnection::client(stream, config),
        local: local.ip(),
        peer: peer.ip(),
    })
}
