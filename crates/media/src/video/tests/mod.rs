//! Streams that x264 made, coded again.
//!
//! `data/b-frames.ts`: 192x108, 25 pictures a second, 75 pictures, an IDR picture every 25, three
//! B-frames that others refer to. `data/open-groups.ts`: 128x96, the same but two B-frames and
//! groups that begin with a recovery point instead of an IDR picture.
//! `data/open-groups-cavlc.ts`: 35 such pictures in groups of ten, two slices each, without
//! arithmetic coding. In all of them each picture is
//! brighter than the one shown before it, so that the order of pictures can be seen.

mod changes;
mod faults;
mod presentation;

use std::sync::Arc;

use super::library::Decoder;
use super::{Bitrate, Reencoder, Settings, Statistics};
use crate::codec::{h264, nal};
use crate::container::mpegts::{Item, Reader};
use crate::{Config, Frame, MediaTime};

const B_FRAMES: &[u8] = include_bytes!("data/b-frames.ts");
const OPEN_GROUPS: &[u8] = include_bytes!("data/open-groups.ts");

const OPEN_GROUPS_CAVLC: &[u8] = include_bytes!("data/open-groups-cavlc.ts");

/// The frames of a sample, in decode order.
fn source(sample: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::default();
    reader.push(sample);
    reader.finish();
    std::iter::from_fn(|| reader.poll())
        .filter_map(|item| match item {
            Item::Frame { frame, .. } => Some(frame),
            _ => None,
        })
        .collect()
}

fn later(frames: &[Frame], nanos: i64) -> Vec<Frame> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        frame.pts = frame.pts.shifted(nanos);
        frame.dts = frame.dts.shifted(nanos);
    }
    frames
}

/// One with bits to spare, so that pictures can be told from one another.
fn reencoder() -> Reencoder {
    let settings = Settings {
        bitrate: Bitrate::Fixed(2_000_000),
        ..Settings::default()
    };
    Reencoder::new(settings).expect("good settings")
}

fn push_all(reencoder: &mut Reencoder, frames: &[Frame]) -> Vec<Frame> {
    let out = frames
        .iter()
        .flat_map(|frame| reencoder.push(frame).expect("coded again"));
    out.collect()
}

/// Pictures in a decoder, as the statistics have them.
fn waiting(statistics: &Statistics) -> u64 {
    statistics.pictures_in - statistics.pictures_out - statistics.dropped
}

fn times(frames: &[Frame]) -> Vec<MediaTime> {
    frames.iter().map(|frame| frame.pts).collect()
}

/// Presentation times in order.
fn sorted_times(frames: &[Frame]) -> Vec<MediaTime> {
    let mut times = times(frames);
    times.sort();
    times
}

/// The luma samples of each picture, in presentation order.
fn decoded(frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new().expect("made");
    let mut pictures = Vec::new();
    for frame in frames {
        let unit = nal::to_annex_b(&frame.config, frame.keyframe, &frame.data);
        pictures.extend(
            decoder
                .decode(&unit)
                .expect("decodes")
                .map(|one| one.luma()),
        );
    }
    decoder.finish(|picture| pictures.push(picture.luma()));
    pictures
}

fn brightness(picture: &[u8]) -> f64 {
    picture.iter().map(|sample| f64::from(*sample)).sum::<f64>() / picture.len() as f64
}

/// How alike two pictures are, in decibels (peak signal to noise).
fn likeness(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let squares = one
        .iter()
        .zip(other)
        .map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2));
    let mean = squares.sum::<f64>() / one.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

fn b_slices(frames: &[Frame]) -> usize {
    let units = frames
        .iter()
        .flat_map(|frame| nal::length_prefixed(&frame.data, nal::NalLength::Four));
    units.filter(|nal| h264::is_b_slice(nal)).count()
}

/// The same frame with other bytes.
fn with_data(frame: &Frame, data: Vec<u8>) -> Frame {
    Frame {
        data: Arc::from(data),
        ..frame.clone()
    }
}

/// The same frame with other parameter sets.
fn with_sets(frame: &Frame, sps: &[&[u8]], pps: &[&[u8]]) -> Frame {
    let owned = |sets: &[&[u8]]| sets.iter().map(|set| set.to_vec()).collect();
    Frame {
        config: Arc::new(Config::H264 {
            sps: owned(sps),
            pps: owned(pps),
        }),
        ..frame.clone()
    }
}

fn sets(frame: &Frame) -> (Vec<u8>, Vec<u8>) {
    match &*frame.config {
        Config::H264 { sps, pps } => (sps[0].clone(), pps[0].clone()),
        other => panic!("not H.264: {other:?}"),
    }
}
