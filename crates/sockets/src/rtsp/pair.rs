//! Two UDP ports of a client for the media of one track.

use std::io;
use std::net::{IpAddr, SocketAddr};

use inver_protocols::rtsp::Ports;
use socket2::SockRef;
use tokio::net::UdpSocket;

/// Pairs that are tried: somebody may have the second port of one.
const TRIES: usize = 16;

/// Kernel buffer asked for: a keyframe of a megabyte, which cameras send at once.
const BUFFER: usize = 1 << 20;

/// Longest datagram that is taken; longer ones are cut off and then not understood.
const DATAGRAM: usize = 2048;

/// An even port for media and the next one for reports, and one server's address: what comes from
/// others is passed over.
#[derive(Debug)]
pub struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: Ports,
    server: IpAddr,
    /// The server's ports, once they are known.
    to: Option<Ports>,
    media: Box<[u8]>,
    report: Box<[u8]>,
}

impl Pair {
    /// Opens two ports at this end's address of a connection to `server`.
    ///
    /// # Errors
    /// There are none.
    pub async fn open(local: IpAddr, server: IpAddr) -> io::Result<Self> {
        let mut error = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            let first = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
            let port = first.local_addr()?.port();
            // Of the two the even one is for media (RFC 3550, 11).
            let second = UdpSocket::bind(SocketAddr::new(local, port ^ 1)).await;
            let (rtp, rtcp) = match second {
                Ok(second) if port.is_multiple_of(2) => (first, second),
                Ok(second) => (second, first),
                Err(why) => {
                    error = why;
                    continue;
                }
            };
            // The system's own size is used where it allows no more.
            let _ = SockRef::from(&rtp).set_recv_buffer_size(BUFFER);
            return Ok(Self {
                rtp,
                rtcp,
                ports: Ports {
                    rtp: port & !1,
                    rtcp: port | 1,
                },
                server: server.to_canonical(),
                to: None,
                media: vec![0; DATAGRAM].into_boxed_slice(),
                report: vec![0; DATAGRAM].into_boxed_slice(),
            });
        }
        Err(error)
    }

    /// The ports that the server is told.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Learns the server's ports.
    pub fn to(&mut self, ports: Option<Ports>) {
        self.to = ports;
    }

    /// Sends a packet to the server, where its ports are known. One that the system does not take
    /// is lost, as on the way.
    pub fn send(&self, report: bool, packet: &[u8]) {
        let Some(to) = self.to else {
            return;
        };
        let (socket, port) = if report {
            (&self.rtcp, to.rtcp)
        } else {
            (&self.rtp, to.rtp)
        };
        let _ = socket.try_send_to(packet, SocketAddr::new(self.server, port));
    }

    /// The next datagram of the server, and whether it came to the port of reports. Cancel-safe.
    pub async fn receive(&mut self) -> (bool, Vec<u8>) {
        let Self {
            rtp,
            rtcp,
            media,
            report,
            ..
        } = self;
        loop {
            let (is_report, received, buffer) = tokio::select! {
                received = rtp.recv_from(media) => (false, received, &*media),
                received = rtcp.recv_from(report) => (true, received, &*report),
            };
            // Errors are of datagrams that were sent; the next may be well.
            let Ok((len, from)) = received else {
                tokio::task::yield_now().await;
                continue;
            };
            if from.ip().to_canonical() == self.server {
                return (is_report, buffer.get(..len).unwrap_or_default().to_vec());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_of_the_server_come_and_others_do_not() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let mut pair = Pair::open(local, local).await.expect("two ports");
        let ports = pair.ports();
        assert_eq!((ports.rtp % 2, ports.rtcp), (0, ports.rtp + 1));
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let stranger = UdpSocket::bind("127.0.0.2:0").await.expect("a port");
        let port = server.local_addr().expect("bound").port();
        pair.to(Some(Ports {
            rtp: port,
            rtcp: port,
        }));
        let rtcp = (local, ports.rtcp);
        stranger.send_to(b"no", rtcp).await.expect("sent");
        server.send_to(b"yes", rtcp).await.expect("sent");
        assert_eq!(pair.receive().await, (true, b"yes".to_vec()));
        pair.send(false, b"hello");
        let mut buffer = [0; 16];
        let (len, from) = server.recv_from(&mut buffer).await.expect("received");
        assert_eq!((len, from.port()), (5, ports.rtp));
    }
}
