//! Two ends joined by a network whose clock and misfortunes the test decides.

use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, SrtpProfile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What becomes of a datagram: lost, or delivered once for each delay.
pub(super) enum Fate {
    Lose,
    Deliver(Vec<Duration>),
}

/// Decides what becomes of what a side sends.
type Network = dyn FnMut(Side, &[u8]) -> Fate;

pub(super) struct Peer {
    pub(super) dtls: Box<dyn DtlsInstance>,
    pub(super) is_connected: bool,
    pub(super) keys: Option<(Vec<u8>, SrtpProfile)>,
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) data: Vec<Vec<u8>>,
    pub(super) is_closed_by_peer: bool,
    pub(super) error: Option<String>,
    timeout: Instant,
}

impl Peer {
    fn new(mut dtls: Box<dyn DtlsInstance>, is_active: bool) -> Self {
        dtls.set_active(is_active);
        dtls.handle_timeout(super::start())
            .expect("nothing is due yet");
        Self {
            dtls,
            is_connected: false,
            keys: None,
            certificate: None,
            data: Vec::new(),
            is_closed_by_peer: false,
            error: None,
            timeout: super::start(),
        }
    }

    /// Drains to `Timeout`; gives what is to be sent.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut buf = [0; 2000];
        let mut datagrams = Vec::new();
        loop {
            match self.dtls.poll_output(&mut buf) {
                DtlsOutput::Packet(datagram) => datagrams.push(datagram.to_vec()),
                DtlsOutput::Connected => self.is_connected = true,
                DtlsOutput::PeerCert(der) => self.certificate = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => {
                    self.keys = Some((keys.to_vec(), profile));
                }
                DtlsOutput::ApplicationData(data) => self.data.push(data.to_vec()),
                DtlsOutput::CloseNotify => self.is_closed_by_peer = true,
                DtlsOutput::Timeout(at) => {
                    self.timeout = at;
                    return datagrams;
                }
                other => panic!("unexpected output {other:?}"),
            }
        }
    }

    fn note<E: std::fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(error) = result {
            self.error.get_or_insert(error.to_string());
        }
    }
}

/// Far more steps than any scenario takes; a timeout that is always due would never end.
const MAX_STEPS: usize = 10_000;

pub(super) struct Link {
    peers: [Peer; 2],
    now: Instant,
    /// Arrival, tie-breaker, receiver, datagram.
    flying: Vec<(Instant, u64, Side, Vec<u8>)>,
    pub(super) fate: Box<Network>,
    pub(super) sent: u64,
}

impl Link {
    pub(super) fn new(client: Box<dyn DtlsInstance>, server: Box<dyn DtlsInstance>) -> Self {
        Self {
            peers: [Peer::new(client, true), Peer::new(server, false)],
            now: super::start(),
            flying: Vec::new(),
            fate: Box::new(|_, _| Fate::Deliver(vec![Duration::from_millis(5)])),
            sent: 0,
        }
    }

    pub(super) fn peer(&self, side: Side) -> &Peer {
        &self.peers[side as usize]
    }

    pub(super) fn peer_mut(&mut self, side: Side) -> &mut Peer {
        &mut self.peers[side as usize]
    }

    pub(super) fn is_connected(&self) -> bool {
        self.peers.iter().all(|peer| peer.is_connected)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - super::start()
    }

    pub(super) fn send(&mut self, side: Side, data: &[u8]) {
        let accepted = self
            .peer_mut(side)
            .dtls
            .send_application_data(data)
            .expect("open");
        assert_eq!(accepted, data.len());
    }

    /// Puts a datagram into `receiver` now, as if it had come from the network.
    pub(super) fn inject(&mut self, receiver: Side, datagram: &[u8]) {
        let peer = self.peer_mut(receiver);
        let result = peer.dtls.handle_packet(datagram);
        peer.note(result);
    }

    fn collect(&mut self) {
        for side in [Side::Client, Side::Server] {
            for datagram in self.peer_mut(side).drain() {
                self.sent += 1;
                let receiver = if side == Side::Client {
                    Side::Server
                } else {
                    Side::Client
                };
                if let Fate::Deliver(delays) = (self.fate)(side, &datagram) {
                    for (copy, delay) in (0..).zip(delays) {
                        let order = self.sent * 8 + copy;
                        self.flying
                            .push((self.now + delay, order, receiver, datagram.clone()));
                    }
                }
            }
        }
    }

    /// Lets time pass until `is_done`. Packets tell no time, as in str0m: only timeouts do.
    pub(super) fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..MAX_STEPS {
            self.collect();
            if is_done(self) {
                return;
            }
            assert!(
                self.elapsed() < Duration::from_secs(60),
                "not done: {:?}",
                self.errors()
            );
            self.flying.sort_unstable();
            let arrival = self.flying.first().map(|flying| flying.0);
            let timeout = self
                .peers
                .iter()
                .map(|peer| peer.timeout)
                .min()
                .expect("two peers");
            if let Some(at) = arrival.filter(|at| *at <= timeout.max(self.now)) {
                self.now = self.now.max(at);
                let (_, _, receiver, datagram) = self.flying.remove(0);
                self.inject(receiver, &datagram);
            } else {
                self.now = self.now.max(timeout);
                let now = self.now;
                for peer in self.peers.iter_mut().filter(|peer| peer.timeout <= now) {
                    let result = peer.dtls.handle_timeout(now);
                    peer.note(result);
                }
            }
        }
        let dtls = self.peers.each_ref().map(|peer| &peer.dtls);
        panic!(
            "time stands still at {:?}: {dtls:?}, {:?}",
            self.elapsed(),
            self.errors()
        );
    }

    fn errors(&self) -> [Option<&String>; 2] {
        [self.peers[0].error.as_ref(), self.peers[1].error.as_ref()]
    }
}

impl PartialOrd for Side {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Side {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as usize).cmp(&(*other as usize))
    }
}
