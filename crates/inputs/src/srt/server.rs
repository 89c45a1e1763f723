//! Serves one UDP socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use inver_node::Handle;
use inver_sockets::srt::{Call, Reader, serve};
use inver_sockets::{Limits, Stop};
use tokio::net::UdpSocket;
use tracing::Instrument;

use super::session;

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct Config {
    /// Connections at once.
    pub limits: Limits,
    /// How long a packet is waited for, at least; a caller may want more. Less loses packets on
    /// long ways (four round trips repair most), more delays everything.
    pub latency: Duration,
    /// Whether publishers have to encrypt.
    pub require_encryption: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            latency: Duration::from_millis(120),
            require_encryption: false,
        }
    }
}

/// The door.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) handle: Handle,
    pub(super) config: Config,
    pub(super) reader: Arc<dyn Reader>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A door to this node; `reader` serves callers that want to read.
    pub fn new(handle: Handle, config: Config, reader: Arc<dyn Reader>) -> Self {
        Self {
            shared: Arc::new(Shared {
                handle,
                config,
                reader,
            }),
        }
    }

    /// Serves a socket until the stop, and then until its connections have ended.
    ///
    /// # Errors
    /// Where the socket fails for good.
    pub async fn serve(&self, socket: UdpSocket, stop: Stop) -> io::Result<()> {
        let sessions_stop = stop.clone();
        let callee = |call: Call| {
            let span = tracing::info_span!("srt", from = %call.address());
            session::serve(call, self.shared.clone(), sessions_stop.clone()).instrument(span)
        };
        serve(socket, self.shared.config.limits, stop, callee).await
    }
}
