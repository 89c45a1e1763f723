//! Streams that ffmpeg 5.1 wrote, beside what ffprobe finds in them.
//!
//! Each line of a list is a frame: `v` or `a`, PTS and DTS in ticks, whether it is a keyframe, and
//! length and checksum (that of sections) of its data in the shape that frames have here.

use super::*;
use crate::Codec;
use crate::container::mpegts::crc::checksum;

struct Expected {
    kind: String,
    pts: i64,
    dts: i64,
    keyframe: bool,
    len: usize,
    checksum: u32,
}

fn expected(list: &str) -> Vec<Expected> {
    list.lines()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            Expected {
                kind: fields[0].to_owned(),
                pts: fields[1].parse().expect("a number"),
                dts: fields[2].parse().expect("a number"),
                keyframe: fields[3] == "1",
                len: fields[4].parse().expect("a number"),
                checksum: u32::from_str_radix(fields[5], 16).expect("a checksum"),
            }
        })
        .collect()
}

/// Asserts that the frames read are those of the list; `slack` is in ticks.
fn compare(read: &[Frame], list: &str, kind: &str, slack: u64) {
    let mut list = expected(list);
    list.retain(|one| one.kind == kind);
    assert_eq!(read.len(), list.len());
    for (at, (read, one)) in read.iter().zip(list).enumerate() {
        assert!(read.pts.ticks(90_000).abs_diff(one.pts) <= slack, "{at}");
        assert!(read.dts.ticks(90_000).abs_diff(one.dts) <= slack, "{at}");
        assert_eq!(read.keyframe, one.keyframe, "{at}");
        assert_eq!(read.data.len(), one.len, "{at}");
        assert_eq!(checksum(&read.data), one.checksum, "{at}");
    }
}

#[test]
fn h264_with_b_frames_and_aac() {
    let list = include_str!("data/h264-aac.txt");
    for step in [1, 188, 1316, 100_000] {
        let items = read(include_bytes!("data/h264-aac.ts"), step);
        assert_eq!(remarks(&items), Vec::<&Item>::new());
        let video = frames(&items, Pid(0x100));
        compare(&video, list, "v", 0);
        assert!(video.iter().any(|frame| frame.pts != frame.dts));
        // Ours are exact to the sample, the list's to the tick.
        let sound = frames(&items, Pid(0x101));
        compare(&sound, list, "a", 1);
        let config = AudioSpecificConfig::lc(44_100, 1).expect("valid");
        let asc = config.write().expect("valid");
        assert_eq!(*sound[0].config, Config::Aac { asc });
        let Item::Tracks(tracks) = &items[0] else {
            panic!("tracks come first, not {:?}", items[0]);
        };
        assert_eq!(tracks[1].language.as_deref(), Some("gle"));
    }
}

#[test]
fn h265_and_opus() {
    let list = include_str!("data/h265-opus.txt");
    let items = read(include_bytes!("data/h265-opus.ts"), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    let video = frames(&items, Pid(0x100));
    compare(&video, list, "v", 0);
    assert_eq!(video[0].codec(), Codec::H265);
    let sound = frames(&items, Pid(0x101));
    compare(&sound, list, "a", 1);
    let opus = Config::Opus {
        channels: 2,
        pre_skip: 312,
    };
    assert_eq!(*sound[0].config, opus);
}

#[test]
fn aac_in_latm() {
    let items = read(include_bytes!("data/latm.ts"), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    let sound = frames(&items, Pid(0x100));
    compare(&sound, include_str!("data/latm.txt"), "a", 1);
    let Config::Aac { asc } = &*sound[0].config else {
        panic!("AAC, not {:?}", sound[0].config);
    };
    let config = AudioSpecificConfig::parse(asc).expect("valid");
    assert_eq!((config.sample_rate, config.channels), (44_100, 1));
}

#[test]
fn written_again_and_read_again_they_are_the_same() {
    let items = read(include_bytes!("data/h264-aac.ts"), 1316);
    let (video, sound) = (frames(&items, Pid(0x100)), frames(&items, Pid(0x101)));
    let items = read(&written(&[&video, &sound]), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    assert_eq!(frames(&items, Pid(0x100)), video);
    let heard = frames(&items, Pid(0x101));
    assert_eq!(heard.len(), sound.len());
    assert!(heard.iter().zip(&sound).all(|(a, b)| a.data == b.data));
}
