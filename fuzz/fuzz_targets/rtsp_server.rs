//! A client of RTSP that says what it likes: requests, descriptions, packets between them.
//!
//! The first byte has choices: whether requests are refused, whether the server has UDP ports, and
//! whether passwords may come readable. The second is the size of the pieces in which the bytes
//! come, which must make no difference.
#![cfg_attr(fuzzing, no_main)]

use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_protocols::rtsp::{Event, Output, Ports, Server, Settings, Status, Transport};

inver_fuzz::target!(run);

/// Longest piece, as a socket gives them.
const PIECE: usize = 16 * 1024;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let bytes = input.rest();
    let now = Instant::now();
    let whole = session(bytes, PIECE, choice, now);
    let pieces = session(bytes, piece, choice, now);
    assert_eq!(whole, pieces, "pieces of {piece} bytes make a difference");
}

/// What the server tells, and the error that ended the connection.
fn session(bytes: &[u8], piece: usize, choice: u8, now: Instant) -> (Vec<Event>, Option<String>) {
    let ports = Ports {
        rtp: 8000,
        rtcp: 8001,
    };
    let settings = Settings {
        udp: (choice & 2 != 0).then_some(ports),
        private: choice & 4 != 0,
        seed: [3; 32],
    };
    let mut server = Server::new(settings, now);
    let mut events = Vec::new();
    let mut packets = 0;
    for piece in bytes.chunks(piece) {
        let mut result = server.handle_input(piece, now);
        loop {
            let mut asked = false;
            while let Some(output) = server.poll_output() {
                let Output::Event(event) = output else {
                    continue;
                };
                asked |= decide(&mut server, &event, choice, now, &mut packets);
                events.push(event);
            }
            if result.is_err() || !asked {
                break;
            }
            result = server.advance(now);
        }
        if let Err(error) = result {
            assert!(!server.wants_input());
            return (events, Some(error.to_string()));
        }
        assert_eq!(server.queued(), 0, "everything was taken");
    }
    assert!(packets <= bytes.len(), "packets from nowhere");
    // Who says nothing any more is not waited for, but for a reader on a connection of its own.
    if let Some(at) = server.poll_timeout() {
        assert!(at > now && at <= now + Duration::from_secs(70));
        assert!(server.handle_timeout(at).is_err());
    }
    (events, None)
}

/// Answers what waits for an answer; `true` where something did.
fn decide(
    server: &mut Server,
    event: &Event,
    choice: u8,
    now: Instant,
    packets: &mut usize,
) -> bool {
    let refuses = choice & 1 != 0;
    match event {
        Event::AnnounceRequested(wish, tracks) => {
            assert!(!wish.proves("a password that nobody has"));
            assert!(!tracks.is_empty() && tracks.len() <= 8);
            server.accept_announce();
        }
        Event::DescribeRequested(_) if refuses => {
            // Too often ends the connection, which shows in what it takes.
            let _ = server.refuse(Status::Unauthorized, "who?", now);
        }
        Event::DescribeRequested(_) => server.accept_describe("v=0\r\n", 2),
        Event::RecordRequested(transports) | Event::PlayRequested(transports) => {
            let over_udp = |one: &Option<Transport>| matches!(one, Some(Transport::Udp(_)));
            assert!(transports.iter().any(Option::is_some));
            assert!(choice & 2 != 0 || !transports.iter().any(over_udp));
            server.accept_start(&[], now);
            server.send(0, false, &[0; 20]);
        }
        Event::Packet { data, .. } => {
            *packets += data.len();
            return false;
        }
        Event::Paused | Event::Ended => return false,
    }
    true
}
