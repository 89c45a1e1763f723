//! Frames through tags and back, in every codec, and hostile tags.

use std::sync::Arc;

use super::*;
use crate::{Codec, Config, Frame, Kind, MediaTime};

const MS: i64 = 1_000_000;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits"))
        .collect()
}

fn config(codec: Codec) -> Config {
    match codec {
        Codec::H264 => Config::H264 {
            sps: vec![hex("67f4000a9196847b0110000003001000000300a0f1226a")],
            pps: vec![hex("68ce0f1920")],
        },
        Codec::H265 => Config::H265 {
            vps: vec![hex("40010c01ffff0408000003009e0800000300001e959409")],
            sps: vec![hex(
                "4201010408000003009e0800000300001e90041062cb2b2a5261780b702020004000000300400000030142",
            )],
            pps: vec![hex("4401c073183089")],
        },
        Codec::Av1 => Config::Av1 {
            sequence_header: hex("0a0d20000002aff79b5f2404340080"),
        },
        Codec::Vp8 => Config::Vp8,
        Codec::Vp9 => Config::Vp9 { profile: 0 },
        Codec::Aac => Config::Aac {
            asc: vec![0x12, 0x10],
        },
        Codec::Opus => Config::Opus {
            channels: 2,
            pre_skip: 312,
        },
    }
}

fn data(codec: Codec, keyframe: bool) -> Vec<u8> {
    match (codec, keyframe) {
        (Codec::H264, true) => vec![0, 0, 0, 3, 0x65, 0x88, 0x84],
        (Codec::H264, false) => vec![0, 0, 0, 2, 0x41, 0x9a, 0, 0, 0, 2, 0x41, 0x11],
        (Codec::H265, true) => vec![0, 0, 0, 3, 0x28, 0x01, 0xac],
        (Codec::H265, false) => vec![0, 0, 0, 3, 0x02, 0x01, 0xd0],
        (Codec::Av1, _) => vec![0x32, 3, 1, 2, 3],
        (Codec::Vp8, true) => vec![0x10, 0, 0, 0x9d, 0x01, 0x2a],
        (Codec::Vp8, false) => vec![0x11, 0, 0],
        (Codec::Vp9, _) => vec![0x82, 0x49, 0x83],
        (Codec::Aac, _) => vec![0x21, 0x10, 0x04],
        (Codec::Opus, _) => vec![0xfc, 1, 2, 3],
    }
}

fn frame(config: &Arc<Config>, dts_ms: i64, offset_ms: i64, keyframe: bool) -> Frame {
    Frame {
        config: config.clone(),
        pts: MediaTime((dts_ms + offset_ms) * MS),
        dts: MediaTime(dts_ms * MS),
        keyframe,
        data: data(config.codec(), keyframe).into(),
    }
}

fn track(codec: Codec, id: u8) -> Track {
    Track {
        kind: codec.kind(),
        id,
    }
}

fn read(reader: &mut TagReader, tags: &[Tag]) -> Vec<Item> {
    tags.iter()
        .flat_map(|tag| {
            reader
                .read(tag.tag_type, tag.timestamp, &tag.body)
                .expect("our own tag")
        })
        .collect()
}

#[test]
fn frames_of_every_codec_and_of_any_track_come_back() {
    for codec in Codec::ALL.into_iter().chain([Codec::Aac]) {
        for id in [0, 5] {
            let (track, config) = (track(codec, id), Arc::new(config(codec)));
            let reorders = matches!(codec, Codec::H264 | Codec::H265);
            let sound = codec.kind() == Kind::Audio;
            let frames = [
                frame(&config, 0, if reorders { 80 } else { 0 }, true),
                frame(&config, 40, if reorders { 160 } else { 0 }, sound),
                frame(&config, 80, 0, sound),
                frame(&config, 120, if reorders { -40 } else { 0 }, sound),
            ];
            let mut writer = TagWriter::with_origin(MediaTime::ZERO);
            let tags: Vec<Tag> = frames
                .iter()
                .flat_map(|frame| writer.write(track, frame).expect("a whole configuration"))
                .collect();
            let records = usize::from(codec != Codec::Vp8);
            assert_eq!(tags.len(), 4 + records, "{codec}: one record, four frames");
            let mut reader = TagReader::new();
            let mut expected = vec![Item::Config { track, config }];
            expected.extend(frames.map(|frame| Item::Frame { track, frame }));
            assert_eq!(read(&mut reader, &tags), expected, "{codec} {id}");
            assert_eq!(reader.drops(), Drops::default());
        }
    }
}

#[test]
fn plain_tags_have_the_bytes_that_every_player_knows() {
    let mut writer = TagWriter::new();
    let h264 = Arc::new(config(Codec::H264));
    let tags = writer
        .write(Track::VIDEO, &frame(&h264, 1000, 80, true))
        .expect("a whole configuration");
    assert_eq!(
        tags[0].body[..6],
        [0x17, 0, 0, 0, 0, 1],
        "avcC begins with its version"
    );
    assert_eq!(tags[1].body[..5], [0x17, 1, 0, 0, 80]);
    assert_eq!(tags[1].timestamp, 0, "the first frame is the origin");
    let aac = Arc::new(config(Codec::Aac));
    let tags = writer
        .write(Track::AUDIO, &frame(&aac, 1023, 0, true))
        .expect("a whole configuration");
    assert_eq!(tags[0].body, [0xaf, 0, 0x12, 0x10]);
    assert_eq!(tags[1].body, [0xaf, 1, 0x21, 0x10, 0x04]);
    assert_eq!(tags[1].timestamp, 23);
    let opus = Arc::new(config(Codec::Opus));
    let tags = writer
        .write(Track::AUDIO, &frame(&opus, 1040, 0, true))
        .expect("a whole configuration");
    assert_eq!(tags[0].body[..13], *b"\x90OpusOpusHead");
    assert_eq!(tags[1].body[..5], *b"\x91Opus");
}

#[test]
fn a_changed_configuration_is_told_before_its_frame() {
    let (one, other) = (
        Arc::new(config(Codec::Aac)),
        Arc::new(Config::Aac {
            asc: vec![0x11, 0x90],
        }),
    );
    let mut writer = TagWriter::new();
    let mut tags = Vec::new();
    for (ms, config) in [(0, &one), (20, &one), (40, &other), (60, &other)] {
        let frame = frame(config, ms, 0, true);
        tags.extend(writer.write(Track::AUDIO, &frame).expect("a configuration"));
    }
    let items = read(&mut TagReader::new(), &tags);
    let configs: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Config { config, .. } => Some(config.clone()),
            _ => None,
        })
        .collect();
    let expected = [Some(one), None, None, Some(other), None, None];
    assert_eq!(configs, expected);
    // The last frames hold the same value, not an equal one.
    let [
        ..,
        Item::Frame { frame: a, .. },
        Item::Frame { frame: b, .. },
    ] = items.as_slice()
    else {
        panic!("frames at the end, not {items:?}");
    };
    assert!(Arc::ptr_eq(&a.config, &b.config));
}

#[test]
fn times_go_on_over_the_wrap_and_back_over_it() {
    let mut reader = TagReader::new();
    let mut times = Vec::new();
    reader
        .read(TagType::Audio, u32::MAX - 10, &[0xaf, 0, 0x12, 0x10])
        .expect("a tag");
    for timestamp in [u32::MAX - 10, 12, u32::MAX - 5, 35, 60_000, 0] {
        for item in reader
            .read(TagType::Audio, timestamp, &[0xaf, 1, 9])
            .expect("a tag")
        {
            if let Item::Frame { frame, .. } = item {
                times.push(frame.dts.0 / MS - i64::from(u32::MAX));
            }
        }
    }
    assert_eq!(times, [-10, 13, -5, 36, 60_001, 1]);
}

#[test]
fn times_go_on_over_the_wrap_of_signed_timestamps_and_a_restart_shows() {
    let mut reader = TagReader::new();
    let mut times = Vec::new();
    let half = 1_u32 << 31;
    for timestamp in [half - 20, half - 3, 10, half - 1, 30, 5_000_000, 0] {
        reader
            .read(TagType::Audio, timestamp, &[0xaf, 0, 0x12, 0x10])
            .expect("a tag");
        for item in reader
            .read(TagType::Audio, timestamp, &[0xaf, 1, 9])
            .expect("a tag")
        {
            if let Item::Frame { frame, .. } = item {
                times.push(frame.dts.0 / MS - i64::from(half));
            }
        }
    }
    assert_eq!(times, [-20, -3, 10, -1, 30, 5_000_000, 0]);
}

#[test]
fn the_writer_wraps_and_the_reader_unwraps() {
    let config = Arc::new(config(Codec::Aac));
    let mut writer = TagWriter::with_origin(MediaTime::ZERO);
    let mut reader = TagReader::new();
    let day = 86_400_000_i64;
    let mut times = Vec::new();
    for step in 0..60 {
        let frame = frame(&config, step * day + 7, 0, true);
        let tags = writer.write(Track::AUDIO, &frame).expect("a configuration");
        for item in read(&mut reader, &tags) {
            if let Item::Frame { frame, .. } = item {
                times.push(frame.dts.0 / MS);
            }
        }
    }
    // Steps of a day are within the half range of 24.8 days.
    let expected: Vec<_> = (0..60).map(|step| step * day + 7).collect();
    assert_eq!(times, expected);
}

#[test]
fn nanoseconds_move_both_times() {
    let mut reader = TagReader::new();
    let start = [
        &[0x90][..],
        b"hvc1",
        &crate::codec::records::write_hevc(&config(Codec::H265)).expect("whole"),
    ]
    .concat();
    reader.read(TagType::Video, 0, &start).expect("a tag");
    let body = [
        &[0xa7, 2, 0, 1, 0, 0x01][..],
        b"hvc1",
        &[0, 0, 40],
        &data(Codec::H265, false),
    ]
    .concat();
    let items = reader.read(TagType::Video, 10, &body).expect("a tag");
    let [Item::Frame { frame, .. }] = items.as_slice() else {
        panic!("one frame, not {items:?}");
    };
    assert_eq!(frame.dts, MediaTime(10 * MS + 256));
    assert_eq!(frame.pts, MediaTime(50 * MS + 256));
}

#[test]
fn what_comes_before_its_configuration_is_dropped_and_counted() {
    let mut reader = TagReader::new();
    for (tag_type, body) in [
        (TagType::Audio, &[0xaf, 1, 9][..]),
        (TagType::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88]),
        (TagType::Audio, b"\x91Opus\x01"),
        (TagType::Video, b"\x91av01\x32\x01\x01"),
    ] {
        let items = reader.read(tag_type, 0, body).expect("a tag");
        let track = match tag_type {
            TagType::Audio => Track::AUDIO,
            _ => Track::VIDEO,
        };
        let reason = DropReason::NoConfig;
        assert_eq!(items, [Item::Dropped { track, reason }]);
    }
    assert_eq!(reader.drops().no_config, 4);
}

#[test]
fn unsupported_codecs_are_named_once_and_counted_always() {
    let mut reader = TagReader::new();
    let first = reader
        .read(TagType::Audio, 0, &[0x2f, 0xff])
        .expect("a tag");
    let [Item::Unsupported { codec, .. }, Item::Dropped { .. }] = first.as_slice() else {
        panic!("the codec's name, not {first:?}");
    };
    assert_eq!(
        codec.to_string(),
        "audio codec MP3 is not supported: send AAC or Opus"
    );
    let second = reader
        .read(TagType::Audio, 0, &[0x2f, 0xff])
        .expect("a tag");
    assert_eq!(second.len(), 1);
    assert_eq!(reader.drops().unsupported, 2);
}

#[test]
fn parameter_sets_in_band_change_the_configuration() {
    let (sps, pps) = (
        hex("67f4000a9196847b0110000003001000000300a0f1226a"),
        hex("68ce0f1920"),
    );
    let mut body = vec![0x17, 1, 0, 0, 0];
    for nal in [&sps[..], &pps, &[0x65, 0x88, 0x84]] {
        body.extend_from_slice(&u32::try_from(nal.len()).expect("short").to_be_bytes());
        body.extend_from_slice(nal);
    }
    let mut annex_b = vec![0x17, 1, 0, 0, 0];
    crate::codec::nal::push_annex_b(&mut annex_b, [&sps[..], &pps, &[0x65, 0x88, 0x84]]);
    for body in [body, annex_b] {
        let mut reader = TagReader::new();
        let items = reader.read(TagType::Video, 0, &body).expect("a tag");
        let expected = Arc::new(config(Codec::H264));
        let track = Track::VIDEO;
        let frame = frame(&expected, 0, 0, true);
        let config = expected;
        assert_eq!(
            items,
            [Item::Config { track, config }, Item::Frame { track, frame }]
        );
    }
}

#[test]
fn short_lengths_before_nal_units_become_four_bytes() {
    let mut record = crate::codec::records::write_avc(&config(Codec::H264)).expect("whole");
    record[4] = 0xfd; // lengths of two bytes
    let mut reader = TagReader::new();
    let start = [&[0x17, 0, 0, 0, 0][..], &record].concat();
    reader.read(TagType::Video, 0, &start).expect("a tag");
    let body = [0x17, 1, 0, 0, 0, 0, 2, 0x09, 0xf0, 0, 3, 0x65, 0x88, 0x84];
    let items = reader.read(TagType::Video, 0, &body).expect("a tag");
    let [Item::Frame { frame, .. }] = items.as_slice() else {
        panic!("one frame, not {items:?}");
    };
    assert_eq!(frame.data[..], data(Codec::H264, true));
    let broken = [0x17, 1, 0, 0, 0, 0, 9, 0x65];
    let items = reader.read(TagType::Video, 0, &broken).expect("a tag");
    assert_eq!(items.len(), 1);
    assert_eq!(reader.drops().malformed, 1);
}

#[test]
fn a_keyframe_of_av1_brings_its_sequence_header() {
    let mut reader = TagReader::new();
    let start = [&[0x90][..], b"av01", &[0x81, 0, 0, 0]].concat();
    assert_eq!(reader.read(TagType::Video, 0, &start), Ok(vec![]));
    let Config::Av1 { sequence_header } = config(Codec::Av1) else {
        unreachable!("an AV1 configuration");
    };
    let body = [
        &[0x91][..],
        b"av01",
        &[0x12, 0],
        &sequence_header,
        &[0x32, 1, 7],
    ]
    .concat();
    let items = reader.read(TagType::Video, 0, &body).expect("a tag");
    let [Item::Config { config, .. }, Item::Frame { frame, .. }] = items.as_slice() else {
        panic!("a configuration and a frame, not {items:?}");
    };
    assert_eq!(**config, self::config(Codec::Av1));
    assert_eq!(
        frame.data[..],
        [&sequence_header[..], &[0x32, 1, 7]].concat()
    );
}

#[test]
fn the_number_of_tracks_is_bounded() {
    let mut reader = TagReader::new();
    for id in 0..=255 {
        let body = [&[0x96, 0x01][..], b"vp08", &[id, 0x10, 0, 0]].concat();
        reader.read(TagType::Video, 0, &body).expect("a tag");
    }
    assert_eq!(reader.drops().many_tracks, 256 - MAX_TRACKS as u64);
}

#[test]
fn a_track_ends_and_metadata_is_told() {
    let config = Arc::new(config(Codec::H264));
    let mut writer = TagWriter::new();
    let mut tags = writer
        .write(Track::VIDEO, &frame(&config, 0, 0, true))
        .expect("a configuration");
    tags.extend(writer.end(Track::VIDEO, MediaTime(40 * MS)));
    let metadata = Metadata {
        encoder: Some("Inver".to_owned()),
        width: Some(64),
        ..Metadata::default()
    };
    tags.push(writer.metadata(&metadata));
    let items = read(&mut TagReader::new(), &tags);
    assert_eq!(
        items[2..],
        [
            Item::Ended {
                track: Track::VIDEO
            },
            Item::Metadata(metadata)
        ]
    );
}

#[test]
fn mutated_tags_never_panic_and_never_grow() {
    let mut seeds = Vec::new();
    for codec in Codec::ALL.into_iter().chain([Codec::Aac]) {
        for id in [0, 1] {
            let config = Arc::new(config(codec));
            let mut writer = TagWriter::new();
            for (ms, keyframe) in [(0, true), (40, false)] {
                let frame = frame(&config, ms, 0, keyframe);
                seeds.extend(writer.write(track(codec, id), &frame).expect("whole"));
            }
        }
    }
    let metadata = Metadata {
        encoder: Some("x".to_owned()),
        ..Metadata::default()
    };
    seeds.push(TagWriter::new().metadata(&metadata));
    let mut random = fastrand::Rng::with_seed(7);
    let mut reader = TagReader::new();
    for round in 0..40_000 {
        if round % 500 == 0 {
            reader = TagReader::new();
        }
        let mut tag = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(0..6) {
            let at = random.usize(..tag.body.len().max(1));
            match random.u8(..4) {
                0 => tag.body.truncate(at),
                1 => tag.body.insert(at.min(tag.body.len()), random.u8(..)),
                _ => {
                    if let Some(byte) = tag.body.get_mut(at) {
                        *byte ^= 1 << random.u8(..8);
                    }
                }
            }
        }
        let len = tag.body.len();
        let items = reader
            .read(tag.tag_type, random.u32(..), &tag.body)
            .unwrap_or_default();
        for item in items {
            if let Item::Frame { frame, .. } = item {
                assert!(frame.data.len() <= 4 * len + 8, "{frame:?}");
            }
        }
    }
}
