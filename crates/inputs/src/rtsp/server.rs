//! Accepts connections, with or without TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use inver_node::Handle;
use inver_protocols::rtsp::Settings;
use inver_sockets::rtsp::{Connection, Reader, Udp};
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
    /// Connections at once, over RTSP and RTSPS together.
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
    pub(super) reader: Arc<dyn Reader>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A door to this node; `reader` serves clients that want to read.
    pub fn new(handle: Handle, config: Config, reader: Arc<dyn Reader>) -> Self {
        Self {
            shared: Arc::new(Shared { handle, reader }),
            places: Places::new(config.limits),
        }
    }

    /// Serves a listener until the stop, and then until its connections have ended. With `tls`,
    /// RTSPS, whose media goes through the connection only. `udp` carries media where clients ask
    /// for that; it is driven here.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        udp: Option<Arc<Udp>>,
        mut stop: Stop,
    ) {
        let tls = tls.map(TlsAcceptor::from);
        let mut connections = JoinSet::new();
        let mut media = JoinSet::new();
        // Media in the clear would give away what TLS hides.
        let udp = udp.filter(|_| tls.is_none());
        if let Some(udp) = udp.clone() {
            let stop = stop.clone();
            media.spawn(async move { udp.run(stop).await });
        }
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &self.places, &mut stop) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let Some((stream, from, slot)) = accepted else {
                break;
            };
            let span = tracing::info_span!("rtsp", %from);
            let connection = Incoming {
                stream,
                from,
                slot,
                tls: tls.clone(),
                udp: udp.clone(),
                stop: stop.clone(),
            };
            connections.spawn(connection.run(self.shared.clone()).instrument(span));
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            tracing::debug!("RTSP connections are cut off: they did not end in time");
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
    udp: Option<Arc<Udp>>,
    stop: Stop,
}

impl Incoming {
    async fn run(self, shared: Arc<Shared>) {
        let Self {
            stream,
            from,
            slot,
            tls,
            udp,
            stop,
        } = self;
        let mut seed = [0; 32];
        if rand::fill(&mut seed).is_err() {
            return tracing::error!("no random numbers: a client is turned away");
        }
        let private = tls.is_some() || from.ip().to_canonical().is_loopback();
        let settings = Settings {
            udp: udp.as_ref().and_then(|udp| udp.ports().ok()),
            private,
            seed,
        };
        let connection = match tls {
            None => Connection::new(stream, settings),
            Some(tls) => match timeout(TLS_HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => Connection::new(stream, settings),
                Ok(Err(error)) => return tracing::debug!(%error, "the TLS handshake failed"),
                Err(_) => return tracing::debug!("the TLS handshake took too long"),
            },
        };
        let session = session::Session {
            connection,
            shared: &shared,
            from,
            private,
            udp,
            stop,
        };
        Box::pin(session.serve()).await;
        drop(slot);
    }
}
