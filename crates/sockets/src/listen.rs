//! Accepting TCP connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::{Limit, Places, Slot, Stop, stopped};

/// Pause after an accept that failed because the process has no file descriptor left: less would
/// spin, more would keep clients waiting once there is one.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection that has a place; `None` once the door stops.
///
/// Connections beyond the limits are closed at once: they cost nothing but the accept.
pub async fn accept(
    listener: &TcpListener,
    places: &Places,
    stop: &mut Stop,
) -> Option<(TcpStream, SocketAddr, Slot)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(stop) => return None,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_connection(&error) {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        match places.take(from.ip()) {
            Ok(slot) => {
                // Replies are small and whoever waits for one sends nothing meanwhile.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                return Some((stream, from, slot));
            }
            Err(limit @ Limit::Connections) => tracing::warn!(%from, %limit, "closed"),
            Err(limit @ Limit::Address) => tracing::debug!(%from, %limit, "closed"),
        }
    }
}

/// The connection was gone before it was accepted; the next one may be well.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
