//! The control connection of FTL: lines of a client that says what it likes.
//!
//! The first byte has choices (refuse, answer late), the second is the size of the pieces in which
//! the bytes come, which must make no difference.
#![cfg_attr(fuzzing, no_main)]

use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_protocols::ftl::{Code, Control, Event, READ_TIMEOUT, verify};

inver_fuzz::target!(run);

/// Bytes that may wait for a decision; longer inputs may differ by their pieces.
const PENDING: usize = 4096;

const CHALLENGE: [u8; 128] = [0x5a; 128];

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let bytes = input.rest();
    let now = Instant::now();
    let pieces = session(bytes, piece, choice, now);
    if bytes.len() <= PENDING {
        let whole = session(bytes, PENDING, choice, now);
        assert_eq!(whole, pieces, "pieces of {piece} bytes make a difference");
    }
}

/// What happened, and what the client was told.
fn session(bytes: &[u8], piece: usize, choice: u8, now: Instant) -> (Vec<Event>, Vec<u8>) {
    let mut control = Control::new(CHALLENGE, now);
    let mut events = Vec::new();
    let mut replies = Vec::new();
    for piece in bytes.chunks(piece) {
        control.handle_input(piece, now);
        drain(&mut control, choice, now, &mut events, &mut replies);
    }
    // The challenge has 261 bytes, the shortest command that gets an answer five.
    assert!(
        replies.len() <= 512 + 2 * bytes.len(),
        "{} bytes",
        replies.len()
    );
    let due = control.poll_timeout();
    assert_eq!(due.is_none(), control.is_closed());
    control.handle_timeout(now + READ_TIMEOUT + Duration::from_secs(1));
    drain(&mut control, choice, now, &mut events, &mut replies);
    assert!(control.is_closed());
    let ends = events
        .iter()
        .filter(|event| matches!(event, Event::Closed(_)));
    assert_eq!(ends.count(), 1);
    assert!(matches!(events.last(), Some(Event::Closed(_))));
    let text = std::str::from_utf8(&replies).expect("replies are text");
    assert!(text.is_empty() || text.ends_with('\n'));
    (events, replies)
}

fn drain(
    control: &mut Control,
    choice: u8,
    now: Instant,
    events: &mut Vec<Event>,
    replies: &mut Vec<u8>,
) {
    loop {
        while let Some(reply) = control.poll_transmit() {
            replies.extend(reply);
        }
        let Some(event) = control.poll_event() else {
            return;
        };
        let asked = |event: &Event| matches!(event, Event::ConnectRequested { .. });
        match &event {
            Event::ConnectRequested { answer, .. } => {
                assert!(!events.iter().any(asked), "asked twice");
                assert!(!verify(b"a key that no input has", &CHALLENGE, answer));
                if choice & 1 == 0 {
                    control.accept(now);
                } else {
                    control.refuse(Code::Unauthorized, "fuzzed");
                }
            }
            Event::StreamRequested(attributes) => {
                assert!(events.iter().any(asked) && choice & 1 == 0, "not let in");
                assert!(attributes.video.is_some() || attributes.audio.is_some());
                for stream in [attributes.video, attributes.audio].into_iter().flatten() {
                    assert!(stream.payload_type < 128);
                }
                for name in [&attributes.vendor_name, &attributes.vendor_version] {
                    let name = name.as_deref().unwrap_or_default();
                    assert!(name.chars().count() <= 128 && !name.chars().any(char::is_control));
                }
                if let Some((width, height)) = attributes.size {
                    assert!((1..=16_384).contains(&width) && (1..=16_384).contains(&height));
                }
                if choice & 2 == 0 {
                    control.start(8084, now);
                } else {
                    control.refuse(Code::ChannelInUse, "fuzzed");
                }
            }
            Event::Pinged | Event::Closed(_) => {}
        }
        events.push(event);
    }
}
