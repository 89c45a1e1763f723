//! Calls to other servers, each over a socket of its own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use inver_outward::{Guard, NoAddress};
use inver_protocols::srt::{CallError, Caller, CallerEvent, Target};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep_until};

use super::Link;
use super::endpoint::{DATAGRAM, WAITING, enlarge, now};

/// Why a call failed. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum NoCall {
    /// The host has no address to call.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// There is no socket.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// The other end.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Calls a listener. It takes at most a few seconds.
///
/// # Errors
/// It cannot be reached, leads inside or refuses.
pub async fn call(guard: Guard, target: &Target) -> Result<Link, NoCall> {
    let addresses = guard.resolve(&target.host, target.port).await?;
    let peer = *addresses.first().expect("the guard never gives none");
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    enlarge(&socket);
    let mut caller = Caller::new(target.config.clone(), peer, now())?;
    let mut buffer = vec![0; DATAGRAM];
    let connection = loop {
        while let Some(datagram) = caller.poll_transmit() {
            socket.send_to(&datagram, peer).await?;
        }
        match caller.poll_event() {
            Some(CallerEvent::Connected(connection)) => break connection,
            Some(CallerEvent::Failed(error)) => return Err(error.into()),
            None => {}
        }
        let due = caller.poll_timeout().map(Instant::from_std);
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // Errors are ICMP's; the call's own deadline finds out too.
                if let Ok((len, from)) = received && from == peer {
                    caller.handle_datagram(buffer.get(..len).unwrap_or_default(), now());
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)) => caller.handle_timeout(now()),
        }
    };
    let socket = Arc::new(socket);
    let (datagrams, waiting) = mpsc::channel(WAITING);
    tokio::spawn(read(socket.clone(), peer, datagrams));
    Ok(Link {
        connection,
        socket,
        peer,
        datagrams: waiting,
        unsent: None,
        _slot: None,
    })
}

/// Hands datagrams of the peer on until the link is gone.
async fn read(socket: Arc<UdpSocket>, peer: SocketAddr, datagrams: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let received = tokio::select! {
            () = datagrams.closed() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let Ok((len, from)) = received else { continue };
        if from != peer {
            continue;
        }
        let datagram = buffer.get(..len).unwrap_or_default().to_vec();
        if let Err(TrySendError::Closed(_)) = datagrams.try_send(datagram) {
            return;
        }
    }
}
