//! What must not work: altered handshakes, missing proofs, weak offers, garbage.

use std::sync::Arc;
use std::time::Duration;

use super::link::{Fate, Link, Side};
use super::{other_certificate, ours, rsa_certificate};
use crate::dtls::certificate::Identity;
use crate::dtls::failure::Failure;
use crate::dtls::handshake::{Handshake, Outcome, Outgoing};
use crate::dtls::reassembly::Message;
use crate::dtls::record::Records;
use crate::dtls::secrets::Role;
use crate::dtls::wire::{self, HANDSHAKE_HEADER_LEN, extension, message};

fn identity() -> Arc<Identity> {
    let cert = crate::dtls::certificate();
    Arc::new(Identity::new(&cert.certificate, &cert.private_key).expect("fits"))
}

/// Runs a handshake message by message; `tamper` may alter each on its way. Gives who finished,
/// client and server, and the first failure.
fn handshake(tamper: impl FnMut(usize, &mut Message)) -> ([bool; 2], Option<Failure>) {
    handshake_of(identity(), identity(), tamper)
}

fn handshake_of(
    client: Arc<Identity>,
    server: Arc<Identity>,
    mut tamper: impl FnMut(usize, &mut Message),
) -> ([bool; 2], Option<Failure>) {
    let mut ends = [
        Handshake::new(Role::Client, client),
        Handshake::new(Role::Server, server),
    ];
    let mut finished = [false; 2];
    let mut outcome = ends[0].start().expect("a ClientHello");
    let mut receiver = 1;
    let mut count = 0;
    loop {
        let mut answer = Outcome::default();
        for sent in outcome.flight {
            let Outgoing::Handshake {
                kind,
                sequence,
                epoch,
                body,
            } = sent
            else {
                continue;
            };
            let mut message = Message {
                kind,
                sequence,
                epoch,
                body,
            };
            tamper(count, &mut message);
            count += 1;
            match ends[receiver].receive(&message) {
                Ok(outcome) => {
                    finished[receiver] |= outcome.session.is_some();
                    if !outcome.flight.is_empty() {
                        answer = outcome;
                    }
                }
                Err(failure) => return (finished, Some(failure)),
            }
        }
        if answer.flight.is_empty() {
            return (finished, None);
        }
        outcome = answer;
        receiver = 1 - receiver;
    }
}

#[test]
fn untouched_it_works() {
    assert_eq!(handshake(|_, _| ()), ([true; 2], None));
}

#[test]
fn no_altered_bit_is_accepted_by_both() {
    let mut lens = Vec::new();
    handshake(|_, message| lens.push(message.body.len()));
    assert_eq!(lens.len(), 11);
    let mut rng = fastrand::Rng::with_seed(7);
    for (target, len) in lens.iter().enumerate().filter(|(_, len)| **len > 0) {
        for _ in 0..60 {
            let (at, bit) = (rng.usize(..*len), rng.u8(..8));
            let mut is_altered = false;
            let (finished, _) = handshake(|count, message| {
                if count == target
                    && let Some(byte) = message.body.get_mut(at)
                {
                    *byte ^= 1 << bit;
                    is_altered = true;
                }
            });
            // ECDSA signatures vary in length: a late byte may not be there to alter.
            if !is_altered {
                assert_eq!(finished, [true; 2]);
                continue;
            }
            assert_ne!(
                finished, [true; 2],
                "message {target}, byte {at}, bit {bit}"
            );
            assert!(
                !finished[1] || target == 10,
                "the server finished on message {target}"
            );
        }
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    let mut seen = 0;
    let (finished, failure) = handshake(|_, message| {
        if message.kind == message::CERTIFICATE {
            seen += 1;
            if seen == 2 {
                message.body = vec![0, 0, 0];
            }
        }
    });
    assert_eq!(
        (finished, failure),
        ([false; 2], Some(Failure::NoCertificate))
    );
}

#[test]
fn a_stolen_certificate_is_refused() {
    // The client shows another's certificate, whose key it does not have.
    for stolen in [other_certificate(), rsa_certificate()] {
        let mut seen = 0;
        let (finished, failure) = handshake(|_, message| {
            seen += usize::from(message.kind == message::CERTIFICATE);
            if message.kind == message::CERTIFICATE && seen == 2 {
                message.body.clear();
                wire::put_vector(&mut message.body, 3, |body| {
                    wire::put_vector(body, 3, |body| body.extend(&stolen.certificate));
                });
            }
        });
        assert_eq!(finished, [false; 2]);
        assert_eq!(failure, Some(Failure::BadSignature("CertificateVerify")));
    }
}

#[test]
fn messages_out_of_turn_are_refused() {
    // The proof of the certificate is left out: Finished comes where it is due.
    let (_, failure) = handshake(|_, message| {
        if message.kind == message::CERTIFICATE_VERIFY {
            message.kind = message::FINISHED;
            message.epoch = 1;
        }
    });
    assert_eq!(
        failure,
        Some(Failure::Unexpected {
            wanted: "CertificateVerify",
            got: message::FINISHED
        })
    );
    // A Finished in the clear.
    let (_, failure) = handshake(|_, message| message.epoch = 0);
    assert!(matches!(
        failure,
        Some(Failure::Unexpected {
            wanted: "Finished",
            ..
        })
    ));
}

#[test]
fn a_server_certificate_that_does_not_fit_the_suite_is_refused() {
    let rsa = rsa_certificate();
    let rsa = Identity::new(&rsa.certificate, &rsa.private_key).expect("fits");
    let (_, failure) = handshake_of(identity(), Arc::new(rsa), |_, message| {
        if message.kind == message::SERVER_HELLO {
            // From TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 to its ECDSA sibling.
            let at = message
                .body
                .windows(2)
                .position(|pair| pair == [0xc0, 0x2f]);
            message.body[at.expect("an RSA suite") + 1] = 0x2b;
        }
    });
    assert!(matches!(failure, Some(Failure::NotOffered(_))));
}

#[test]
fn a_server_that_wants_a_master_key_identifier_is_refused() {
    let (_, failure) = handshake(|_, message| {
        if message.kind == message::SERVER_HELLO {
            // Ours ends with use_srtp: its length, one profile, an empty identifier.
            let body = &mut message.body;
            let end = body.len();
            assert_eq!(body[end - 7..end - 5], [0, 5]);
            assert_eq!(body.pop(), Some(0));
            body.extend([1, 7]);
            body[end - 6] += 1;
            // The length of all extensions is behind version, random, session, suite and
            // compression.
            body[2 + 32 + 1 + 2 + 1 + 1] += 1;
        }
    });
    assert!(matches!(
        failure,
        Some(Failure::NotOffered("SRTP master key identifier"))
    ));
}

struct Offer {
    version: u16,
    suites: Vec<u16>,
    srtp: Vec<u16>,
    groups: Vec<u16>,
    schemes: Vec<u16>,
    extended_master_secret: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            version: wire::VERSION,
            suites: vec![0xc02b],
            srtp: vec![1, 7, 8],
            groups: vec![23],
            schemes: vec![0x0403],
            extended_master_secret: true,
        }
    }
}

impl Offer {
    fn answer(&self) -> Result<Outcome, Failure> {
        let list = |body: &mut Vec<u8>, values: &[u16]| {
            wire::put_vector(body, 2, |body| {
                values.iter().for_each(|v| wire::put_u16(body, *v))
            });
        };
        let mut body = Vec::new();
        wire::put_u16(&mut body, self.version);
        body.extend([7; 32]);
        body.extend([0, 0]);
        list(&mut body, &self.suites);
        body.extend([1, 0]);
        wire::put_vector(&mut body, 2, |body| {
            // A GREASE extension, as Chromium sends.
            wire::put_extension(body, 0x0a0a, |body| body.push(0));
            wire::put_extension(body, extension::SUPPORTED_GROUPS, |b| list(b, &self.groups));
            wire::put_extension(body, extension::SIGNATURE_ALGORITHMS, |b| {
                list(b, &self.schemes)
            });
            wire::put_extension(body, extension::USE_SRTP, |body| {
                list(body, &self.srtp);
                body.push(0);
            });
            if self.extended_master_secret {
                wire::put_extension(body, extension::EXTENDED_MASTER_SECRET, |_| ());
            }
        });
        let mut server = Handshake::new(Role::Server, identity());
        server.receive(&Message {
            kind: message::CLIENT_HELLO,
            sequence: 0,
            epoch: 0,
            body,
        })
    }

    fn refusal(&self) -> Failure {
        self.answer().err().expect("a refusal")
    }

    fn chosen_srtp(&self) -> u16 {
        let flight = self.answer().expect("an answer").flight;
        let Outgoing::Handshake { body, .. } = &flight[0] else {
            panic!("a ServerHello first")
        };
        let hello = wire::ServerHello::parse(body).expect("well-formed");
        let profiles: Vec<u16> = wire::u16s(hello.extensions.srtp.expect("SRTP")).collect();
        assert_eq!(profiles.len(), 1);
        profiles[0]
    }
}

#[test]
fn the_server_prefers_gcm_whatever_the_clients_order() {
    let srtp = |srtp: &[u16]| Offer {
        srtp: srtp.to_vec(),
        ..Offer::default()
    };
    assert_eq!(srtp(&[1, 7, 8]).chosen_srtp(), 8);
    assert_eq!(srtp(&[2, 1, 7]).chosen_srtp(), 7);
    assert_eq!(srtp(&[2, 1]).chosen_srtp(), 1);
    assert_eq!(srtp(&[2]).refusal(), Failure::NoCommonSrtpProfile);
}

#[test]
fn weak_or_foreign_offers_are_refused_by_name() {
    let default = Offer::default;
    assert!(default().answer().is_ok());
    assert_eq!(
        Offer {
            version: 0xfeff,
            ..default()
        }
        .refusal(),
        Failure::Version(0xfeff)
    );
    assert_eq!(
        Offer {
            suites: vec![0xc013],
            ..default()
        }
        .refusal(),
        Failure::NoCommonSuite
    );
    assert_eq!(
        Offer {
            suites: vec![0xc02f],
            ..default()
        }
        .refusal(),
        Failure::NoCommonSuite
    );
    assert_eq!(
        Offer {
            groups: vec![25],
            ..default()
        }
        .refusal(),
        Failure::NoCommonGroup
    );
    let rsa_only = Offer {
        schemes: vec![0x0401],
        ..default()
    };
    assert_eq!(rsa_only.refusal(), Failure::NoCommonSignatureScheme);
    let plain = Offer {
        extended_master_secret: false,
        ..default()
    };
    assert_eq!(plain.refusal(), Failure::NoExtendedMasterSecret);
}

/// Datagrams that carry the handshake messages of `datagram` in pieces of `len` bytes, last
/// piece first.
fn refragmented(datagram: &[u8], len: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for record in Records::new(datagram) {
        let (header, body) = record.fragment.split_at(HANDSHAKE_HEADER_LEN);
        let sequence = u16::from_be_bytes([header[4], header[5]]);
        for at in (0..body.len()).step_by(len) {
            let range = at..(at + len).min(body.len());
            let mut piece = Vec::new();
            piece.extend([22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, at as u8]);
            wire::put_vector(&mut piece, 2, |piece| {
                wire::put_handshake_header(piece, header[0], sequence, body.len(), range.clone());
                piece.extend_from_slice(&body[range]);
            });
            pieces.push(piece);
        }
    }
    pieces.reverse();
    pieces
}

#[test]
fn a_client_hello_in_many_pieces_is_understood() {
    for len in [1, 7, 50] {
        let mut link = Link::new(
            ours(&other_certificate()),
            ours(&crate::dtls::certificate()),
        );
        let (tx, hellos) = std::sync::mpsc::channel();
        link.fate = Box::new(move |side, datagram| {
            // The first ClientHello is taken away and comes back in pieces.
            if side == Side::Client && tx.send(datagram.to_vec()).is_ok() {
                return Fate::Lose;
            }
            Fate::Deliver(vec![Duration::from_millis(5)])
        });
        link.run_until(|link| link.sent > 0);
        let hello = hellos.recv().expect("a ClientHello");
        drop(hellos);
        for piece in refragmented(&hello, len) {
            link.inject(Side::Server, &piece);
        }
        link.run_until(Link::is_connected);
        assert!(
            link.elapsed() < Duration::from_millis(100),
            "no repeat was needed"
        );
    }
}

#[test]
fn garbage_between_the_datagrams_does_no_harm() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut link = Link::new(ours(&rsa_certificate()), ours(&crate::dtls::certificate()));
        while !link.is_connected() {
            for _ in 0..20 {
                let mut garbage: Vec<u8> = (0..rng.usize(..300)).map(|_| rng.u8(..)).collect();
                let side = if rng.bool() {
                    Side::Client
                } else {
                    Side::Server
                };
                // Some begin like records, of data or of an epoch that needs keys.
                if garbage.len() > 13 && rng.bool() {
                    let content = if rng.bool() { 23 } else { 22 };
                    let epoch = if content == 23 {
                        rng.u8(..3)
                    } else {
                        rng.u8(1..3)
                    };
                    garbage[..5].copy_from_slice(&[content, 0xfe, 0xfd, 0, epoch]);
                    let len = garbage.len() as u16 - 13;
                    garbage[11..13].copy_from_slice(&len.to_be_bytes());
                }
                link.inject(side, &garbage);
            }
            let sent = link.sent;
            link.run_until(|link| link.sent > sent || link.is_connected());
        }
        assert_eq!(link.peer(Side::Client).keys, link.peer(Side::Server).keys);
        assert_eq!(link.peer(Side::Client).error, None);
        assert_eq!(link.peer(Side::Server).error, None);
    }
}

#[test]
fn damaged_datagrams_never_panic() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut link = Link::new(ours(&rsa_certificate()), ours(&crate::dtls::certificate()));
        let (tx, seen) = std::sync::mpsc::channel();
        link.fate = Box::new(move |side, datagram| {
            tx.send((side, datagram.to_vec()))
                .expect("the test listens");
            Fate::Deliver(vec![Duration::from_millis(5)])
        });
        for _ in 0..40 {
            let sent = link.sent;
            let is_over = |link: &Link| {
                link.is_connected()
                    || [Side::Client, Side::Server]
                        .iter()
                        .any(|s| link.peer(*s).error.is_some())
            };
            link.run_until(|link| link.sent > sent || is_over(link));
            while let Ok((side, mut datagram)) = seen.try_recv() {
                for _ in 0..rng.usize(..4) {
                    let at = rng.usize(..datagram.len());
                    datagram[at] = rng.u8(..);
                }
                datagram.truncate(rng.usize(..=datagram.len()));
                let receiver = if side == Side::Client {
                    Side::Server
                } else {
                    Side::Client
                };
                if rng.u8(..4) == 0 {
                    link.inject(receiver, &datagram);
                }
            }
            if is_over(&link) {
                break;
            }
        }
    }
}

#[test]
fn a_connected_end_ignores_what_is_not_protected() {
    let mut link = Link::new(
        ours(&other_certificate()),
        ours(&crate::dtls::certificate()),
    );
    link.run_until(Link::is_connected);
    let fatal = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let data = [23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 98, 0, 2, 1, 2];
    for side in [Side::Client, Side::Server] {
        link.inject(side, &fatal);
        link.inject(side, &data);
    }
    link.send(Side::Client, b"still here");
    link.run_until(|link| !link.peer(Side::Server).data.is_empty());
    assert_eq!(link.peer(Side::Server).data, [b"still here"]);
    assert_eq!(link.peer(Side::Client).error, None);
}

#[test]
fn a_failure_tells_the_peer_and_falls_silent() {
    let mut link = Link::new(
        ours(&other_certificate()),
        ours(&crate::dtls::certificate()),
    );
    // A complete handshake message that is no ClientHello.
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13];
    wire::put_handshake_header(&mut record, message::CLIENT_HELLO, 0, 1, 0..1);
    record.push(0);
    link.inject(Side::Server, &record);
    assert!(link.peer(Side::Server).error.is_some());
    link.inject(Side::Server, &record);
    link.run_until(|link| link.peer(Side::Client).error.is_some());
    assert!(
        link.elapsed() < Duration::from_secs(1),
        "the alert told the client"
    );
    assert!(link.peer(Side::Server).dtls.is_closed());
}
