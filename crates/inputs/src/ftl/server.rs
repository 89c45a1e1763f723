//! Accepts control connections and reads the socket of their media.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inver_node::Handle;
use inver_sockets::{Limits, Places, Stop, accept};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument;

use super::demux::{self, Routes};
use super::session;

/// How long sessions may take to end after the stop: one line to each client.
const DRAIN: Duration = Duration::from_secs(5);

/// Settings of the door.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Control connections at once.
    pub limits: Limits,
    /// The UDP port that clients are told, where a port mapping makes it another than the socket's.
    pub media_port: Option<u16>,
}

/// The door.
#[derive(Clone)]
pub struct Server {
    handle: Handle,
    config: Config,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What all sessions of the door have.
pub(super) struct Shared {
    pub(super) handle: Handle,
    pub(super) routes: Routes,
    pub(super) socket: UdpSocket,
    pub(super) port: u16,
    next: AtomicU64,
}

impl Shared {
    /// A number that no session of the door had.
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Server {
    /// A door to this node.
    pub fn new(handle: Handle, config: Config) -> Self {
        Self { handle, config }
    }

    /// Serves a listener and the UDP socket of its clients' media until the stop, and then until
    /// the sessions have ended.
    ///
    /// # Errors
    /// Where the UDP socket fails for good.
    pub async fn serve(
        &self,
        listener: TcpListener,
        media: UdpSocket,
        mut stop: Stop,
    ) -> io::Result<()> {
        let port = match self.config.media_port {
            Some(port) => port,
            None => media.local_addr()?.port(),
        };
        let shared = Arc::new(Shared {
            handle: self.handle.clone(),
            routes: Routes::default(),
            socket: media,
            port,
            next: AtomicU64::new(0),
        });
        let places = Places::new(self.config.limits);
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &places, &mut stop) => accepted,
                Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
                failed = demux::run(&shared.socket, &shared.routes) => return failed,
            };
            let Some((stream, from, slot)) = accepted else {
                break;
            };
            let span = tracing::info_span!("ftl", %from);
            let (shared, stop) = (shared.clone(), stop.clone());
            let session = async move {
                session::serve(stream, from, &shared, stop).await;
                drop(slot);
            };
            sessions.spawn(session.instrument(span));
        }
        drop(listener);
        let ended = async { while sessions.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            tracing::debug!("FTL sessions are cut off: they did not end in time");
        }
        Ok(())
    }
}
