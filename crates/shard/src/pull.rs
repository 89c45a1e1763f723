//! Sessions in which we are the client: media pulled from another server.
//!
//! Each has sockets of its own. A server tells its clients apart by their addresses, so two
//! sessions with one server from one socket would be one to it; and what comes to these sockets is
//! nobody else's. Its media goes the way of a publisher's.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use inver_media::{Codec, Kind};
use inver_rtc::{Burst, Candidate, Direction, OfferedMedia, PeerConnection, Settings, Transport};
use quinn_udp::RecvMeta;

use crate::api::{Answer, DataForwarding, Error, Pull};
use crate::requests::refused;
use crate::session::Role;
use crate::shard::{FIRST_PULL, Shard};
use crate::source::Source;
use crate::udp::{self, Udp};

/// Sockets of one session at most: one for each bound address, which are one or two.
const SOCKETS: usize = 4;

/// Kernel buffer asked for: half a second of 30 Mbit/s.
const SOCKET_BUFFER: usize = 2 << 20;

/// Reads from one socket before the next one's turn.
const READ_BUDGET: usize = 4;

/// The sockets of one session.
#[derive(Debug)]
pub(crate) struct Pulled {
    udp: Udp,
    /// The session, once there is one.
    slot: Option<usize>,
    /// Which sockets may hold something.
    readable: Vec<bool>,
}

impl Shard {
    /// Makes an offer to receive sound and picture.
    pub(crate) fn pull(&mut self, request: Pull) -> Result<Answer, Error> {
        self.check_room(request.session)?;
        let now = Instant::now();
        let (pull, candidates) = self.open_pull().map_err(|error| {
            tracing::warn!(shard = self.index, %error, "no sockets for a session with a server");
            Error::Full
        })?;
        let settings = Settings {
            lite: false,
            codecs: Codec::ALL.to_vec(),
            sends_only: false,
            wallclock: self.wallclock,
            estimate: None,
            transport_feedback: true,
            candidates,
        };
        let media = [Kind::Audio, Kind::Video].map(|kind| OfferedMedia {
            kind,
            direction: Direction::Receive,
        });
        let made = PeerConnection::offer(&settings, &media, None, now);
        let (connection, sdp, pending) = match made {
            Ok(made) => made,
            Err(error) => {
                self.close_pull(pull);
                return Err(refused(error));
            }
        };
        let role = Role::Publisher {
            data: DataForwarding::Off,
            audio: None,
            video: None,
        };
        let index = self.index;
        self.sources
            .entry(request.source)
            .or_insert_with(|| Source::new(request.source, index));
        let slot = self.add(request.session, request.source, connection, role, now);
        self.sessions[slot].pending = Some(pending);
        self.sessions[slot].pull = Some(pull);
        self.pulls[pull].slot = Some(slot);
        self.drive(slot, None, now);
        Ok(Answer {
            sdp,
            ufrag: self.ufrag_of(request.session),
        })
    }

    /// Opens sockets; gives the addresses that they have on this machine's interfaces.
    fn open_pull(&mut self) -> io::Result<(usize, Vec<Candidate>)> {
        let mut sockets = Vec::new();
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for ip in self.config.bind.iter().take(SOCKETS) {
            match udp::bind_with(SocketAddr::new(*ip, 0), SOCKET_BUFFER) {
                Ok(socket) => sockets.push(socket),
                // A host without IPv6 still has IPv4.
                Err(error) => failure = error,
            }
        }
        if sockets.is_empty() {
            return Err(failure);
        }
        let entry = self.pulls.vacant_entry();
        let first = FIRST_PULL + entry.key() * SOCKETS;
        let udp = Udp::new(sockets, self.config.gso, self.poll.registry(), first)?;
        let ports: Vec<SocketAddr> = udp.addresses().collect();
        let own = self
            .candidates
            .iter()
            .filter(|candidate| candidate.transport == Transport::Udp);
        let candidates = own
            .filter_map(|candidate| {
                let ip = candidate.addr.ip();
                let port = ports.iter().find(|port| port.is_ipv4() == ip.is_ipv4())?;
                Some(Candidate {
                    transport: Transport::Udp,
                    addr: SocketAddr::new(ip, port.port()),
                })
            })
            .collect();
        let readable = vec![true; udp.len()];
        let pull = entry.key();
        entry.insert(Pulled {
            udp,
            slot: None,
            readable,
        });
        Ok((pull, candidates))
    }

    /// Takes the tracks over that the other side's answer left of our offer.
    pub(crate) fn note_pulled_tracks(&mut self, slot: usize) {
        let session = &mut self.sessions[slot];
        if session.pull.is_none() {
            return;
        }
        let has = |wanted: Kind| {
            let mut tracks = session.connection.tracks();
            let found = tracks.any(|(_, kind, _, direction)| {
                kind == wanted && matches!(direction, Direction::Receive | Direction::Both)
            });
            found.then(Vec::new)
        };
        let tracks = (has(Kind::Audio), has(Kind::Video));
        if let Role::Publisher { audio, video, .. } = &mut session.role {
            (*audio, *video) = tracks;
        }
    }

    /// Whether a socket of a pull may hold more than was read.
    pub(crate) fn pulls_wait(&self) -> bool {
        let mut sockets = self.pulls.iter().flat_map(|(_, pull)| &pull.readable);
        sockets.any(|more| *more)
    }

    /// A socket of a pull became ready.
    pub(crate) fn pull_ready(&mut self, token: usize, writable: bool) {
        let offset = token - FIRST_PULL;
        let (pull, port) = (offset / SOCKETS, offset % SOCKETS);
        let Some(pull) = self.pulls.get_mut(pull) else {
            return;
        };
        if writable {
            pull.udp.flush(port, self.poll.registry());
        }
        if let Some(readable) = pull.readable.get_mut(port) {
            *readable = true;
        }
    }

    /// Reads from the sockets of pulls, a bounded share of each.
    pub(crate) fn read_pulls(&mut self, buffers: &mut [Vec<u8>], metas: &mut [RecvMeta]) {
        let ready: Vec<(usize, usize)> = self
            .pulls
            .iter()
            .flat_map(|(key, pull)| {
                let ports = pull.readable.iter().enumerate();
                ports
                    .filter(|(_, more)| **more)
                    .map(move |(port, _)| (key, port))
            })
            .collect();
        for (key, port) in ready {
            for _ in 0..READ_BUDGET {
                let more = self.read_pull(key, port, buffers, metas);
                let Some(pull) = self.pulls.get_mut(key) else {
                    break;
                };
                pull.readable[port] = more;
                if !more {
                    break;
                }
            }
            self.send_due();
        }
    }

    /// Reads once. `true`: more may be there.
    fn read_pull(
        &mut self,
        key: usize,
        port: usize,
        buffers: &mut [Vec<u8>],
        metas: &mut [RecvMeta],
    ) -> bool {
        let Some(pull) = self.pulls.get(key) else {
            return false;
        };
        let count = match pull.udp.receive(port, buffers, metas) {
            Ok(0) => return false,
            Ok(count) => count,
            // An ICMP error about a candidate ends up here; the next read goes on.
            Err(_) => return true,
        };
        let Some(slot) = pull.slot else {
            return true;
        };
        let now = Instant::now();
        for (buffer, meta) in buffers.iter().zip(metas.iter()).take(count) {
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let data = &buffer[..meta.len.min(buffer.len())];
            for datagram in data.chunks(meta.stride.max(1)) {
                if !self.pulls.contains(key) {
                    return false;
                }
                self.totals.bytes_received += datagram.len() as u64;
                self.session_datagram(slot, (Transport::Udp, remote, None), datagram, now);
            }
        }
        true
    }

    pub(crate) fn send_pull(&mut self, key: usize, destination: SocketAddr, burst: &Burst) {
        if let Some(pull) = self.pulls.get_mut(key) {
            pull.udp
                .send(self.poll.registry(), destination, None, burst);
        }
    }

    /// Closes a pull's sockets.
    pub(crate) fn close_pull(&mut self, key: usize) {
        if let Some(mut pull) = self.pulls.try_remove(key) {
            pull.udp.close(self.poll.registry());
        }
    }
}
