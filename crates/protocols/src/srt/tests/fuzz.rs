//! Seeded mutations of every parser's input and of whole sessions: nothing may panic, hang or
//! grow.

use std::time::Duration;

use super::network::{End, MILLI, Network, Setup, client_address, payload, start};
use crate::srt::caller::CallerConfig;
use crate::srt::handshake::{Extensions, Handshake};
use crate::srt::key_material::{KeyLength, KeyMaterial};
use crate::srt::listener::Listener;
use crate::srt::stream_id::StreamId;
use crate::srt::wire::{Body, Packet};

fn mutate(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    for _ in 0..=rng.usize(..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..6) {
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at] = rng.u8(..),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.u8(..)),
            4 => bytes[at] = 0xff,
            _ => bytes.extend_from_within(at..),
        }
        bytes.truncate(2000);
    }
}

#[test]
fn parsers_survive_mutations() {
    let mut network = Network::new(Setup {
        caller: CallerConfig {
            passphrase: Some("correct horse".to_owned()),
            key_length: KeyLength::Aes192,
            stream_id: "#!::r=room,m=publish,s=key".to_owned(),
            ..CallerConfig::default()
        },
        ..Setup::default()
    });
    // The conclusion of a real handshake.
    let conclusion = network.first_conclusion();
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..100_000 {
        let mut bytes = conclusion.clone();
        mutate(&mut bytes, &mut rng);
        let Ok(packet) = Packet::parse(&bytes) else {
            continue;
        };
        assert!(Packet::parse(&packet.write()).is_ok());
        if let Body::Handshake(content) = packet.body {
            let _ = Handshake::parse(content);
            if let Ok(extensions) = Extensions::parse(content) {
                let _ = extensions.key.map(KeyMaterial::parse);
                let _ = StreamId::parse(&extensions.stream_id.unwrap_or_default());
            }
        }
        if let Body::Nak(list) = packet.body {
            assert!(list.count() <= bytes.len());
        }
    }
}

#[test]
fn a_listener_survives_mutated_handshakes() {
    let now = start();
    let mut rng = fastrand::Rng::with_seed(4);
    for _ in 0..50 {
        let mut network = Network::new(Setup::default());
        let conclusion = network.first_conclusion();
        let mut listener = Listener::new(&[7; 32], now);
        for step in 0..400u32 {
            let mut bytes = conclusion.clone();
            mutate(&mut bytes, &mut rng);
            let at = now + MILLI * step;
            listener.handle_datagram(client_address(), &bytes, at);
            listener.handle_timeout(at);
            while let Some(request) = listener.poll_request() {
                let _ = StreamId::parse(&request.stream_id);
                let passphrase = rng.bool().then_some("some passphrase");
                let _ = listener.accept(request.id, passphrase, 100 * MILLI, at);
            }
            while listener.poll_transmit().is_some() {}
        }
    }
}

#[test]
fn a_caller_survives_mutated_answers() {
    let mut rng = fastrand::Rng::with_seed(5);
    for seed in 0..2000 {
        let secret = rng.bool().then_some("correct horse");
        let mut network = Network::new(Setup {
            seed,
            caller: CallerConfig {
                passphrase: secret.map(str::to_owned),
                ..CallerConfig::default()
            },
            passphrase: secret,
            ..Setup::default()
        });
        let conclusion = network.first_conclusion();
        network.arrive(End::Server, &conclusion);
        let request = network.listener.poll_request().expect("it is right");
        let now = network.now;
        let accepted = network.listener.accept(request.id, secret, MILLI, now);
        assert!(accepted.is_ok());
        let (_, mut answer) = network.listener.poll_transmit().expect("an answer");
        mutate(&mut answer, &mut rng);
        network.arrive(End::Client, &answer);
        network.drain();
    }
}

/// Both ends talk, and now and then a datagram is changed on its way, or made up.
#[test]
fn sessions_survive_mutated_datagrams() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let secret = rng.bool().then_some("correct horse");
        let mut network = Network::connected(Setup {
            seed,
            caller: CallerConfig {
                passphrase: secret.map(str::to_owned),
                ..CallerConfig::default()
            },
            passphrase: secret,
            ..Setup::default()
        });
        let ends = [network.client().socket(), network.server().socket()];
        for number in 0..400 {
            let now = network.now;
            let _ = network.client().send(&payload(number), now);
            let _ = network.server().send(&payload(number), now);
            for (end, socket) in [End::Client, End::Server].into_iter().zip(ends) {
                let connection = match end {
                    End::Client => network.server(),
                    End::Server => network.client(),
                };
                let mut bytes = connection.poll_transmit().unwrap_or_default();
                if rng.u8(..4) == 0 {
                    bytes = (0..rng.usize(16..80)).map(|_| rng.u8(..)).collect();
                    bytes[0] = rng.choice([0, 0x80, 0xff]).expect("not empty");
                    bytes[1] = rng.u8(..9);
                    bytes[12..16].copy_from_slice(&socket.to_be_bytes());
                }
                mutate(&mut bytes, &mut rng);
                // A shutdown would end what is to be tested.
                if bytes.get(1) != Some(&5) {
                    network.arrive(end, &bytes);
                }
            }
            network.drain();
            network.run_for(5 * MILLI);
        }
        network.run_for(Duration::from_secs(2));
        let held = network.client_events.len() + network.server_events.len();
        assert!(held < 3000, "seed {seed}: {held} events");
    }
}
