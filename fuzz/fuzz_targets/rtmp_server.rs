//! A client of RTMP that says what it likes: handshake, chunks, commands, media.
//!
//! The first byte has choices: whether a handshake is put before the bytes (else they begin with
//! one), whether requests are refused, and whether the connection then plays something. The second
//! is the size of the pieces in which the bytes come, which must make no difference.
#![cfg_attr(fuzzing, no_main)]

use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_media::container::flv::TagType;
use inver_protocols::rtmp::{Output, Server, ServerEvent};

inver_fuzz::target!(run);

/// A handshake of the client's side, answered or not.
const HANDSHAKE: usize = 1 + 2 * 1536;

/// More than the server says to an empty connection: its handshake and a few answers.
const ANSWERS: usize = 8 * 1024;

/// Longest piece, as a socket gives them.
const PIECE: usize = 16 * 1024;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let piece = usize::from(input.byte()) * 16 + 1;
    let mut bytes = Vec::new();
    if choice & 1 == 0 {
        bytes.push(3);
        bytes.resize(HANDSHAKE, 0);
    }
    bytes.extend_from_slice(input.rest());
    let now = Instant::now();
    let whole = session(&bytes, PIECE, choice, now);
    let pieces = session(&bytes, piece, choice, now);
    assert_eq!(whole, pieces, "pieces of {piece} bytes make a difference");
}

/// What the server tells, and the error that ended the connection.
fn session(
    bytes: &[u8],
    piece: usize,
    choice: u8,
    now: Instant,
) -> (Vec<ServerEvent>, Option<String>) {
    let mut server = Server::new(now);
    let mut events = Vec::new();
    let mut media = 0;
    let mut allowed = false;
    for piece in bytes.chunks(piece) {
        let result = server.handle_input(piece, now);
        let mut requested = true;
        let mut failed = result.err();
        while requested {
            requested = false;
            assert!(
                server.queued() <= ANSWERS + 2 * bytes.len(),
                "answers pile up"
            );
            while let Some(output) = server.poll_output() {
                let Output::Event(event) = output else {
                    continue;
                };
                match &event {
                    ServerEvent::PublishRequested(address)
                    | ServerEvent::PlayRequested(address) => {
                        requested = true;
                        assert!(address.application().len() <= bytes.len());
                        assert!(address.stream().len() <= 3 * bytes.len());
                        let _ = address.query("token");
                    }
                    ServerEvent::Media(one) => {
                        assert!(allowed, "media before it was allowed");
                        media += one.body.len();
                    }
                    _ => {}
                }
                events.push(event);
            }
            if requested && failed.is_none() {
                assert!(!server.wants_input(), "input before the decision");
                failed = decide(&mut server, choice, now).err();
                allowed = choice & 2 == 0;
            }
        }
        assert!(media <= bytes.len(), "media from nowhere");
        if let Some(error) = failed {
            return (events, Some(error.to_string()));
        }
    }
    let late = server.poll_timeout();
    assert!(
        late.is_none_or(|at| at > now),
        "a timeout that is due at once"
    );
    // Silence ends every connection within a minute, with a ping before.
    let mut now = now;
    for _ in 0..4 {
        let Some(at) = server.poll_timeout() else {
            break;
        };
        now = now.max(at);
        if server.handle_timeout(now).is_err() {
            return (events, None);
        }
        assert!(now <= late.unwrap_or(now) + Duration::from_secs(60));
    }
    server.finish();
    (events, None)
}

fn decide(
    server: &mut Server,
    choice: u8,
    now: Instant,
) -> Result<(), inver_protocols::rtmp::Error> {
    if choice & 2 != 0 {
        server.refuse("NetStream.Publish.Denied", "no");
        return Ok(());
    }
    server.accept(now)?;
    if choice & 4 != 0 {
        server.send(TagType::Video, 0, &[0x17, 0, 0, 0, 0]);
        server.send(TagType::Audio, 0xffff_ffff, &[0xaf; 300]);
        server.request_reconnect(Some("rtmp://elsewhere/live"), "restart");
    }
    Ok(())
}
