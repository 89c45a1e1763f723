//! Whole sessions over a virtual network: against our own other role, and against dimpl as an
//! independent implementation.

mod engine;
mod hostile;
mod link;
mod openssl;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion, SrtpProfile};

use super::{Provider, certificate};
use link::{Fate, Link, Side};

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "the one look at the clock that virtual time needs"
)]
pub(super) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn rsa_certificate() -> DtlsCert {
    static RSA: OnceLock<DtlsCert> = OnceLock::new();
    let generate = || {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("RSA-2048");
        let params = rcgen::CertificateParams::new(vec!["test".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("self-signed");
        DtlsCert {
            certificate: certificate.der().to_vec(),
            private_key: key.serialize_der(),
        }
    };
    RSA.get_or_init(generate).clone()
}

fn ours(certificate: &DtlsCert) -> Box<dyn DtlsInstance> {
    Provider
        .new_dtls(certificate, start(), DtlsVersion::Dtls12, None)
        .expect("an end")
}

fn dimpl(certificate: &DtlsCert, version: DtlsVersion) -> Box<dyn DtlsInstance> {
    let provider = str0m::crypto::from_feature_flags().dtls_provider;
    provider
        .new_dtls(certificate, start(), version, Some(1200))
        .expect("an end")
}

fn other_certificate() -> DtlsCert {
    Provider.generate_certificate().expect("a certificate")
}

/// Runs a session through: handshake, data both ways, orderly close.
fn assert_session(
    client: (Box<dyn DtlsInstance>, &DtlsCert),
    server: (Box<dyn DtlsInstance>, &DtlsCert),
) {
    let mut link = Link::new(client.0, server.0);
    link.run_until(|link| link.is_connected());
    let keys = |side: Side| link.peer(side).keys.clone().expect("SRTP keys");
    assert_eq!(keys(Side::Client), keys(Side::Server));
    assert_eq!(keys(Side::Client).1, SrtpProfile::AEAD_AES_256_GCM);
    assert_eq!(keys(Side::Client).0.len(), 88);
    assert_eq!(
        link.peer(Side::Server).certificate.as_ref(),
        Some(&client.1.certificate)
    );
    assert_eq!(
        link.peer(Side::Client).certificate.as_ref(),
        Some(&server.1.certificate)
    );
    assert!(
        link.elapsed() < Duration::from_millis(200),
        "without loss nothing waits for a timer"
    );

    let messages: Vec<Vec<u8>> = [1, 100, 1100].map(|len| vec![len as u8; len]).to_vec();
    for message in &messages {
        for side in [Side::Client, Side::Server] {
            link.send(side, message);
        }
    }
    link.run_until(|link| {
        [Side::Client, Side::Server]
            .iter()
            .all(|side| link.peer(*side).data.len() == 3)
    });
    for side in [Side::Client, Side::Server] {
        assert_eq!(link.peer(side).data, messages);
    }
    link.peer_mut(Side::Client).dtls.close().expect("closes");
    link.run_until(|link| link.peer(Side::Server).is_closed_by_peer);
    assert!(link.peer(Side::Client).dtls.is_closed());
}

#[test]
fn both_ends_ours() {
    let (client, server) = (other_certificate(), certificate());
    assert_session((ours(&client), &client), (ours(&server), &server));
}

#[test]
fn server_takes_an_independent_client() {
    let (client, server) = (other_certificate(), certificate());
    assert_session(
        (dimpl(&client, DtlsVersion::Dtls12), &client),
        (ours(&server), &server),
    );
}

#[test]
fn server_takes_a_client_that_would_rather_speak_1_3() {
    let (client, server) = (other_certificate(), certificate());
    assert_session(
        (dimpl(&client, DtlsVersion::Auto), &client),
        (ours(&server), &server),
    );
}

#[test]
fn client_takes_an_independent_server() {
    let (client, server) = (other_certificate(), certificate());
    assert_session(
        (ours(&client), &client),
        (dimpl(&server, DtlsVersion::Dtls12), &server),
    );
}

#[test]
fn server_takes_an_rsa_client() {
    let (client, server) = (rsa_certificate(), certificate());
    assert_session((ours(&client), &client), (ours(&server), &server));
}

#[test]
fn client_takes_an_rsa_server() {
    let (client, server) = (certificate(), rsa_certificate());
    assert_session((ours(&client), &client), (ours(&server), &server));
}

#[test]
fn loss_reordering_and_repeats_are_survived() {
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (client, server) = (rsa_certificate(), certificate());
        let ends = match seed % 3 {
            0 => (ours(&client), ours(&server)),
            1 => (dimpl(&certificate(), DtlsVersion::Dtls12), ours(&server)),
            _ => (ours(&client), ours(&rsa_certificate())),
        };
        let mut link = Link::new(ends.0, ends.1);
        // dimpl gives up after a few repeats: it gets a network that mends itself.
        let mut losses = if seed % 3 == 1 { 3 } else { u32::MAX };
        link.fate = Box::new(move |_, _| match rng.u8(..100) {
            0..30 if losses > 0 => {
                losses -= 1;
                Fate::Lose
            }
            30..40 => Fate::Deliver(vec![Duration::from_millis(5), Duration::from_millis(90)]),
            _ => Fate::Deliver(vec![Duration::from_millis(rng.u64(5..60))]),
        });
        link.run_until(|link| link.is_connected());
        assert_eq!(
            link.peer(Side::Client).keys,
            link.peer(Side::Server).keys,
            "seed {seed}"
        );
    }
}

#[test]
fn a_lost_last_flight_is_sent_again() {
    let mut link = Link::new(ours(&other_certificate()), ours(&certificate()));
    let mut from_server = 0;
    link.fate = Box::new(move |side, datagram| {
        // The second thing the server sends that begins with a change of cipher is let through.
        from_server += u32::from(side == Side::Server && datagram[0] == 20);
        if side == Side::Server && datagram[0] == 20 && from_server < 3 {
            return Fate::Lose;
        }
        Fate::Deliver(vec![Duration::from_millis(5)])
    });
    link.run_until(|link| link.is_connected());
    assert!(
        link.elapsed() >= Duration::from_millis(600),
        "two waits, 200 and 400 ms"
    );
}

#[test]
fn data_that_overtakes_the_handshake_is_kept() {
    let mut link = Link::new(ours(&other_certificate()), ours(&certificate()));
    link.fate = Box::new(|side, datagram| {
        // What the server sends after the handshake overtakes its last flight.
        let is_last_flight = side == Side::Server && datagram[0] == 20;
        Fate::Deliver(vec![Duration::from_millis(if is_last_flight {
            50
        } else {
            5
        })])
    });
    link.run_until(|link| link.peer(Side::Server).is_connected);
    link.send(Side::Server, b"early");
    link.run_until(|link| !link.peer(Side::Client).data.is_empty());
    assert_eq!(link.peer(Side::Client).data, [b"early"]);
}

#[test]
fn a_silent_peer_ends_the_handshake_in_time() {
    let mut link = Link::new(ours(&other_certificate()), ours(&certificate()));
    link.fate = Box::new(|side, _| match side {
        Side::Client => Fate::Deliver(vec![Duration::from_millis(5)]),
        Side::Server => Fate::Lose,
    });
    link.run_until(|link| {
        [Side::Client, Side::Server]
            .iter()
            .all(|side| link.peer(*side).error.is_some())
    });
    assert!((29..32).contains(&link.elapsed().as_secs()));
    assert!(
        link.sent < 80,
        "a dozen repeats of small flights, not a flood"
    );
}

#[test]
fn one_certificate_for_the_process() {
    assert_eq!(certificate().certificate, certificate().certificate);
    assert!(std::sync::Arc::ptr_eq(
        &super::crypto_provider(),
        &super::crypto_provider()
    ));
    let mut foreign = certificate();
    foreign.certificate = other_certificate().certificate;
    let refused = Provider.new_dtls(&foreign, start(), DtlsVersion::Dtls12, None);
    assert!(refused.is_err(), "a key that is not the certificate's");
}
