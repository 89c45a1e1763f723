//! Handshakes of strangers and of callers at an SRT listener.
//!
//! Steps: a byte of choices (bit 0: from which of two addresses, bits 1 and 2: with no cookie put
//! in, with that of the sender, with that of the other; bits 3 and 4: what is done with a request;
//! bit 5: time passes, in units of 100 ms that follow), then a datagram behind two bytes of length.
#![cfg_attr(fuzzing, no_main)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use inver_fuzz::{Input, srt};
use inver_protocols::srt::{Connection, Listener, Rejection, Request, StreamId};

inver_fuzz::target!(run);

/// Most that an answer is longer than what caused it: the answer to a conclusion says our version
/// and latency in sixteen bytes, which a refused one need not have said.
const LONGER: usize = 16;

/// Accepted calls in one input: each passphrase costs a millisecond.
const ACCEPTED: usize = 8;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut now = Instant::now();
    let mut listener = Listener::new(&[7; 32], now);
    let addresses = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 4000)));
    let cookies = addresses.map(|address| srt::cookie(&mut listener, address, now));
    assert_ne!(cookies[0], cookies[1], "a cookie proves the address");
    let mut accepted: Vec<Connection> = Vec::new();
    let mut requests = 0_usize;
    while !input.is_empty() {
        let choice = input.byte();
        if choice & 0x20 != 0 {
            now += Duration::from_millis(100) * u32::from(input.byte());
            listener.handle_timeout(now);
            assert!(listener.poll_timeout().is_none_or(|at| at > now));
            while listener.poll_transmit().is_some() {}
        }
        let sender = usize::from(choice & 1);
        let mut datagram = input.block().to_vec();
        let cookie = match (choice >> 1) & 3 {
            0 | 3 => None,
            1 => Some(cookies[sender]),
            _ => Some(cookies[1 - sender]),
        };
        if let (Some(cookie), Some(place)) = (cookie, datagram.get_mut(srt::COOKIE)) {
            place.copy_from_slice(&cookie);
        }
        listener.handle_datagram(addresses[sender], &datagram, now);
        answers(&mut listener, addresses[sender], datagram.len());
        while let Some(request) = listener.poll_request() {
            requests += 1;
            let given = datagram.get(srt::COOKIE);
            assert_eq!(given, Some(&cookies[sender][..]), "a request without proof");
            assert_eq!(request.address, addresses[sender]);
            assert!(
                request.stream_id.len() <= 3 * 513 && request.stream_id.len() <= 3 * datagram.len()
            );
            let _ = StreamId::parse(&request.stream_id);
            if accepted.len() < ACCEPTED {
                accepted.extend(decide(&mut listener, &request, choice, now));
            } else {
                listener.reject(request.id, Rejection::Resource, now);
            }
            answers(&mut listener, addresses[sender], datagram.len());
        }
    }
    assert!(accepted.len() <= requests);
    let mut sockets: Vec<u32> = accepted.iter().map(Connection::socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    assert_eq!(
        sockets.len(),
        accepted.len(),
        "two connections with one socket"
    );
    // Nothing waits for ever.
    for _ in 0..1000 {
        let Some(at) = listener.poll_timeout() else {
            return;
        };
        now = now.max(at);
        listener.handle_timeout(now);
    }
    panic!("a listener waits for ever");
}

/// Answers go to who asked, and are no weapon against somebody else.
fn answers(listener: &mut Listener, to: SocketAddr, asked: usize) {
    let mut count = 0;
    while let Some((address, datagram)) = listener.poll_transmit() {
        assert_eq!(address, to);
        assert!(
            datagram.len() <= asked + LONGER,
            "{} bytes for {asked}",
            datagram.len()
        );
        count += 1;
    }
    assert!(count <= 1, "{count} answers to one datagram");
}

fn decide(
    listener: &mut Listener,
    request: &Request,
    choice: u8,
    now: Instant,
) -> Option<Connection> {
    let passphrase = match (choice >> 3) & 3 {
        0 => None,
        1 => Some(srt::PASSPHRASE),
        2 => Some("another horse"),
        _ => {
            listener.reject(request.id, Rejection::Peer, now);
            return None;
        }
    };
    let fits = request.encrypted && listener.passphrase_fits(request.id, srt::PASSPHRASE);
    let connection = listener.accept(request.id, passphrase, Duration::from_millis(120), now);
    let connection = connection.ok()?;
    assert_eq!(connection.is_encrypted(), request.encrypted);
    assert!(!request.encrypted || fits && passphrase == Some(srt::PASSPHRASE));
    assert!(
        listener
            .accept(request.id, passphrase, Duration::ZERO, now)
            .is_err()
    );
    Some(connection)
}
