//! A stream with pictures coded out of order that is damaged on its way to be coded again.
//!
//! The input says, frame after frame, what happens: a byte, with more bytes for some. The stream is
//! one that another program made; it repeats, later each time, while there is input.
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use inver_fuzz::{Input, check_frame};
use inver_media::codec::{h264, nal};
use inver_media::container::mpegts::{Item, Reader};
use inver_media::video::{Bitrate, Error, Reencoder, Settings};
use inver_media::{Config, Frame};

inver_fuzz::target!(run);

/// 35 pictures of 128x96, two slices each, a recovery point every ten.
const STREAM: &[u8] =
    include_bytes!("../../crates/media/src/video/tests/data/open-groups-cavlc.ts");

/// Frames that are taken at most, to bound the time of one input.
const FRAMES: usize = 70;

/// Pictures that wait inside at most.
const WAITING: u64 = 16;

fn source() -> &'static [Frame] {
    static SOURCE: OnceLock<Vec<Frame>> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut reader = Reader::default();
        reader.push(STREAM);
        reader.finish();
        std::iter::from_fn(|| reader.poll())
            .filter_map(|item| match item {
                Item::Frame { frame, .. } => Some(frame),
                _ => None,
            })
            .collect()
    })
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = Settings {
        bitrate: Bitrate::Fixed(300_000),
        ..Settings::default()
    };
    let mut reencoder = Reencoder::new(settings).expect("good settings");
    let source = source();
    let mut given = HashSet::new();
    let mut out = Vec::new();
    let mut restarted = false;
    for (index, frame) in source.iter().cycle().take(FRAMES).enumerate() {
        if input.is_empty() {
            break;
        }
        let mut frame = frame.clone();
        let late = (index / source.len()) as i64 * 2_000_000_000;
        frame.pts = frame.pts.shifted(late);
        frame.dts = frame.dts.shifted(late);
        match input.byte() % 16 {
            0 => continue,
            1 => {
                let mut bytes = frame.data.to_vec();
                for _ in 0..=input.byte() & 7 {
                    let at = usize::from(input.short()) % bytes.len();
                    bytes[at] ^= input.byte();
                }
                frame.data = bytes.into();
            }
            2 => {
                let len = usize::from(input.short()) % frame.data.len();
                frame.data = frame.data[..len].into();
            }
            3 => frame.data = input.block().into(),
            4 => reencoder.request_keyframe(),
            5 => frame.keyframe = !frame.keyframe,
            6 => {
                let step = i64::from(input.short()) * 1_000_000 - 30_000_000_000;
                frame.pts = frame.pts.shifted(step);
            }
            7 => {
                restarted = true;
                let step = i64::from(input.byte()) * 10_000_000;
                frame.pts = frame.pts.shifted(-step);
                frame.dts = frame.dts.shifted(-step);
            }
            8 => frame.config = Arc::new(damaged(&frame.config, &mut input)),
            _ => {}
        }
        given.insert(frame.pts);
        match reencoder.push(&frame) {
            Ok(frames) => out.extend(frames),
            Err(error) => assert!(!matches!(error, Error::NotH264(_) | Error::Settings(_))),
        }
        let statistics = reencoder.statistics();
        let waiting = statistics.pictures_in - statistics.pictures_out - statistics.dropped;
        assert!(waiting <= WAITING, "{statistics:?}");
    }
    let statistics = reencoder.statistics();
    assert_eq!(statistics.pictures_out, out.len() as u64);
    assert!(
        out.first().is_none_or(|frame| frame.keyframe),
        "begins in the middle"
    );
    for frame in &out {
        check_frame(frame);
        assert!(given.contains(&frame.pts), "a time that nobody gave");
        assert_eq!(frame.pts, frame.dts, "pictures in order");
        let mut slices = nal::length_prefixed(&frame.data, nal::NalLength::Four);
        assert!(!slices.any(h264::is_b_slice));
    }
    let forward = out.windows(2).all(|pair| pair[0].pts < pair[1].pts);
    assert!(forward || restarted, "time goes back");
}

/// Parameter sets with bits turned.
fn damaged(config: &Config, input: &mut Input<'_>) -> Config {
    let mut config = config.clone();
    if let Config::H264 { sps, pps } = &mut config {
        let sets = if input.byte() & 1 == 0 { sps } else { pps };
        for set in sets {
            let at = usize::from(input.byte()) % set.len();
            set[at] ^= input.byte();
        }
    }
    config
}
