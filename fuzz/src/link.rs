//! Two peer connections over a network in memory: a server as Inver runs it, and a client.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant, SystemTime};

use inver_media::{Codec, Kind};
use inver_rtc::{
    Candidate, Direction, Event, Offer, OfferedMedia, Output, PeerConnection, Settings, Transport,
};

/// Where the server is.
pub const SERVER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 7000));

/// Where the client is.
const CLIENT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5000));

/// Longest virtual time until the two are connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Outputs of one peer connection that are taken between two inputs; more is a loop without end.
const MOST_OUTPUTS: usize = 10_000;

/// What a peer connection is made with: all codecs, all transports, estimation on.
pub fn settings(lite: bool) -> Settings {
    let candidate = |transport, addr| Candidate { transport, addr };
    Settings {
        lite,
        sends_only: false,
        wallclock: (Instant::now(), SystemTime::UNIX_EPOCH),
        transport_feedback: true,
        codecs: Codec::ALL.to_vec(),
        estimate: Some(1_000_000),
        candidates: if lite {
            vec![
                candidate(Transport::Udp, SERVER),
                candidate(Transport::Tcp, SERVER),
            ]
        } else {
            vec![candidate(Transport::Udp, CLIENT)]
        },
    }
}

/// A server's peer connection and a client's, with the virtual time of both.
#[derive(Debug)]
pub struct Link {
    /// The server's end, which answered.
    pub server: PeerConnection,
    /// The client's end, which offered to send and to receive sound and picture.
    pub client: PeerConnection,
    /// Now.
    pub now: Instant,
    /// A way to change what the client sends next: bytes to turn and the bits to turn in them.
    pub damage: Option<(usize, u8)>,
    /// Whether the server failed; it takes nothing more then.
    pub failed: bool,
    connected: bool,
}

impl Link {
    /// Both ends, before the first datagram.
    pub fn new() -> Self {
        let now = Instant::now();
        let media = [Kind::Audio, Kind::Video].map(|kind| OfferedMedia {
            kind,
            direction: Direction::Both,
        });
        let (mut client, offer, pending) =
            PeerConnection::offer(&settings(false), &media, Some("data"), now)
                .expect("there is media to offer");
        let offer = Offer::parse(&offer, true).expect("our own offer is usable");
        let (server, answer) =
            PeerConnection::answer(&settings(true), offer, now).expect("all codecs are in common");
        client
            .accept_answer(pending, &answer)
            .expect("our own answer is usable");
        Self {
            server,
            client,
            now,
            damage: None,
            failed: false,
            connected: false,
        }
    }

    /// Both ends, after the handshakes.
    pub fn connected() -> Self {
        let mut link = Self::new();
        let end = link.now + PATIENCE;
        while !link.connected {
            assert!(link.now < end, "two ends of ours connect");
            link.pass(Duration::from_millis(10));
        }
        link
    }

    /// Gives the server a datagram of an attacker or of the client.
    pub fn inject(&mut self, transport: Transport, source: SocketAddr, datagram: &[u8]) {
        if self.failed {
            return;
        }
        let taken = self
            .server
            .handle_datagram(transport, source, datagram, self.now);
        self.failed = taken.is_err();
        self.exchange();
    }

    /// Lets time pass and everything travel that is on its way.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        // A client that fails stays silent, which the server has to bear.
        let _ = self.client.handle_timeout(self.now);
        self.failed |= !self.failed && self.server.handle_timeout(self.now).is_err();
        self.exchange();
    }

    fn exchange(&mut self) {
        for _ in 0..100 {
            let mut moved = false;
            for mut datagram in drain(&mut self.client, self.now, &mut false).unwrap_or_default() {
                moved = true;
                if let Some((at, bits)) = self.damage.take()
                    && !datagram.is_empty()
                {
                    let at = at % datagram.len();
                    datagram[at] ^= bits;
                }
                if self.failed {
                    continue;
                }
                let taken =
                    self.server
                        .handle_datagram(Transport::Udp, CLIENT, &datagram, self.now);
                self.failed = taken.is_err();
            }
            if !self.failed {
                match drain(&mut self.server, self.now, &mut self.connected) {
                    Some(datagrams) => {
                        for datagram in datagrams {
                            moved = true;
                            let _ = self.client.handle_datagram(
                                Transport::Udp,
                                SERVER,
                                &datagram,
                                self.now,
                            );
                        }
                    }
                    None => self.failed = true,
                }
            }
            if !moved {
                return;
            }
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes all outputs; gives the datagrams, or `None` where the peer connection failed.
fn drain(
    peer_connection: &mut PeerConnection,
    now: Instant,
    connected: &mut bool,
) -> Option<Vec<Vec<u8>>> {
    let mut datagrams = Vec::new();
    for _ in 0..MOST_OUTPUTS {
        match peer_connection.poll_output(now).ok()? {
            Output::Timeout(_) => return Some(datagrams),
            Output::Transmit(transmit) => datagrams.push(transmit.contents),
            Output::Event(Event::Connected) => *connected = true,
            Output::Event(_) => {}
        }
    }
    panic!("a peer connection gives outputs without end");
}
