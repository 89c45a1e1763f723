//! Sound of AAC or Opus that is damaged, made into Opus or AAC.
//!
//! The first byte chooses both codecs, the second how much of the configuration of AAC follows.
//! Each unit is a byte (how far time goes on) and bytes behind two of length.
#![cfg_attr(fuzzing, no_main)]

use std::sync::Arc;

use inver_fuzz::Input;
use inver_media::audio::{AAC_BITRATE, Error, OPUS_BITRATE, Stats, ToAac, ToOpus};
use inver_media::{Codec, Config, Frame, MediaTime};

inver_fuzz::target!(run);

/// Units that are taken at most, to bound the time of one input.
const UNITS: usize = 40;

/// Frames of 20 ms or more that one unit makes at most: the longest packet of Opus has 120 ms, a
/// gap of 200 ms is filled, and what was there before comes out too.
const AT_ONCE: usize = 32;

enum Bridge {
    Opus(ToOpus),
    Aac(ToAac),
}

impl Bridge {
    fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Opus(bridge) => bridge.push(frame),
            Self::Aac(bridge) => bridge.push(frame),
        }
    }

    fn finish(&mut self) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Opus(bridge) => bridge.finish(),
            Self::Aac(bridge) => bridge.finish(),
        }
    }

    fn config(&self) -> Arc<Config> {
        match self {
            Self::Opus(bridge) => bridge.config().clone(),
            Self::Aac(bridge) => bridge.config().clone(),
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Self::Opus(bridge) => bridge.stats(),
            Self::Aac(bridge) => bridge.stats(),
        }
    }
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let mut bridge = if choice & 1 == 0 {
        Bridge::Opus(ToOpus::new(OPUS_BITRATE).expect("a good bitrate"))
    } else {
        Bridge::Aac(ToAac::new(AAC_BITRATE).expect("a good bitrate"))
    };
    let len = usize::from(input.byte());
    let config = Arc::new(if choice & 2 == 0 {
        let asc = input.bytes(len).to_vec();
        Config::Aac { asc }
    } else {
        Config::Opus {
            channels: choice >> 2,
            pre_skip: 312,
        }
    });
    let mut time = MediaTime::ZERO;
    for _ in 0..UNITS {
        if input.is_empty() {
            break;
        }
        // Most steps are those of 1024 samples or 20 ms; a few go back or far ahead.
        let step = match input.byte() {
            0 => 21_333_333,
            1 => 20_000_000,
            2 => -500_000_000,
            3 => i64::MAX / 2,
            other => i64::from(other) * 1_000_000,
        };
        let frame = Frame {
            config: config.clone(),
            pts: time,
            dts: time,
            keyframe: true,
            data: input.block().into(),
        };
        time = time.shifted(step);
        let out = bridge.push(&frame);
        check(&bridge, out);
    }
    let out = bridge.finish();
    check(&bridge, out);
    let stats = bridge.stats();
    assert!(stats.correction_ppm.is_finite());
    assert!(stats.decoded + stats.corrupt <= UNITS as u64);
}

fn check(bridge: &Bridge, out: Result<Vec<Frame>, Error>) {
    let frames = match out {
        Ok(frames) => frames,
        Err(error) => {
            assert!(
                !matches!(error, Error::Panicked | Error::Ended),
                "a codec library panicked"
            );
            return;
        }
    };
    assert!(frames.len() <= AT_ONCE, "{} frames", frames.len());
    let config = bridge.config();
    let mut last = None;
    for frame in frames {
        assert_eq!(frame.config, config);
        assert!(frame.keyframe && frame.pts == frame.dts);
        assert!(matches!(frame.codec(), Codec::Opus | Codec::Aac));
        assert!((1..8192).contains(&frame.data.len()));
        assert_ne!(last.replace(frame.pts), Some(frame.pts), "two at one time");
    }
}
