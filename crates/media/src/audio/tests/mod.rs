//! The bridges with their codecs: what goes in as sound comes out as the same sound, in time.

mod alignment;
mod faults;
mod fidelity;
mod timing;

use std::sync::Arc;

use super::*;
use crate::{Config, Frame, MediaTime};

/// Either bridge, so that each behaviour is tested for both.
enum Bridge {
    Opus(Box<ToOpus>),
    Aac(Box<ToAac>),
}

impl Bridge {
    fn both() -> [Self; 2] {
        [
            Self::Opus(Box::new(
                ToOpus::new(OPUS_BITRATE).expect("a bitrate of Opus"),
            )),
            Self::Aac(Box::new(ToAac::new(AAC_BITRATE).expect("a bitrate of AAC"))),
        ]
    }

    fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        match self {
            Self::Opus(bridge) => bridge.push(frame),
            Self::Aac(bridge) => bridge.push(frame),
        }
    }

    fn finish(&mut self) -> Vec<Frame> {
        match self {
            Self::Opus(bridge) => bridge.finish(),
            Self::Aac(bridge) => bridge.finish(),
        }
        .expect("the encoder takes silence")
    }

    fn stats(&self) -> Stats {
        match self {
            Self::Opus(bridge) => bridge.stats(),
            Self::Aac(bridge) => bridge.stats(),
        }
    }

    /// Samples in one of its frames.
    fn unit(&self) -> i64 {
        match self {
            Self::Opus(_) => 960,
            Self::Aac(_) => 1024,
        }
    }

    /// Everything that comes of `frames`, which it must take.
    fn run(&mut self, frames: &[Frame]) -> Vec<Frame> {
        let mut out = Vec::new();
        for frame in frames {
            out.extend(self.push(frame).expect("a good frame"));
        }
        out.extend(self.finish());
        out
    }
}

/// A track of AAC-LC with `planes` in the order of AAC, whose first sample is heard at `start`.
fn aac_track(rate: u32, planes: &[Vec<f32>], start: MediaTime) -> Vec<Frame> {
    let options = syom::EncodeOptions::raw().with_bitrate_bps(64_000 * planes.len() as u32);
    let mut encoder = syom::Encoder::new(rate, planes.len(), &options).expect("settings of AAC");
    let config = Arc::new(Config::Aac {
        asc: encoder.asc().to_vec(),
    });
    let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
    let mut units: Vec<Arc<[u8]>> = Vec::new();
    let mut keep = |frame: syom::EncodedFrame<'_>| {
        units.push(Arc::from(frame.payload));
        Ok(())
    };
    encoder
        .feed(&planes, &mut keep)
        .expect("sound within bounds");
    encoder.finish(&mut keep).expect("sound within bounds");
    let origin = start.ticks(rate);
    let unit = |(at, data): (usize, Arc<[u8]>)| {
        // The first unit decodes to the priming before the first sample.
        let pts = MediaTime::from_ticks(origin + (at as i64 - 1) * 1024, rate);
        Frame {
            config: Arc::clone(&config),
            pts,
            dts: pts,
            keyframe: true,
            data,
        }
    };
    units.into_iter().enumerate().map(unit).collect()
}

/// A track of Opus at 128 kbit/s whose first sample is heard at `start`.
fn opus_track(left: &[f32], right: &[f32], start: MediaTime) -> Vec<Frame> {
    let mut encoder = OpusEncoder::new(128_000).expect("a bitrate of Opus");
    let origin = start.ticks(RATE) - encoder.delay() as i64;
    let units = left
        .chunks_exact(960)
        .zip(right.chunks_exact(960))
        .enumerate();
    units
        .map(|(at, (left, right))| {
            let pts = MediaTime::from_ticks(origin + at as i64 * 960, RATE);
            let data = encoder.encode(left, right).expect("sound within bounds");
            let config = Arc::clone(encoder.config());
            Frame {
                config,
                pts,
                dts: pts,
                keyframe: true,
                data,
            }
        })
        .collect()
}

/// What a player hears of `frames`, from time zero, each placed at its own time.
fn heard(frames: &[Frame]) -> Stereo {
    let mut all = Stereo {
        rate: RATE,
        ..Stereo::default()
    };
    let Some(first) = frames.first() else {
        return all;
    };
    let mut decoder = decoder_for(&first.config).expect("a codec of ours");
    let mut sound = Stereo::default();
    for frame in frames {
        decoder
            .decode(&frame.data, &mut sound)
            .expect("a unit of ours");
        assert_eq!(sound.rate, RATE);
        let start = frame.pts.ticks(RATE);
        for (at, (left, right)) in sound.left.iter().zip(&sound.right).enumerate() {
            let Ok(place) = usize::try_from(start + at as i64) else {
                continue;
            };
            if all.left.len() <= place {
                all.left.resize(place + 1, 0.0);
                all.right.resize(place + 1, 0.0);
            }
            all.left[place] = *left;
            all.right[place] = *right;
        }
    }
    all
}

/// `seconds` of a sine of amplitude `level` at `rate`.
fn sine(rate: u32, hertz: f64, level: f64, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    let samples = (f64::from(rate) * seconds) as usize;
    (0..samples)
        .map(|at| (level * (step * at as f64).sin()) as f32)
        .collect()
}

/// How `sound` at [`RATE`] compares with a sine of `hertz`: its amplitude, its phase in radians
/// against one that starts at the first sample, and the ratio of it to everything else in
/// decibels.
fn measure(sound: &[f32], first: usize, hertz: f64) -> (f64, f64, f64) {
    let step = std::f64::consts::TAU * hertz / f64::from(RATE);
    let (mut sin, mut cos, mut power) = (0.0, 0.0, 0.0);
    for (at, sample) in sound.iter().enumerate() {
        let phase = step * (at + first) as f64;
        sin += f64::from(*sample) * phase.sin();
        cos += f64::from(*sample) * phase.cos();
        power += f64::from(*sample).powi(2);
    }
    let half = sound.len() as f64 / 2.0;
    let (sin, cos) = (sin / half, cos / half);
    let amplitude = sin.hypot(cos);
    let tone = amplitude.powi(2) / 2.0;
    let rest = (power / sound.len() as f64 - tone).max(1e-12);
    (amplitude, cos.atan2(sin), 10.0 * (tone / rest).log10())
}

/// Asserts that `frames` are exactly a frame of `unit` samples apart.
fn assert_even(frames: &[Frame], unit: i64) {
    for pair in frames.windows(2) {
        let step = pair[1].pts.ticks(RATE) - pair[0].pts.ticks(RATE);
        assert_eq!(step, unit, "after {:?}", pair[0].pts);
        assert_eq!(pair[1].pts, pair[1].dts);
    }
}
