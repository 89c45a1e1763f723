//! Drives ends of DTLS sessions with chosen bytes, for the fuzz target `dtls`.
//!
//! Beyond the absence of panics it holds four promises: chosen datagrams alone never lead to keys
//! or a connection, one datagram leads to a bounded number of outputs, a real handshake never
//! ends with a certificate that is not the other end's, and nothing forged harms a session.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{
    DtlsCert, DtlsInstance, DtlsOutput, DtlsProvider as _, DtlsVersion, KeyingMaterial,
};

use super::certificate::PublicKey;
use super::wire::{Reader, Signature};
use super::{Provider, certificate};

/// The most that one datagram, timeout or call may lead to: every queue's bound, and then some.
const MAX_OUTPUTS: usize = 1024;
const MAX_ROUNDS: usize = 64;

#[derive(Default)]
struct Outputs {
    datagrams: Vec<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    keys: Option<KeyingMaterial>,
    is_connected: bool,
    data: Vec<Vec<u8>>,
}

/// One end and what came out of it so far.
struct End {
    dtls: Box<dyn DtlsInstance>,
    now: Instant,
    outputs: Outputs,
    buffer: Vec<u8>,
}

impl End {
    fn new(certificate: &DtlsCert, is_client: bool) -> Self {
        let now = start();
        let mut dtls = Provider
            .new_dtls(certificate, now, DtlsVersion::Dtls12, None)
            .expect("our own certificate and key fit");
        dtls.set_active(is_client);
        let mut end = Self {
            dtls,
            now,
            outputs: Outputs::default(),
            buffer: vec![0; 1 << 16],
        };
        end.advance(now);
        end
    }

    fn receive(&mut self, datagram: &[u8]) {
        // A failure is an answer like any other; what follows must be silence.
        let _ = self.dtls.handle_packet(datagram);
        self.drain();
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        let _ = self.dtls.handle_timeout(self.now);
        self.drain();
    }

    /// Drains to the next timeout and gives it back.
    fn drain(&mut self) -> Instant {
        for _ in 0..MAX_OUTPUTS {
            match self.dtls.poll_output(&mut self.buffer) {
                DtlsOutput::Packet(datagram) => self.outputs.datagrams.push(datagram.to_vec()),
                DtlsOutput::PeerCert(der) => self.outputs.certificate = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(keys, _) => {
                    assert!(self.outputs.certificate.is_some(), "keys of nobody");
                    self.outputs.keys = Some(keys);
                }
                DtlsOutput::Connected => {
                    assert!(self.outputs.certificate.is_some(), "connected to nobody");
                    self.outputs.is_connected = true;
                }
                DtlsOutput::ApplicationData(data) => {
                    assert!(self.outputs.is_connected, "data of nobody");
                    self.outputs.data.push(data.to_vec());
                }
                DtlsOutput::Timeout(at) => return at,
                DtlsOutput::BufferTooSmall { needed } => {
                    assert!(needed > self.buffer.len(), "the buffer was enough");
                    self.buffer.resize(needed, 0);
                }
                _ => {}
            }
        }
        panic!("outputs never end");
    }

    fn take_datagrams(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outputs.datagrams)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one look at the clock that virtual time needs"
)]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn other_certificate() -> &'static DtlsCert {
    static OTHER: OnceLock<DtlsCert> = OnceLock::new();
    OTHER.get_or_init(|| {
        Provider
            .generate_certificate()
            .expect("the backend makes certificates")
    })
}

/// The datagrams in `rest`, each after its length in 16 bits; a last one may be cut short.
fn datagrams(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(rest);
    std::iter::from_fn(move || {
        let len = usize::from(reader.u16()?);
        reader.take(len.min(reader.rest().len()))
    })
}

/// Runs one input of the fuzz target: the first byte chooses what is tried (a server or a client
/// that hears hostile datagrams only, two ends with a hostile network between them, or the parser
/// of certificates), the rest is datagrams, each after its length in 16 bits.
///
/// # Panics
/// When a promise of this module does not hold, which is what the fuzzer looks for.
pub fn fuzz_dtls(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    match mode % 5 {
        0 => hostile_peer(false, rest),
        1 => hostile_peer(true, rest),
        2 => hostile_network(rest, false),
        3 => hostile_network(rest, true),
        _ => parse_certificate(rest),
    }
}

/// An end that hears nothing but `rest`.
fn hostile_peer(is_client: bool, rest: &[u8]) {
    let mut end = End::new(&certificate(), is_client);
    for datagram in datagrams(rest) {
        end.receive(datagram);
        end.advance(end.now + Duration::from_millis(60));
    }
    // Whoever saw the private keys of neither end cannot have made a session.
    assert!(!end.outputs.is_connected && end.outputs.keys.is_none());
}

/// Two real ends; `rest` is injected between their datagrams, or edits them (pairs of position
/// and mask in the datagram that is under way).
fn hostile_network(rest: &[u8], edits: bool) {
    let (ours, theirs) = (certificate(), other_certificate());
    let mut ends = [End::new(theirs, true), End::new(&ours, false)];
    let mut hostile = datagrams(rest);
    for _ in 0..MAX_ROUNDS {
        let mut is_quiet = true;
        for from in [0, 1] {
            for mut datagram in ends[from].take_datagrams() {
                is_quiet = false;
                if edits {
                    let changes = hostile.next().unwrap_or_default().chunks_exact(3);
                    for change in changes {
                        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
                        if let Some(byte) = datagram.get_mut(at) {
                            *byte ^= change[2];
                        }
                    }
                } else if let Some(injected) = hostile.next() {
                    ends[1 - from].receive(injected);
                }
                ends[1 - from].receive(&datagram);
            }
        }
        if is_quiet {
            let next = ends.iter_mut().map(End::drain).min().unwrap_or_else(start);
            let now = ends[0].now.max(next);
            if now > start() + Duration::from_secs(40) {
                break;
            }
            ends.iter_mut().for_each(|end| end.advance(now));
        }
    }
    for (end, peer) in [(0, &ours), (1, theirs)] {
        if let Some(certificate) = &ends[end].outputs.certificate {
            assert_eq!(certificate, &peer.certificate, "not the peer's");
        }
    }
    let keys = ends.each_ref().map(|end| end.outputs.keys.as_deref());
    if let [Some(client), Some(server)] = keys {
        assert_eq!(client, server, "the ends agree");
    }
    if ends.iter().all(|end| end.outputs.is_connected) {
        for datagram in hostile {
            ends.iter_mut().for_each(|end| end.receive(datagram));
        }
        assert_data_flows(&mut ends);
    }
}

/// Nothing that came from outside has harmed a session.
fn assert_data_flows(ends: &mut [End; 2]) {
    ends.iter_mut().for_each(|end| {
        end.take_datagrams();
    });
    for from in [0, 1] {
        let accepted = ends[from].dtls.send_application_data(b"still here");
        assert!(matches!(accepted, Ok(10)), "the session is open");
        ends[from].drain();
        for datagram in ends[from].take_datagrams() {
            ends[1 - from].receive(&datagram);
        }
        assert_eq!(ends[1 - from].outputs.data, [b"still here"]);
    }
}

fn parse_certificate(der: &[u8]) {
    let Ok(key) = PublicKey::from_certificate(der) else {
        return;
    };
    let _ = key.authentication();
    for scheme in super::certificate::SCHEMES {
        let bytes = der;
        let _ = key.verify(b"", Signature { scheme, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagrams that begin like records and handshake messages, or do not.
    fn input(rng: &mut fastrand::Rng, mode: u8) -> Vec<u8> {
        let mut input = vec![mode];
        for _ in 0..rng.usize(..12) {
            let datagram = match mode {
                3 => edits(rng),
                _ => datagram(rng),
            };
            input.extend((datagram.len() as u16).to_be_bytes());
            input.extend(datagram);
        }
        input
    }

    fn edits(rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut edits = Vec::new();
        for _ in 0..rng.usize(..3).saturating_sub(1) {
            edits.extend(rng.u16(..1100).to_be_bytes());
            edits.push(1 << rng.u8(..8));
        }
        edits
    }

    fn datagram(rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut datagram = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let contents = match rng.u8(..4) {
                0 => (0..rng.usize(..60)).map(|_| rng.u8(..)).collect(),
                1 => vec![rng.u8(1..3), rng.u8(..60)],
                _ => handshake(rng),
            };
            datagram.extend([rng.u8(20..24), 0xfe, 0xfd, 0, rng.u8(..2)]);
            datagram.extend([0, 0, 0, 0, 0, rng.u8(..)]);
            datagram.extend((contents.len() as u16).to_be_bytes());
            datagram.extend(contents);
        }
        if rng.u8(..8) == 0 {
            datagram.truncate(rng.usize(..=datagram.len()));
        }
        datagram
    }

    fn handshake(rng: &mut fastrand::Rng) -> Vec<u8> {
        const KINDS: [u8; 10] = [1, 2, 3, 11, 12, 13, 14, 15, 16, 20];
        let len = rng.u8(..80);
        let (at, end) = match rng.bool() {
            true => (0, len),
            false => (rng.u8(..=len), rng.u8(..=len)),
        };
        let piece = end.saturating_sub(at);
        let mut message = vec![KINDS[rng.usize(..10)], 0, 0, len, 0, rng.u8(..4)];
        message.extend([0, 0, at, 0, 0, piece]);
        message.extend((0..piece).map(|_| if rng.bool() { 0 } else { rng.u8(..) }));
        message
    }

    #[test]
    fn every_promise_holds_for_seeded_inputs() {
        for seed in 0..60 {
            let mut rng = fastrand::Rng::with_seed(seed);
            for mode in 0..4 {
                fuzz_dtls(&input(&mut rng, mode));
            }
        }
        let mut rng = fastrand::Rng::with_seed(60);
        for _ in 0..2000 {
            let mut der = certificate().certificate;
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..der.len());
                der[at] = rng.u8(..);
            }
            fuzz_dtls(&[&[4], &der[..rng.usize(..=der.len())]].concat());
        }
    }
}
