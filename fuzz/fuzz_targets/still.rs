//! Keyframes from strangers, on their way to become still pictures.
//!
//! The first byte says what is damaged: VP8 as it comes, or H.264 of a real encoder with bytes and
//! parameter sets that the input changes.
#![cfg_attr(fuzzing, no_main)]

use std::sync::{Arc, OnceLock};

use inver_fuzz::Input;
use inver_media::container::mpegts::{Item, Reader};
use inver_media::still::{Error, Settings, still};
use inver_media::{Config, Frame, MediaTime};

inver_fuzz::target!(run);

/// Pictures of 128x96, two slices each, a recovery point every ten.
const STREAM: &[u8] =
    include_bytes!("../../crates/media/src/video/tests/data/open-groups-cavlc.ts");

/// The keyframes of the stream.
fn source() -> &'static [Frame] {
    static SOURCE: OnceLock<Vec<Frame>> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut reader = Reader::default();
        reader.push(STREAM);
        reader.finish();
        std::iter::from_fn(|| reader.poll())
            .filter_map(|item| match item {
                Item::Frame { frame, .. } if frame.keyframe => Some(frame),
                _ => None,
            })
            .collect()
    })
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let frame = match input.byte() % 4 {
        0 => Frame {
            config: Arc::new(Config::Vp8),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe: true,
            data: input.rest().into(),
        },
        way => damaged(way, &mut input),
    };
    let settings = Settings::default();
    match still(&frame, &settings) {
        Ok(picture) => {
            assert!((1..=settings.width).contains(&picture.width));
            assert!((1..=settings.height).contains(&picture.height));
            assert!(picture.jpeg.starts_with(&[0xff, 0xd8]));
        }
        Err(error) => assert!(!matches!(error, Error::NoDecoder(_) | Error::NotAKeyframe)),
    }
}

fn damaged(way: u8, input: &mut Input<'_>) -> Frame {
    let source = source();
    let mut frame = source[usize::from(input.byte()) % source.len()].clone();
    match way {
        1 => {
            let mut bytes = frame.data.to_vec();
            for _ in 0..=input.byte() & 7 {
                let at = usize::from(input.short()) % bytes.len();
                bytes[at] ^= input.byte();
            }
            frame.data = bytes.into();
        }
        2 => {
            let mut config = (*frame.config).clone();
            if let Config::H264 { sps, pps } = &mut config {
                let sets = if input.byte() & 1 == 0 { sps } else { pps };
                for set in sets {
                    let at = usize::from(input.byte()) % set.len();
                    set[at] ^= input.byte();
                }
            }
            frame.config = Arc::new(config);
        }
        _ => frame.data = input.rest().into(),
    }
    frame
}
