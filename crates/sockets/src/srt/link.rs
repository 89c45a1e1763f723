//! One connection with its share of the socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_protocols::srt::{Connection, Event, SendError, Statistics};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::endpoint::now;
use crate::Slot;

/// How long the last payloads may take to arrive and be played, beyond what the connection itself
/// allows.
const CLOSING: Duration = Duration::from_secs(10);

/// One connection. Whoever owns it calls [`Self::next`]; while that waits, the connection is
/// driven. What is queued for sending leaves with the next call.
#[derive(Debug)]
pub struct Link {
    /// Boxed, for it is some kilobytes that would be moved with each future.
    pub(super) connection: Box<Connection>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) peer: SocketAddr,
    pub(super) datagrams: mpsc::Receiver<Vec<u8>>,
    /// What the socket did not take yet.
    pub(super) unsent: Option<Vec<u8>>,
    /// Of those that called; there is none of those that were called.
    pub(super) _slot: Option<Slot>,
}

impl Drop for Link {
    /// Tells the peer, as far as the socket takes it at once.
    fn drop(&mut self) {
        self.connection.close(now());
        self.transmit();
    }
}

impl Link {
    /// Where the peer is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether payloads are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.connection.is_encrypted()
    }

    /// Counts and rates.
    pub fn statistics(&mut self) -> Statistics {
        self.connection.statistics(now())
    }

    /// What happens next; `None` when nothing more will. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.transmit();
            if let Some(event) = self.connection.poll_event() {
                return Some(event);
            }
            let deadline = Instant::from_std(self.connection.poll_timeout()?);
            tokio::select! {
                datagram = self.datagrams.recv() => {
                    // Without the socket's owner nothing comes any more.
                    self.connection.handle_datagram(&datagram?, now());
                }
                _ = self.socket.writable(), if self.unsent.is_some() => {}
                () = sleep_until(deadline) => self.connection.handle_timeout(now()),
            }
        }
    }

    /// Queues a payload of at most 1316 bytes.
    ///
    /// # Errors
    /// When too much waits or the connection is over.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        let result = self.connection.send(payload, now());
        // A group of pictures at once would fill what waits for the socket.
        self.transmit();
        result
    }

    /// Ends the connection when the peer has what was sent.
    pub async fn close(mut self) {
        self.connection.close(now());
        let last = async { while self.next().await.is_some() {} };
        // Either way it is over.
        let _ = timeout(CLOSING, last).await;
    }

    fn transmit(&mut self) {
        while let Some(datagram) = self
            .unsent
            .take()
            .or_else(|| self.connection.poll_transmit())
        {
            match self.socket.try_send_to(&datagram, self.peer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.unsent = Some(datagram);
                    return;
                }
                // What the network does not take is lost, as any datagram may be.
                Ok(_) | Err(_) => {}
            }
        }
    }
}
