//! Keyframes of real encoders: the left half is red, the right half is blue.
//!
//! `data/red-blue.vp8`: 100x90, one frame of libvpx. `data/red-blue.ts`: 1280x720, one IDR picture
//! of x264 with the colours of BT.709.

use std::sync::Arc;

use super::*;
use crate::container::mpegts::{Item, Reader};
use crate::{Config, MediaTime};

const VP8: &[u8] = include_bytes!("data/red-blue.vp8");
const H264: &[u8] = include_bytes!("data/red-blue.ts");
/// Pictures that wait for others before they are shown.
const B_FRAMES: &[u8] = include_bytes!("../video/tests/data/b-frames.ts");
/// Groups that begin with a recovery point.
const OPEN_GROUPS: &[u8] = include_bytes!("../video/tests/data/open-groups.ts");

fn vp8(data: &[u8]) -> Frame {
    Frame {
        config: Arc::new(Config::Vp8),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: true,
        data: data.into(),
    }
}

/// The frames of a transport stream.
fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::default();
    reader.push(stream);
    reader.finish();
    std::iter::from_fn(|| reader.poll())
        .filter_map(|item| match item {
            Item::Frame { frame, .. } => Some(frame),
            _ => None,
        })
        .collect()
}

fn assert_red_and_blue(pixels: &Pixels) {
    let (width, height) = (usize::from(pixels.width), usize::from(pixels.height));
    assert_eq!(pixels.rgb.len(), width * height * 3);
    let row = height / 2 * width;
    for (column, wanted) in [(width / 4, [255, 0, 0]), (width * 3 / 4, [0, 0, 255])] {
        let at = (row + column) * 3;
        let seen = &pixels.rgb[at..at + 3];
        let near = seen
            .iter()
            .zip(wanted)
            .all(|(one, other)| one.abs_diff(other) < 12);
        assert!(near, "{seen:?} at {column}, not {wanted:?}");
    }
}

fn drawn(frame: &Frame) -> Pixels {
    pixels(frame, &Settings::default()).expect("a picture")
}

#[test]
fn vp8_keeps_its_colours_and_its_size() {
    let pixels = drawn(&vp8(VP8));
    assert_eq!((pixels.width, pixels.height), (100, 90));
    assert_red_and_blue(&pixels);
}

#[test]
fn h264_keeps_its_colours_and_is_shrunk() {
    let [frame] = &frames(H264)[..] else {
        panic!("one frame")
    };
    let pixels = drawn(frame);
    assert_eq!((pixels.width, pixels.height), (640, 360));
    assert_red_and_blue(&pixels);
}

#[test]
fn every_keyframe_gives_a_picture_by_itself() {
    for (stream, size, count) in [(B_FRAMES, (192, 108), 3), (OPEN_GROUPS, (128, 96), 3)] {
        let frames = frames(stream);
        let keyframes: Vec<_> = frames.iter().filter(|frame| frame.keyframe).collect();
        assert_eq!(keyframes.len(), count);
        for frame in keyframes {
            let pixels = drawn(frame);
            assert_eq!((pixels.width, pixels.height), size);
        }
    }
}

#[test]
fn what_comes_out_is_a_jpeg() {
    let still = still(&vp8(VP8), &Settings::default()).expect("a picture");
    assert_eq!((still.width, still.height), (100, 90));
    assert!(still.jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    assert!(still.jpeg.ends_with(&[0xff, 0xd9]));
}

#[test]
fn what_cannot_be_decoded_is_told() {
    let frames = frames(B_FRAMES);
    let later = frames.iter().find(|frame| !frame.keyframe);
    let error = |frame: &Frame| still(frame, &Settings::default()).expect_err("no picture");
    assert_eq!(error(later.expect("more frames")), Error::NotAKeyframe);
    let vp9 = Frame {
        config: Arc::new(Config::Vp9 { profile: 0 }),
        ..vp8(VP8)
    };
    assert_eq!(error(&vp9), Error::NoDecoder(Codec::Vp9));
    assert_eq!(error(&vp8(&[])), Error::Damaged);
    assert_eq!(error(&vp8(&VP8[..40])), Error::Damaged);
    let without_sets = Frame {
        config: Arc::new(Config::H264 {
            sps: Vec::new(),
            pps: Vec::new(),
        }),
        ..frames[0].clone()
    };
    assert_eq!(error(&without_sets), Error::Damaged);
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_made_that_large() {
    let mut large = VP8.to_vec();
    large[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let error = still(&vp8(&large), &Settings::default()).expect_err("too large");
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
}

#[test]
fn damage_is_an_error_or_another_picture_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(7);
    let whole = [vp8(VP8), frames(B_FRAMES)[0].clone()];
    for _ in 0..300 {
        for frame in &whole {
            let mut data = frame.data.to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..data.len());
                data[at] ^= random.u8(1..);
            }
            data.truncate(random.usize(1..=data.len()));
            let damaged = Frame {
                data: data.into(),
                ..frame.clone()
            };
            let _ = pixels(&damaged, &Settings::default());
        }
    }
}

#[test]
fn pictures_keep_their_aspect() {
    let settings = Settings::default();
    for (size, wanted) in [
        ((1920, 1080), Some((640, 360))),
        ((1080, 1920), Some((360, 640))),
        ((320, 240), Some((320, 240))),
        ((3840, 16), Some((640, 3))),
        ((3840, 1), Some((640, 1))),
        ((641, 640), Some((640, 639))),
        ((0, 10), None),
    ] {
        assert_eq!(fitting(size, &settings), wanted, "{size:?}");
    }
}
