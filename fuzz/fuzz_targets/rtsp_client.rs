//! A server of RTSP that says what it likes to a client: answers, challenges, descriptions, packets
//! between them.
//!
//! The first byte has choices: whether the client has a login, and whether it wants media over UDP.
//! The second is the size of the pieces in which the bytes come, which must make no difference.
#![cfg_attr(fuzzing, no_main)]

use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_protocols::rtsp::{Client, ClientConfig, ClientEvent, Output, Ports, Target, Transport};

inver_fuzz::target!(run);

/// Longest piece, as a socket gives them.
const PIECE: usize = 16 * 1024;

/// What must not be said but as a proof, and to nobody that is not asked for it.
const PASSWORD: &str = "geheim-geheim";

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

/// What the client tells and says, and the error that ended the connection.
fn session(
    bytes: &[u8],
    piece: usize,
    choice: u8,
    now: Instant,
) -> (Vec<ClientEvent>, Vec<u8>, Option<String>) {
    let login = if choice & 1 == 0 {
        ""
    } else {
        "u:geheim-geheim@"
    };
    let config = ClientConfig {
        target: Target::parse(&format!("rtsp://{login}camera/x?y=1")).expect("an address"),
        seed: [3; 32],
    };
    let mut client = Client::new(config, now);
    let (mut events, mut said) = (Vec::new(), Vec::new());
    let mut packets = 0;
    for piece in bytes.chunks(piece) {
        let mut result = client.handle_input(piece, now);
        loop {
            let mut described = None;
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Send(bytes) => said.extend(bytes),
                    Output::Event(event) => {
                        match &event {
                            ClientEvent::Described(tracks) => described = Some(tracks.len()),
                            ClientEvent::Packet { data, .. } => packets += data.len(),
                            ClientEvent::Started(_) => {}
                        }
                        events.push(event);
                    }
                }
            }
            let (Ok(()), Some(tracks)) = (&result, described) else {
                break;
            };
            assert!((1..=8).contains(&tracks));
            result = client.choose(&wanted(tracks, choice), now);
        }
        let text = String::from_utf8_lossy(&said);
        assert!(!text.contains(PASSWORD), "the password is said");
        if let Err(error) = result {
            assert!(!client.wants_input());
            assert!(client.poll_timeout().is_none());
            assert!(!error.to_string().contains(PASSWORD));
            return (events, said, Some(error.to_string()));
        }
        assert_eq!(client.queued(), 0, "everything was taken");
    }
    assert!(packets <= bytes.len(), "packets from nowhere");
    // Whoever waits does not wait for ever: an answer is due, or a word to be said.
    let at = client.poll_timeout().expect("something is waited for");
    assert!(at > now && at <= now + Duration::from_secs(30));
    (events, said, None)
}

fn wanted(tracks: usize, choice: u8) -> Vec<Option<Transport>> {
    let channels = (0_u8..).step_by(2).take(tracks);
    channels
        .map(|rtp| {
            let ports = Ports {
                rtp: 5000 + u16::from(rtp),
                rtcp: 5001 + u16::from(rtp),
            };
            let between = Transport::Interleaved { rtp, rtcp: rtp + 1 };
            Some(if choice & 2 == 0 {
                between
            } else {
                Transport::Udp(ports)
            })
        })
        .collect()
}
