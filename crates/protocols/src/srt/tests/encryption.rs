//! Encrypted connections: every length of key, wrong passphrases, new keys in mid-stream.

use std::time::Duration;

use super::network::{End, Link, MILLI, Network, Setup, delivered, dropped};
use crate::srt::caller::{CallError, CallerConfig};
use crate::srt::crypto::KeyRefresh;
use crate::srt::key_material::KeyLength;
use crate::srt::listener::AcceptError;
use crate::srt::rejection::Rejection;

const PASSPHRASE: &str = "correct horse battery";

fn encrypted(key_length: KeyLength) -> Setup {
    Setup {
        caller: CallerConfig {
            passphrase: Some(PASSPHRASE.to_owned()),
            key_length,
            ..CallerConfig::default()
        },
        passphrase: Some(PASSPHRASE),
        ..Setup::default()
    }
}

#[test]
fn each_length_of_key_works_in_both_directions_and_follows_the_caller() {
    for key_length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        let mut network = Network::connected(encrypted(key_length));
        assert_eq!(network.requests[0].key_length, Some(key_length));
        assert!(network.requests[0].encrypted && network.server().is_encrypted());
        network.publish(End::Client, 50, MILLI);
        network.publish(End::Server, 50, MILLI);
        network.run_for(Duration::from_secs(1));
        assert_eq!(delivered(&network.server_events).len(), 50);
        assert_eq!(delivered(&network.client_events).len(), 50);
        assert_eq!(dropped(&network.server_events), 0);
    }
}

#[test]
fn a_payload_cannot_be_read_on_the_way() {
    let mut network = Network::connected(encrypted(KeyLength::Aes128));
    let now = network.now;
    network
        .client()
        .send(&[0x47; 188], now)
        .expect("there is room");
    let sent = network.client().poll_transmit().expect("it leaves at once");
    assert_eq!(sent.len(), 16 + 188);
    let same = sent[16..].iter().filter(|byte| **byte == 0x47).count();
    assert!(same < 20, "{same} bytes are as they were");
}

#[test]
fn passphrases_that_do_not_fit_are_refused_with_the_right_code() {
    let with = |caller: Option<&str>, listener| Setup {
        caller: CallerConfig {
            passphrase: caller.map(str::to_owned),
            ..CallerConfig::default()
        },
        passphrase: listener,
        ..Setup::default()
    };
    let cases = [
        (
            with(Some("wrong passphrase"), Some(PASSPHRASE)),
            Rejection::BadSecret,
        ),
        (with(None, Some(PASSPHRASE)), Rejection::Unsecure),
        (with(Some(PASSPHRASE), None), Rejection::Unsecure),
    ];
    for (setup, expected) in cases {
        let mut network = Network::new(setup);
        network.run_for(110 * MILLI);
        assert_eq!(network.refused, Some(AcceptError::Refused(expected)));
        assert_eq!(network.failed, Some(CallError::Rejected(expected)));
    }
}

#[test]
fn keys_are_replaced_in_both_directions_without_a_gap() {
    let refresh = KeyRefresh {
        after: 200,
        announce: 100,
    };
    for seed in 0..4 {
        let mut setup = encrypted(KeyLength::Aes256);
        setup.seed = seed;
        setup.refresh = refresh;
        setup.caller.key_refresh = refresh;
        setup.caller.latency = 400 * MILLI;
        setup.link = Link {
            loss: 0.05,
            ..Link::default()
        };
        let mut network = Network::connected(setup);
        network.publish(End::Client, 2000, 2 * MILLI);
        network.publish(End::Server, 2000, 2 * MILLI);
        network.run_for(Duration::from_secs(1));
        assert_eq!(delivered(&network.server_events).len(), 2000, "seed {seed}");
        assert_eq!(delivered(&network.client_events).len(), 2000, "seed {seed}");
        let now = network.now;
        for statistics in [
            network.client().statistics(now),
            network.server().statistics(now),
        ] {
            assert_eq!(statistics.packets_undecryptable, 0);
            assert!(statistics.key_changes >= 8, "{statistics:?}");
        }
    }
}

#[test]
fn a_plain_packet_does_not_slip_into_an_encrypted_connection() {
    let mut network = Network::connected(encrypted(KeyLength::Aes128));
    network.publish(End::Client, 3, MILLI);
    let now = network.now;
    network.client().send(b"plain", now).expect("there is room");
    let mut forged = network.client().poll_transmit().expect("it leaves at once");
    forged[4] &= 0b1110_0111;
    forged.truncate(16);
    forged.extend_from_slice(b"plain");
    network.run_for(30 * MILLI);
    network.arrive(End::Server, &forged);
    network.run_for(Duration::from_secs(1));
    let now = network.now;
    assert_eq!(network.server().statistics(now).packets_undecryptable, 1);
    assert_eq!(delivered(&network.server_events).len(), 3);
    assert_eq!(dropped(&network.server_events), 1);
}
