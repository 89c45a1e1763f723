//! Accepts connections, with or without TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_node::Handle;
use inver_sockets::rtmp::{Connection, Player};
use inver_sockets::{Limits, Places, Slot, Stop, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::Instrument;

use super::session;

/// How long the TLS handshake may take: two round trips. Longer only helps who holds connections
/// open for the sake of it.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);

/// How long connections may take to end after the stop; their last words take up to five seconds.
const DRAIN: Duration = Duration::from_secs(6);

/// Settings of the door.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Connections at once, over RTMP and RTMPS together.
    pub limits: Limits,
}

/// The door. Clones share their limits.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    places: Places,
}

pub(super) struct Shared {
    pub(super) handle: Handle,
    pub(super) player: Arc<dyn Player>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A door to this node; `player` serves clients that want to play.
    pub fn new(handle: Handle, config: Config, player: Arc<dyn Player>) -> Self {
        Self {
            shared: Arc::new(Shared { handle, player }),
            places: Places::new(config.limits),
        }
    }

    /// Serves a listener until the stop, and then until its connections have ended. With `tls`,
    /// RTMPS.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        mut stop: Stop,
    ) {
        let tls = tls.map(TlsAcceptor::from);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &self.places, &mut stop) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let Some((stream, from, slot)) = accepted else {
                break;
            };
            let span = tracing::info_span!("rtmp", %from);
            let connection = Incoming {
                stream,
                from,
                slot,
                tls: tls.clone(),
                stop: stop.clone(),
            };
            connections.spawn(connection.run(self.shared.clone()).instrument(span));
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            tracing::debug!("RTMP connections are cut off: they did not end in time");
        }
    }
}

/// A connection that was just accepted.
struct Incoming {
    stream: TcpStream,
    from: SocketAddr,
    /// Held until the connection ends.
    slot: Slot,
    tls: Option<TlsAcceptor>,
    stop: Stop,
}

impl Incoming {
    async fn run(self, shared: Arc<Shared>) {
        let Self {
            stream,
            from,
            slot,
            tls,
            stop,
        } = self;
        let connection = match tls {
            None => Connection::new(stream),
            Some(tls) => match timeout(TLS_HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => Connection::new(stream),
                Ok(Err(error)) => return tracing::debug!(%error, "the TLS handshake failed"),
                Err(_) => return tracing::debug!("the TLS handshake took too long"),
            },
        };
        session::serve(connection, &shared, from, stop).await;
        drop(slot);
    }
}
