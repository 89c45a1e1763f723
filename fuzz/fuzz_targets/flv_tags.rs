//! Tags of RTMP, plain and enhanced, into frames; the frames into tags and back.
//!
//! Each tag is a byte for its type, four for its time, and its body behind two of length.
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashMap;

use inver_fuzz::{Input, check_frame};
use inver_media::container::flv::{Item, MAX_TRACKS, TagReader, TagType, TagWriter, Track};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut reader = TagReader::new();
    let mut configs = HashMap::new();
    let mut dropped = 0;
    let mut writer = TagWriter::new();
    let mut second = TagReader::new();
    while !input.is_empty() {
        let tag_type = match input.byte() % 3 {
            0 => TagType::Audio,
            1 => TagType::Video,
            _ => TagType::Data,
        };
        let timestamp = u32::from(input.short()) << 16 | u32::from(input.short());
        let body = input.block();
        let Ok(items) = reader.read(tag_type, timestamp, body) else {
            continue;
        };
        let mut bytes = 0;
        for item in items {
            match item {
                Item::Config { track, config } => {
                    assert_eq!(config.codec().kind(), track.kind);
                    configs.insert(track, config);
                    assert!(configs.len() <= MAX_TRACKS);
                }
                Item::Frame { track, frame } => {
                    assert_eq!(
                        configs.get(&track),
                        Some(&frame.config),
                        "told before its frame"
                    );
                    check_frame(&frame);
                    bytes += frame.data.len();
                    // A configuration may lack what its record needs; then nothing is written.
                    for tag in writer.write(track, &frame).unwrap_or_default() {
                        returns(
                            &mut second,
                            tag.tag_type,
                            tag.timestamp,
                            &tag.body,
                            &frame.data,
                        );
                    }
                }
                Item::Dropped { .. } => dropped += 1,
                Item::Metadata(_) | Item::Ended { .. } | Item::Unsupported { .. } => {}
            }
        }
        // Lengths of one byte become such of four.
        assert!(bytes <= body.len() * 5, "{bytes} of {}", body.len());
    }
    let drops = reader.drops();
    // What is not carried is told once for each track and counted each time.
    let told = drops.no_config + drops.malformed + drops.bad_config + drops.empty;
    assert!(dropped >= told + drops.many_tracks, "{dropped}: {drops:?}");
}

/// What we write is read again without loss.
fn returns(reader: &mut TagReader, tag_type: TagType, timestamp: u32, body: &[u8], data: &[u8]) {
    let items = reader
        .read(tag_type, timestamp, body)
        .expect("our own tag is readable");
    for item in items {
        match item {
            Item::Frame { frame, .. } => assert_eq!(&*frame.data, data, "another frame"),
            Item::Config { track, .. } => {
                let _: Track = track;
            }
            Item::Dropped { reason, .. } => panic!("our own tag was dropped: {reason:?}"),
            other => panic!("our own tag is {other:?}"),
        }
    }
}
