//! Finds the session that a datagram is for.
//!
//! A client tells nothing of the port that it will send from, so its datagrams are found by address
//! and SSRC first; SSRCs alone would not do, for one channel's picture has that of the next one's
//! sound. Pings name no SSRC and are echoed to whoever has a session from that address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inver_proto::{ParticipantId, RoomId};
use inver_protocols::ftl::{Attributes, Datagram, classify};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Datagrams that wait for one session's task. At 10 Mbps a second: what does not fit is asked for
/// again.
const WAITING: usize = 1024;

/// Longest datagram that clients send is 1392 bytes.
const DATAGRAM: usize = 2048;

/// A datagram and where it came from.
pub(super) type Arrived = (SocketAddr, Vec<u8>);

/// The sessions that wait for media.
#[derive(Clone, Default)]
pub(super) struct Routes(Arc<Mutex<HashMap<IpAddr, Vec<Route>>>>);

/// Who publishes, and in which room.
pub(super) type Whose = (RoomId, ParticipantId);

struct Route {
    id: u64,
    whose: Whose,
    ssrcs: Vec<u32>,
    /// Where its media comes from, once some has.
    port: Option<u16>,
    datagrams: mpsc::Sender<Arrived>,
}

/// One session's route; gone when dropped.
pub(super) struct Registered {
    routes: Routes,
    address: IpAddr,
    id: u64,
    pub(super) datagrams: mpsc::Receiver<Arrived>,
}

/// Another session from this address has one of the SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken;

/// What to do with a datagram.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Session,
    Echo,
    Nobody,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Route>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects a client's media.
    ///
    /// An earlier session of the same participant has ended, or this one would not have been let
    /// in: its route goes, though its task may not have noticed yet. A client that returns has the
    /// SSRCs that it had.
    pub(super) fn register(
        &self,
        address: IpAddr,
        whose: &Whose,
        attributes: &Attributes,
        id: u64,
    ) -> Result<Registered, Taken> {
        let streams = [attributes.video, attributes.audio];
        let ssrcs: Vec<u32> = streams.iter().flatten().map(|stream| stream.ssrc).collect();
        let mut routes = self.lock();
        let here = routes.entry(address.to_canonical()).or_default();
        here.retain(|route| route.whose != *whose);
        let taken = |route: &Route| route.ssrcs.iter().any(|ssrc| ssrcs.contains(ssrc));
        if here.iter().any(taken) {
            return Err(Taken);
        }
        let (datagrams, waiting) = mpsc::channel(WAITING);
        here.push(Route {
            id,
            whose: whose.clone(),
            ssrcs,
            port: None,
            datagrams,
        });
        drop(routes);
        Ok(Registered {
            routes: self.clone(),
            address: address.to_canonical(),
            id,
            datagrams: waiting,
        })
    }

    fn find(&self, from: SocketAddr, datagram: &[u8]) -> Found {
        let Some(datagram_kind) = classify(datagram) else {
            return Found::Nobody;
        };
        let mut routes = self.lock();
        let Some(here) = routes.get_mut(&from.ip().to_canonical()) else {
            return Found::Nobody;
        };
        let ssrc = match datagram_kind {
            Datagram::Ping => return Found::Echo,
            Datagram::SenderReport(report) => report.ssrc,
            Datagram::Rtp(rtp) => rtp.ssrc,
        };
        let Some(route) = here.iter_mut().find(|route| route.ssrcs.contains(&ssrc)) else {
            return Found::Nobody;
        };
        // The first port stays the session's: others behind the same address may not break in.
        if *route.port.get_or_insert(from.port()) == from.port() {
            // A session that is behind asks for it again.
            let _ = route.datagrams.try_send((from, datagram.to_vec()));
        }
        Found::Session
    }
}

impl Registered {
    /// The client sends from another port from now on, as happens when its NAT forgot it.
    pub(super) fn forget_port(&self) {
        let mut routes = self.routes.lock();
        let here = routes.get_mut(&self.address);
        for route in here.into_iter().flatten() {
            if route.id == self.id {
                route.port = None;
            }
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut routes = self.routes.lock();
        if let Some(here) = routes.get_mut(&self.address) {
            here.retain(|route| route.id != self.id);
            if here.is_empty() {
                routes.remove(&self.address);
            }
        }
    }
}

/// Reads the socket for ever.
pub(super) async fn run(socket: &UdpSocket, routes: &Routes) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        socket.readable().await?;
        // Errors are ICMP's and concern one datagram of some peer.
        while let Ok((len, from)) = socket.try_recv_from(&mut buffer) {
            let datagram = buffer.get(..len).unwrap_or_default();
            if routes.find(from, datagram) == Found::Echo {
                // A ping that is lost is a ping that is lost.
                let _ = socket.try_send_to(datagram, from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use inver_media::Codec;
    use inver_protocols::ftl::Stream;

    use super::*;

    fn attributes(ssrc: u32) -> Attributes {
        Attributes {
            video: Some(Stream {
                codec: Codec::H264,
                payload_type: 96,
                ssrc: ssrc + 1,
            }),
            audio: Some(Stream {
                codec: Codec::Opus,
                payload_type: 97,
                ssrc,
            }),
            ..Attributes::default()
        }
    }

    fn rtp(ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
        packet.extend(ssrc.to_be_bytes());
        packet.push(1);
        packet
    }

    fn room(name: &str) -> Whose {
        (name.parse().expect("a room's name"), ParticipantId::main())
    }

    fn from(text: &str) -> SocketAddr {
        text.parse().expect("an address with a port")
    }

    #[test]
    fn channels_that_share_a_number_are_told_apart_by_address() {
        let routes = Routes::default();
        let [one, two] = [from("192.0.2.1:4000"), from("192.0.2.2:4000")];
        let mut first = routes
            .register(one.ip(), &room("one"), &attributes(5), 1)
            .expect("is free");
        let mut second = routes
            .register(two.ip(), &room("two"), &attributes(6), 2)
            .expect("is free");
        assert_eq!(routes.find(one, &rtp(6)), Found::Session);
        assert_eq!(first.datagrams.try_recv().map(|(from, _)| from), Ok(one));
        assert!(second.datagrams.try_recv().is_err());
        assert_eq!(routes.find(two, &rtp(6)), Found::Session);
        assert_eq!(second.datagrams.try_recv().map(|(from, _)| from), Ok(two));
        let third = routes.register(one.ip(), &room("three"), &attributes(6), 3);
        assert!(third.is_err());
    }

    #[test]
    fn a_client_that_returns_has_its_ssrcs_back() {
        let routes = Routes::default();
        let client = from("192.0.2.1:4000");
        let before = routes.register(client.ip(), &room("one"), &attributes(5), 1);
        let mut after = routes
            .register(client.ip(), &room("one"), &attributes(5), 2)
            .expect("the session before has ended");
        // Its task notices late.
        drop(before);
        assert_eq!(routes.find(client, &rtp(5)), Found::Session);
        assert!(after.datagrams.try_recv().is_ok());
    }

    #[test]
    fn strangers_get_no_echo_and_reach_no_session() {
        let routes = Routes::default();
        let ping = [0x80, 250, 0, 0, 1, 2, 3, 4];
        let [client, other] = [from("192.0.2.1:4000"), from("192.0.2.1:4001")];
        assert_eq!(routes.find(client, &ping), Found::Nobody);
        let mut session = routes
            .register(client.ip(), &room("one"), &attributes(5), 1)
            .expect("is free");
        assert_eq!(routes.find(client, &ping), Found::Echo);
        assert_eq!(routes.find(from("192.0.2.9:1"), &ping), Found::Nobody);
        assert_eq!(routes.find(client, &rtp(77)), Found::Nobody);
        routes.find(client, &rtp(5));
        routes.find(other, &rtp(5));
        assert!(session.datagrams.try_recv().is_ok());
        assert!(
            session.datagrams.try_recv().is_err(),
            "another port broke in"
        );
        session.forget_port();
        routes.find(other, &rtp(5));
        assert_eq!(
            session.datagrams.try_recv().map(|(from, _)| from),
            Ok(other)
        );
        drop(session);
        assert_eq!(routes.find(client, &ping), Found::Nobody);
    }
}
