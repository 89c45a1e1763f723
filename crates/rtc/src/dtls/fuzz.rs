//! Drives ends of DTLS sessions with chosen bytes, for the fuzz target `dtls`.
//!
//! Beyond the absence of panics it holds three promises: chosen datagrams alone never lead to keys
//! or a connection, one datagram leads to a bounded number of outputs, and a real handshake never
//! ends with a certificate that is not the other end's.

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
                DtlsOutput::ApplicationData(_) => {
                    assert!(self.outputs.is_connected, "data of nobody");
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
