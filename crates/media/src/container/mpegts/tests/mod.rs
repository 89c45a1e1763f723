//! Whole streams: written and read, as another program wrote them, damaged.

mod damage;
mod foreign;
mod programs;
mod round_trip;

use std::sync::Arc;

use super::{Item, Pid, Reader, TrackConfig, Writer};
use crate::codec::aac::AudioSpecificConfig;
use crate::{Config, Frame, MediaTime};

/// Everything that a reader makes of bytes, pushed in pieces of `step`.
fn read(bytes: &[u8], step: usize) -> Vec<Item> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    for piece in bytes.chunks(step) {
        reader.push(piece);
        items.extend(std::iter::from_fn(|| reader.poll()));
    }
    reader.finish();
    items.extend(std::iter::from_fn(|| reader.poll()));
    items
}

/// The frames of one track.
fn frames(items: &[Item], pid: Pid) -> Vec<Frame> {
    let frames = items.iter().filter_map(|item| match item {
        Item::Frame { track, frame } if *track == pid => Some(frame.clone()),
        Item::Tracks(_)
        | Item::Frame { .. }
        | Item::Data { .. }
        | Item::Unsupported { .. }
        | Item::ProgramSkipped { .. }
        | Item::Lost { .. }
        | Item::Discontinuity { .. }
        | Item::Warning(_) => None,
    });
    frames.collect()
}

/// Everything but frames and tracks: in an undamaged stream there is nothing.
fn remarks(items: &[Item]) -> Vec<&Item> {
    let quiet = |item: &&Item| !matches!(item, Item::Frame { .. } | Item::Tracks(_));
    items.iter().filter(quiet).collect()
}

/// Writes frames of several tracks, in the order of their decoding times.
fn written(tracks: &[&[Frame]]) -> Vec<u8> {
    let configs: Vec<_> = tracks
        .iter()
        .map(|frames| TrackConfig {
            config: frames[0].config.clone(),
            language: None,
        })
        .collect();
    let mut writer = Writer::new(&configs).expect("carried");
    let mut out = Vec::new();
    for (track, frame) in interleaved(tracks) {
        writer.write(track, frame).expect("a good frame");
        drain(&mut writer, &mut out);
    }
    out
}

/// Frames of several tracks in the order of their decoding times.
fn interleaved<'a>(tracks: &[&'a [Frame]]) -> Vec<(usize, &'a Frame)> {
    let mut order: Vec<_> = (0..)
        .zip(tracks)
        .flat_map(|(track, frames)| frames.iter().map(move |frame| (track, frame)))
        .collect();
    order.sort_by_key(|(_, frame)| frame.dts);
    order
}

fn drain(writer: &mut Writer, out: &mut Vec<u8>) {
    while let Some(datagram) = writer.datagram() {
        assert_eq!(datagram.len(), super::DATAGRAM);
        out.extend_from_slice(datagram);
    }
    if let Some(rest) = writer.rest() {
        assert!(rest.len() % 188 == 0 && rest.len() < super::DATAGRAM);
        out.extend_from_slice(rest);
    }
}

fn h264() -> Arc<Config> {
    Arc::new(Config::H264 {
        sps: vec![vec![0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80]],
        pps: vec![vec![0x68, 0xce, 0x3c, 0x80]],
    })
}

fn h265() -> Arc<Config> {
    Arc::new(Config::H265 {
        vps: vec![vec![0x40, 0x01, 0x0c, 0x01, 0xff]],
        sps: vec![vec![0x42, 0x01, 0x01, 0x01, 0x60]],
        pps: vec![vec![0x44, 0x01, 0xc1, 0x72]],
    })
}

fn aac(rate: u32) -> Arc<Config> {
    let config = AudioSpecificConfig::lc(rate, 2).expect("valid");
    Arc::new(Config::Aac {
        asc: config.write().expect("valid"),
    })
}

/// Pictures 1/25 s apart from `start` ticks on, a keyframe every `gop`th, with B-frames where
/// `reordered`. Sizes and bytes come of the seed.
fn video(config: &Arc<Config>, start: i64, count: i64, gop: i64, reordered: bool) -> Vec<Frame> {
    let mut rng = fastrand::Rng::with_seed(42);
    let h265 = matches!(**config, Config::H265 { .. });
    (0..count)
        .map(|number| {
            let keyframe = number % gop == 0;
            let mut data = Vec::new();
            for slice in 0..rng.u8(1..3) {
                // The first slice's first bit is set, that of the others is not.
                let first = if slice == 0 { 0x88 } else { 0x48 };
                let mut nal = match (h265, keyframe) {
                    (false, true) => vec![0x65, first],
                    (false, false) => vec![0x41, first],
                    (true, true) => vec![0x26, 0x01, first],
                    (true, false) => vec![0x02, 0x01, first],
                };
                // Some are longer than what the length of a PES packet can tell.
                let len = match (keyframe, number % (4 * gop)) {
                    (true, 0) => 90_000,
                    (true, _) => 9_000,
                    (false, _) => 3_000,
                };
                // No zeros, so that nothing has to be escaped.
                let len = rng.usize(1..len);
                nal.extend(std::iter::repeat_with(|| rng.u8(1..)).take(len));
                data.extend_from_slice(&u32::try_from(nal.len()).expect("small").to_be_bytes());
                data.extend_from_slice(&nal);
            }
            let dts = start + number * 3_600;
            let ahead = match (reordered, number % 3) {
                (false, _) => 0,
                (true, 0) => 7_200,
                (true, _) => 3_600,
            };
            Frame {
                config: config.clone(),
                pts: MediaTime::from_ticks(dts + ahead, 90_000),
                dts: MediaTime::from_ticks(dts, 90_000),
                keyframe,
                data: data.into(),
            }
        })
        .collect()
}

/// Sound from `start` ticks of 90 kHz on, `samples` at `rate` hertz in each frame.
fn sound(config: &Arc<Config>, start: i64, count: i64, samples: i64, rate: u32) -> Vec<Frame> {
    let mut rng = fastrand::Rng::with_seed(43);
    (0..count)
        .map(|number| {
            let offset = MediaTime::from_ticks(number * samples, rate);
            let pts = MediaTime::from_ticks(start, 90_000).shifted(offset.0);
            // The first byte says 20 ms, where the codec is Opus.
            let mut data = vec![0xfc];
            let len = rng.usize(1..600);
            data.extend(std::iter::repeat_with(|| rng.u8(..)).take(len));
            Frame {
                config: config.clone(),
                pts,
                dts: pts,
                keyframe: true,
                data: data.into(),
            }
        })
        .collect()
}
