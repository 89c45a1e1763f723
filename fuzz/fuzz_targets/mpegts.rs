//! Transport streams, in pieces of any size, which make no difference while packets are whole.
//!
//! The first byte says which program is asked for (0: none), the second the size of the pieces.
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashMap;

use inver_fuzz::{Input, check_frame};
use inver_media::MediaTime;
use inver_media::container::mpegts::{Item, Pid, Reader};

inver_fuzz::target!(run);

/// Bytes of a packet, and the first of them.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let program = input.byte();
    let program = (program > 0).then_some(u16::from(program));
    let piece = usize::from(input.byte()) + 1;
    let stream = input.rest();
    let items = read(program, stream, stream.len().max(1));
    // Where packets do not begin right behind one another, what is seen of the next one decides.
    if stream.chunks(PACKET).all(|packet| packet[0] == SYNC) {
        assert_eq!(
            items,
            read(program, stream, piece),
            "pieces of {piece} bytes make a difference"
        );
    } else {
        read(program, stream, piece);
    }
    let mut tracks = HashMap::new();
    let mut last: HashMap<Pid, MediaTime> = HashMap::new();
    let mut bytes = 0;
    for item in &items {
        match item {
            Item::Tracks(listed) => {
                tracks = listed
                    .iter()
                    .map(|track| (track.pid, track.codec))
                    .collect();
                assert_eq!(tracks.len(), listed.len(), "a track is listed twice");
            }
            Item::Frame { track, frame } => {
                assert_eq!(
                    tracks.get(track),
                    Some(&frame.codec()),
                    "a track without notice"
                );
                check_frame(frame);
                bytes += frame.data.len();
                if let Some(last) = last.insert(*track, frame.dts) {
                    assert!(frame.dts >= last, "decoding goes back");
                }
            }
            Item::Data { bytes: data, .. } => bytes += data.len(),
            Item::Unsupported { .. }
            | Item::ProgramSkipped { .. }
            | Item::Lost { .. }
            | Item::Discontinuity { .. }
            | Item::Warning(_) => {}
        }
    }
    // Start codes of three bytes become lengths of four.
    assert!(bytes <= stream.len() * 2, "{bytes} of {}", stream.len());
    assert!(items.len() <= stream.len() + 16, "{} items", items.len());
}

fn read(program: Option<u16>, stream: &[u8], piece: usize) -> Vec<Item> {
    let mut reader = Reader::new(program);
    let mut items = Vec::new();
    for piece in stream.chunks(piece) {
        reader.push(piece);
        items.extend(std::iter::from_fn(|| reader.poll()));
    }
    reader.finish();
    items.extend(std::iter::from_fn(|| reader.poll()));
    items
}
