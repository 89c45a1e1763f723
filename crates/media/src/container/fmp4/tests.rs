//! What is written is read back by a reader of boxes that knows nothing of the writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Run, Sample, Track, Unsupported, fragment, init_segment};
use crate::container::mpegts::{Item, Reader};
use crate::{Codec, Config, Frame, Kind, MediaTime};

/// The boxes side by side in `bytes`, which they must fill.
fn boxes(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes(bytes[..4].try_into().expect("four")) as usize;
        assert!(
            len >= 8 && len <= bytes.len(),
            "a box ends behind its parent"
        );
        let name = String::from_utf8(bytes[4..8].to_vec()).expect("letters");
        found.push((name, &bytes[8..len]));
        bytes = &bytes[len..];
    }
    found
}

/// The one box at the end of a path.
fn at<'a>(bytes: &'a [u8], path: &str) -> &'a [u8] {
    path.split('/').fold(bytes, |bytes, wanted| {
        let mut fitting = boxes(bytes).into_iter().filter(|(name, _)| name == wanted);
        let (_, body) = fitting
            .next()
            .unwrap_or_else(|| panic!("no {wanted} of {path}"));
        assert!(fitting.next().is_none(), "one {wanted}");
        body
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A sample as read back: track, decoding time, duration, composition, keyframe, bytes.
type Read = (u32, u64, u32, i32, bool, Vec<u8>);

fn samples(fragment: &[u8]) -> Vec<Read> {
    let mut read = Vec::new();
    for (name, body) in boxes(at(fragment, "moof")) {
        if name != "traf" {
            continue;
        }
        let track = u32_at(at(body, "tfhd"), 4);
        let tfdt = at(body, "tfdt");
        let mut dts = u64::from_be_bytes(tfdt[4..12].try_into().expect("eight"));
        let run = at(body, "trun");
        let flags = u32_at(run, 0) & 0xff_ffff;
        let count = u32_at(run, 4);
        let mut data = u32_at(run, 8) as usize;
        let mut field = 12;
        for _ in 0..count {
            let (duration, size, sample_flags) = (
                u32_at(run, field),
                u32_at(run, field + 4),
                u32_at(run, field + 8),
            );
            field += 12;
            let mut composition = 0;
            if flags & 0x800 != 0 {
                composition = u32_at(run, field) as i32;
                field += 4;
            }
            let end = data + size as usize;
            let keyframe = sample_flags & 0x1_0000 == 0;
            let bytes = fragment[data..end].to_vec();
            read.push((track, dts, duration, composition, keyframe, bytes));
            data = end;
            dts += u64::from(duration);
        }
        assert_eq!(field, run.len());
    }
    read
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::default();
    reader.push(stream);
    reader.finish();
    std::iter::from_fn(|| reader.poll())
        .filter_map(|item| match item {
            Item::Frame { frame, .. } => Some(frame),
            Item::Tracks(_)
            | Item::Data { .. }
            | Item::Unsupported { .. }
            | Item::ProgramSkipped { .. }
            | Item::Lost { .. }
            | Item::Discontinuity { .. }
            | Item::Warning(_) => None,
        })
        .collect()
}

fn of_kind(frames: &[Frame], kind: Kind) -> Vec<Frame> {
    let fitting = frames.iter().filter(|frame| frame.codec().kind() == kind);
    fitting.cloned().collect()
}

fn to_samples(track: &Track, frames: &[Frame]) -> Vec<Sample> {
    let next = |at: usize| {
        let next = frames.get(at + 1)?;
        let ticks = track.ticks(next.dts) - track.ticks(frames[at].dts);
        u32::try_from(ticks).ok()
    };
    let duration = |at| next(at).unwrap_or(1);
    let each = frames.iter().enumerate();
    each.map(|(at, frame)| Sample::of(track, frame, duration(at)))
        .collect()
}

#[test]
fn pictures_and_sound_come_back_as_they_went_in() {
    for (stream, names) in [
        (
            &include_bytes!("../mpegts/tests/data/h264-aac.ts")[..],
            ["avc1.", "mp4a.40.2"],
        ),
        (
            &include_bytes!("../mpegts/tests/data/h265-opus.ts")[..],
            ["hvc1.", "opus"],
        ),
    ] {
        let all = frames(stream);
        let (video, audio) = (of_kind(&all, Kind::Video), of_kind(&all, Kind::Audio));
        let tracks = [Track::of(1, &video[0]), Track::of(2, &audio[0])];
        for (track, name) in tracks.iter().zip(names) {
            let codecs = track.codecs().expect("complete");
            assert!(codecs.to_lowercase().starts_with(name), "{codecs}");
        }
        let init = init_segment(&tracks).expect("carried");
        let brands: Vec<String> = boxes(&init).into_iter().map(|(name, _)| name).collect();
        assert_eq!(brands, ["ftyp", "moov"]);

        let written = [
            to_samples(&tracks[0], &video),
            to_samples(&tracks[1], &audio),
        ];
        let runs = [
            Run {
                track: 1,
                samples: &written[0],
            },
            Run {
                track: 2,
                samples: &written[1],
            },
        ];
        let read = samples(&fragment(7, &runs));
        assert_eq!(read.len(), video.len() + audio.len());
        let mut at: BTreeMap<u32, usize> = BTreeMap::new();
        for (track, dts, duration, composition, keyframe, bytes) in read {
            let index = at.entry(track).or_default();
            let sample = &written[track as usize - 1][*index];
            assert_eq!(dts, sample.dts as u64);
            assert_eq!(
                (duration, composition),
                (sample.duration, sample.composition)
            );
            assert_eq!(keyframe, sample.keyframe);
            assert_eq!(bytes, &*sample.data);
            *index += 1;
        }
        let reordered = written[0].iter().any(|sample| sample.composition != 0);
        assert!(reordered, "both streams have B-frames");
    }
}

#[test]
fn the_picture_size_and_the_record_are_told() {
    let all = frames(include_bytes!("../mpegts/tests/data/h264-aac.ts"));
    let video = of_kind(&all, Kind::Video);
    let track = Track::of(3, &video[0]);
    let (width, height) = track.size.expect("told by the parameter set");
    let init = init_segment(std::slice::from_ref(&track)).expect("carried");
    let header = at(&init, "moov/trak/tkhd");
    assert_eq!(u32_at(header, 12), 3);
    assert_eq!(u32_at(header, 76) >> 16, width);
    assert_eq!(u32_at(header, 80) >> 16, height);
    assert_eq!(u32_at(at(&init, "moov/trak/mdia/mdhd"), 12), 90_000);
    let description = &at(&init, "moov/trak/mdia/minf/stbl/stsd")[8..];
    let entry = at(description, "avc1");
    let record = crate::codec::records::write_avc(&track.config).expect("complete");
    assert_eq!(at(&entry[78..], "avcC"), record);
}

#[test]
fn what_cannot_be_carried_is_named() {
    let frame = |config| Frame {
        config: Arc::new(config),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: true,
        data: Arc::from([0]),
    };
    let vp8 = Track::of(1, &frame(Config::Vp8));
    assert_eq!(init_segment(&[vp8]), Err(Unsupported::Codec(Codec::Vp8)));
    let empty = Config::H264 {
        sps: Vec::new(),
        pps: Vec::new(),
    };
    let refused = init_segment(&[Track::of(1, &frame(empty))]);
    assert_eq!(refused, Err(Unsupported::Incomplete(Codec::H264)));
}
