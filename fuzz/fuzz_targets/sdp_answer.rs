//! Answers to our own offer, as WHEP's counter-offer gets them and as we get them as a client.
//!
//! The first byte chooses what was offered, the rest is the answer. The engine makes up the tags of
//! its sections, so the answer says `#0` and `#1` for them.
#![cfg_attr(fuzzing, no_main)]

use std::time::Instant;

use inver_fuzz::Input;
use inver_media::Kind;
use inver_rtc::{Direction, OfferedMedia, PeerConnection};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let direction = match choice & 3 {
        0 => Direction::Send,
        1 => Direction::Receive,
        2 => Direction::Both,
        _ => Direction::None,
    };
    let kinds: &[Kind] = match (choice >> 2) & 3 {
        0 => &[Kind::Audio, Kind::Video],
        1 => &[Kind::Video],
        2 => &[Kind::Audio],
        _ => &[Kind::Video, Kind::Video],
    };
    let media: Vec<OfferedMedia> = kinds
        .iter()
        .map(|kind| OfferedMedia {
            kind: *kind,
            direction,
        })
        .collect();
    let now = Instant::now();
    let channel = (choice & 0x10 != 0).then_some("data");
    let settings = inver_fuzz::settings(choice & 0x20 != 0);
    let (mut connection, offer, pending) =
        PeerConnection::offer(&settings, &media, channel, now).expect("there is media to offer");

    let tags: Vec<&str> = offer
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    let mut answer = String::from_utf8_lossy(input.rest()).into_owned();
    for (index, tag) in tags.iter().enumerate() {
        answer = answer.replace(&format!("#{index}"), tag);
    }
    if connection.accept_answer(pending, &answer).is_err() {
        return;
    }
    for (track, ..) in connection.tracks().collect::<Vec<_>>() {
        let _ = connection.formats(track);
    }
    let _ = connection.handle_timeout(now);
    for _ in 0..1000 {
        match connection.poll_output(Instant::now()) {
            Err(_) | Ok(inver_rtc::Output::Timeout(_)) => return,
            Ok(_) => {}
        }
    }
    panic!("a peer connection gives outputs without end");
}
