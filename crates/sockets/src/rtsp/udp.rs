//! One pair of UDP ports for the media of all clients.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inver_protocols::rtsp::{Ports, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::{Stop, stopped};

/// Datagrams that wait for one session: a large keyframe. More only helps a session that is too
/// slow for long.
const WAITING: usize = 2048;

/// Longest datagram that is taken; longer ones are cut off and then not understood.
const DATAGRAM: usize = 2048;

/// A datagram of a client.
#[derive(Debug)]
pub struct Arrived {
    /// Of which of its tracks.
    pub track: usize,
    /// Whether it came to the port of reports.
    pub report: bool,
    /// The datagram.
    pub data: Vec<u8>,
}

#[derive(Debug)]
struct Route {
    track: usize,
    to: mpsc::Sender<Arrived>,
}

/// Another session of the same address has one of the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another session of this address has these ports")]
pub struct Taken;

type Routes = HashMap<(bool, SocketAddr), Route>;

/// Two sockets, and who has which address.
#[derive(Debug)]
pub struct Udp {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    routes: Mutex<Routes>,
}

/// One session's datagrams. Dropping it ends them.
#[derive(Debug)]
pub struct Registered {
    udp: Arc<Udp>,
    keys: Vec<(bool, SocketAddr)>,
    /// What came; never ends before the session.
    pub datagrams: mpsc::Receiver<Arrived>,
    // Held so that the queue stays open while no track goes over UDP.
    _open: mpsc::Sender<Arrived>,
}

impl Udp {
    /// Takes two sockets that are bound.
    pub fn new(rtp: UdpSocket, rtcp: UdpSocket) -> Self {
        Self {
            rtp,
            rtcp,
            routes: Mutex::default(),
        }
    }

    /// The ports that clients are told.
    ///
    /// # Errors
    /// As the sockets say.
    pub fn ports(&self) -> io::Result<Ports> {
        Ok(Ports {
            rtp: self.rtp.local_addr()?.port(),
            rtcp: self.rtcp.local_addr()?.port(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the datagrams of a client's tracks from here on.
    ///
    /// # Errors
    /// They are another session's.
    pub fn register(
        self: &Arc<Self>,
        from: IpAddr,
        tracks: &[Option<Transport>],
    ) -> Result<Registered, Taken> {
        let (to, datagrams) = mpsc::channel(WAITING);
        let mut keys = Vec::new();
        let mut routes = self.lock();
        let wanted = tracks.iter().enumerate().flat_map(|(track, transport)| {
            let ports = match transport {
                Some(Transport::Udp(ports)) => vec![(false, ports.rtp), (true, ports.rtcp)],
                Some(Transport::Interleaved { .. }) | None => Vec::new(),
            };
            ports
                .into_iter()
                .map(move |(report, port)| (track, report, port))
        });
        let wanted: Vec<_> = wanted.collect();
        for (_, report, port) in &wanted {
            if routes.contains_key(&(*report, SocketAddr::new(from, *port))) {
                return Err(Taken);
            }
        }
        for (track, report, port) in wanted {
            let key = (report, SocketAddr::new(from, port));
            let to = to.clone();
            routes.insert(key, Route { track, to });
            keys.push(key);
        }
        drop(routes);
        Ok(Registered {
            udp: Arc::clone(self),
            keys,
            datagrams,
            _open: to,
        })
    }

    /// Sends a packet to a client. One that the system does not take is lost, as on the way.
    pub fn send(&self, to: IpAddr, ports: Ports, report: bool, packet: &[u8]) {
        let (socket, port) = if report {
            (&self.rtcp, ports.rtcp)
        } else {
            (&self.rtp, ports.rtp)
        };
        let _ = socket.try_send_to(packet, SocketAddr::new(to, port));
    }

    /// Hands datagrams to their sessions until the stop. Of strangers, nothing is kept.
    pub async fn run(&self, mut stop: Stop) {
        let mut media = vec![0; DATAGRAM];
        let mut reports = vec![0; DATAGRAM];
        loop {
            // Errors are of datagrams that were sent; the next may be well.
            let (report, received, buffer) = tokio::select! {
                received = self.rtp.recv_from(&mut media) => (false, received, &media),
                received = self.rtcp.recv_from(&mut reports) => (true, received, &reports),
                () = stopped(&mut stop) => return,
            };
            let Ok((len, from)) = received else {
                tokio::task::yield_now().await;
                continue;
            };
            let data = buffer.get(..len).unwrap_or_default();
            let routes = self.lock();
            if let Some(route) = routes.get(&(report, from)) {
                // A session that is too slow loses what comes.
                let _ = route.to.try_send(Arrived {
                    track: route.track,
                    report,
                    data: data.to_vec(),
                });
            }
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut routes = self.udp.lock();
        for key in &self.keys {
            routes.remove(key);
        }
    }
}
