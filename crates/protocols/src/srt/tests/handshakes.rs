//! Handshakes: what is agreed on, what is refused and how, and that a flood stays small.

use std::net::SocketAddr;
use std::time::Duration;

use super::network::{Link, MILLI, Network, Setup, client_address, start};
use crate::srt::caller::{CallError, Caller, CallerConfig};
use crate::srt::connection::Event;
use crate::srt::listener::{AcceptError, Listener};
use crate::srt::rejection::Rejection;

const SECOND: Duration = Duration::from_secs(1);

fn caller(stream_id: &str) -> CallerConfig {
    CallerConfig {
        stream_id: stream_id.to_owned(),
        ..CallerConfig::default()
    }
}

#[test]
fn a_caller_is_heard_and_the_longer_latency_counts() {
    for (ours, theirs, agreed) in [(120, 500, 500), (300, 100, 300)] {
        let mut network = Network::connected(Setup {
            caller: CallerConfig {
                latency: theirs * MILLI,
                ..caller("publish:stage:key")
            },
            latency: ours * MILLI,
            ..Setup::default()
        });
        assert_eq!(network.requests.len(), 1);
        let request = network.requests[0].clone();
        assert_eq!(request.stream_id, "publish:stage:key");
        assert_eq!(request.address, client_address());
        assert!(!request.encrypted && request.key_length.is_none());
        let now = network.now;
        for connection in [
            network.client().statistics(now),
            network.server().statistics(now),
        ] {
            assert_eq!(connection.receive_latency, agreed * MILLI);
            assert_eq!(connection.send_latency, agreed * MILLI);
        }
        assert_eq!(network.client_events[0].1, Event::Connected);
        assert_eq!(network.server_events[0].1, Event::Connected);
        assert_ne!(network.server().socket(), 0);
    }
}

#[test]
fn a_handshake_survives_loss_and_makes_one_connection() {
    let mut connected = 0;
    for seed in 0..40 {
        let mut network = Network::new(Setup {
            seed,
            link: Link {
                loss: 0.3,
                duplicates: 0.3,
                ..Link::default()
            },
            ..Setup::default()
        });
        network.run_for(4 * SECOND);
        assert!(network.requests.len() <= 1, "seed {seed}");
        connected += usize::from(network.client.is_some());
    }
    assert!(connected >= 38, "{connected} of 40");
}

#[test]
fn a_refusal_says_why() {
    for rejection in [
        Rejection::Unauthorized,
        Rejection::Conflict,
        Rejection::BadSecret,
    ] {
        let mut network = Network::new(Setup {
            reject: Some(rejection),
            ..Setup::default()
        });
        network.run_for(SECOND);
        assert_eq!(network.failed, Some(CallError::Rejected(rejection)));
        assert!(
            network
                .failed
                .as_ref()
                .is_some_and(|error| { error.to_string().contains(&rejection.code().to_string()) })
        );
        assert!(network.now - network.begin <= SECOND);
    }
}

#[test]
fn without_an_answer_a_call_ends_after_three_seconds() {
    let mut network = Network::new(Setup {
        link: Link {
            loss: 1.0,
            ..Link::default()
        },
        ..Setup::default()
    });
    network.run_for(Duration::from_millis(2990));
    assert_eq!(network.failed, None);
    network.run_for(Duration::from_millis(20));
    assert_eq!(network.failed, Some(CallError::Timeout));
    // At once and every 250 ms.
    assert_eq!(network.datagrams, 12);
}

/// A conclusion as a caller at `from` sends it.
fn conclusion(listener: &mut Listener, from: SocketAddr, socket: u32) -> Vec<u8> {
    let now = start();
    let to = SocketAddr::from(([192, 0, 2, 9], 8890));
    let mut caller = Caller::with_numbers(caller("read:x"), to, socket, 5, now).expect("a call");
    let induction = caller.poll_transmit().expect("it begins");
    listener.handle_datagram(from, &induction, now);
    let (back, answer) = listener.poll_transmit().expect("an answer");
    assert_eq!((back, answer.len()), (from, induction.len()));
    caller.handle_datagram(&answer, now);
    caller.poll_transmit().expect("it goes on")
}

#[test]
fn inductions_leave_no_trace_and_a_cookie_is_of_use_to_its_address_only() {
    let now = start();
    let mut listener = Listener::new(&[1; 32], now);
    let datagram = conclusion(&mut listener, client_address(), 9);
    let other = SocketAddr::from(([192, 0, 2, 2], 4000));
    listener.handle_datagram(other, &datagram, now);
    assert_eq!(listener.poll_timeout(), None);
    assert!(listener.poll_request().is_none() && listener.poll_transmit().is_none());
    // In the next minute it is good, in the one after it is not.
    listener.handle_datagram(client_address(), &datagram, now + 150 * SECOND);
    assert!(listener.poll_request().is_none());
    listener.handle_datagram(client_address(), &datagram, now + 100 * SECOND);
    assert!(listener.poll_request().is_some());
}

#[test]
fn a_conclusion_that_comes_again_gets_the_same_answer() {
    let now = start();
    let mut listener = Listener::new(&[1; 32], now);
    let datagram = conclusion(&mut listener, client_address(), 9);
    listener.handle_datagram(client_address(), &datagram, now);
    listener.handle_datagram(client_address(), &datagram, now);
    let request = listener.poll_request().expect("one request");
    assert!(listener.poll_request().is_none());
    listener
        .accept(request.id, None, 120 * MILLI, now)
        .expect("accepted");
    let first = listener.poll_transmit().expect("an answer");
    listener.handle_datagram(client_address(), &datagram, now + SECOND);
    assert_eq!(listener.poll_transmit(), Some(first));
    assert!(listener.poll_request().is_none());
    let again = listener.accept(request.id, None, 120 * MILLI, now);
    assert_eq!(again.err(), Some(AcceptError::Expired));
    listener.handle_timeout(now + 4 * SECOND);
    assert_eq!(listener.poll_timeout(), None, "it forgets");
}

#[test]
fn a_flood_of_handshakes_is_bounded_and_expires() {
    let now = start();
    let mut listener = Listener::new(&[1; 32], now);
    let mut refused = 0;
    for socket in 1..2000u32 {
        let host = u8::try_from(socket % 20).expect("small");
        let from = SocketAddr::from(([192, 0, 2, host], 4000));
        let datagram = conclusion(&mut listener, from, socket);
        listener.handle_datagram(from, &datagram, now);
        refused += usize::from(listener.poll_transmit().is_some());
    }
    let waiting = std::iter::from_fn(|| listener.poll_request()).count();
    assert_eq!((waiting, refused), (256, 1743));
    listener.handle_timeout(now + 3 * SECOND);
    let told = std::iter::from_fn(|| listener.poll_transmit()).count();
    assert_eq!(told, 256, "each is told that it took too long");
    let from = client_address();
    let datagram = conclusion(&mut listener, from, 5);
    listener.handle_datagram(from, &datagram, now + 3 * SECOND);
    assert!(listener.poll_request().is_some(), "there is room again");
}

#[test]
fn one_address_does_not_take_every_place() {
    let now = start();
    let mut listener = Listener::new(&[1; 32], now);
    for socket in 1..200 {
        let datagram = conclusion(&mut listener, client_address(), socket);
        listener.handle_datagram(client_address(), &datagram, now);
        listener.poll_transmit();
    }
    assert_eq!(std::iter::from_fn(|| listener.poll_request()).count(), 64);
}

#[test]
fn a_call_that_cannot_be_made_is_an_error_at_once() {
    let to = client_address();
    let long = Caller::new(caller(&"x".repeat(513)), to, start());
    assert_eq!(long.err(), Some(CallError::StreamId(513)));
    let short = CallerConfig {
        passphrase: Some("short".to_owned()),
        ..caller("x")
    };
    assert!(matches!(
        Caller::new(short, to, start()).err(),
        Some(CallError::Passphrase(_))
    ));
}

/// Writes one 16-bit kind and content behind a conclusion.
fn with_extension(listener: &mut Listener, kind: u16, content: &[u8]) -> Vec<u8> {
    let mut datagram = conclusion(listener, client_address(), 9);
    datagram.extend_from_slice(&kind.to_be_bytes());
    let words = u16::try_from(content.len() / 4).expect("short");
    datagram.extend_from_slice(&words.to_be_bytes());
    datagram.extend_from_slice(content);
    datagram
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases: [(u16, &[u8], Option<u32>); 5] = [
        (6, b"evil", None),
        (6, b"elif", Some(1013)),
        (7, b"cef,", Some(1014)),
        (8, &[0; 8], Some(1015)),
        (99, b"what", None),
    ];
    for (kind, content, expected) in cases {
        let now = start();
        let mut listener = Listener::new(&[1; 32], now);
        let datagram = with_extension(&mut listener, kind, content);
        listener.handle_datagram(client_address(), &datagram, now);
        let answer = listener.poll_transmit().map(|(_, datagram)| {
            u32::from_be_bytes(datagram[36..40].try_into().expect("four bytes"))
        });
        assert_eq!(answer, expected, "extension {kind}");
        assert_eq!(listener.poll_request().is_some(), expected.is_none());
    }
}

#[test]
fn an_old_version_is_refused() {
    let now = start();
    let mut listener = Listener::new(&[1; 32], now);
    let mut datagram = conclusion(&mut listener, client_address(), 9);
    // The fixed part's version, 4 for what came before.
    datagram[19] = 4;
    listener.handle_datagram(client_address(), &datagram, now);
    let (_, answer) = listener.poll_transmit().expect("a refusal");
    assert_eq!(answer[36..40], 1008u32.to_be_bytes());
}
