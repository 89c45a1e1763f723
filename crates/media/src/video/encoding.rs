//! The way out: decoded pictures become frames in presentation order.

use std::sync::Arc;
use std::time::Duration;

use super::library::{Encoder, Picture, Target};
use super::meter::Meter;
use super::{Bitrate, Error, Settings};
use crate::codec::h264::Colour;
use crate::codec::nal::{self, ParameterSets};
use crate::{Codec, Frame, MediaTime};

/// By how much the wanted bitrate or picture rate has to differ from what the encoder was made
/// for until another is made, as a factor. Less, and every swing of the source's bitrate would
/// make one; more, and the quality would be that of another stream.
const TOLERANCE: f64 = 1.25;
/// Bits that a pixel gets until the source's bitrate is known: 2.8 Mbit/s at 1280x720 and 30
/// pictures a second.
const BITS_PER_PIXEL: f64 = 0.1;
/// What is spent beyond the source's bitrate: there is neither arithmetic coding nor a B-frame.
const OVER_SOURCE: f64 = 1.25;
/// Pictures a second while that is not known, and the bounds between which it is believed.
const DEFAULT_RATE: f64 = 30.0;
const RATES: (f64, f64) = (5.0, 120.0);

/// What is known of the source when a picture is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Pictures a second.
    pub(super) rate: Option<f64>,
    /// The source's bits per second.
    pub(super) bitrate: Option<u32>,
    pub(super) colour: Option<Colour>,
}

/// Encodes, and keeps the order of times and the distance of keyframes.
pub(super) struct Encoding {
    encoder: Option<(Encoder, Target)>,
    sets: ParameterSets,
    last: Option<MediaTime>,
    last_keyframe: Option<MediaTime>,
    keyframe_asked: bool,
    meter: Meter,
}

impl Encoding {
    pub(super) fn new() -> Self {
        Self {
            encoder: None,
            sets: ParameterSets::new(Codec::H264).expect("H.264 has parameter sets"),
            last: None,
            last_keyframe: None,
            keyframe_asked: false,
            meter: Meter::default(),
        }
    }

    pub(super) fn request_keyframe(&mut self) {
        self.keyframe_asked = true;
    }

    /// Times begin anew: what comes next may be earlier than what came before.
    pub(super) fn restart(&mut self) {
        self.last = None;
        self.last_keyframe = None;
        self.meter = Meter::default();
    }

    /// Bits per second that came out lately.
    pub(super) fn bitrate(&self) -> Option<u32> {
        self.meter.bitrate()
    }

    /// Encodes a picture that is shown at `pts`. `None` where that is not later than the last one,
    /// or the library left it out.
    pub(super) fn picture(
        &mut self,
        picture: &Picture<'_>,
        pts: MediaTime,
        wanted: &Wanted,
        settings: &Settings,
    ) -> Result<Option<Frame>, Error> {
        if self.last.is_some_and(|last| pts <= last) {
            return Ok(None);
        }
        let target = target(picture.size(), wanted, settings);
        let due = self.keyframe_asked
            || self
                .last_keyframe
                .is_none_or(|last| pts.since(last) >= nearly(settings.keyframe_interval));
        let fits = self
            .encoder
            .as_ref()
            .is_some_and(|(_, made)| same_pictures(made, &target) && (!due || near(made, &target)));
        if !fits {
            let encoder = Encoder::new(&target).map_err(Error::Library)?;
            self.encoder = Some((encoder, target));
        }
        let (encoder, _) = self.encoder.as_mut().expect("made where there was none");
        let unit = encoder.encode(picture, pts, due).map_err(Error::Library)?;
        let unit = self.sets.access_unit(nal::annex_b(&unit));
        if !unit.picture {
            return Ok(None);
        }
        if unit.keyframe {
            self.last_keyframe = Some(pts);
            self.keyframe_asked = false;
        }
        self.last = Some(pts);
        self.meter.picture(pts, unit.data.len());
        Ok(Some(Frame {
            config: unit.config,
            pts,
            dts: pts,
            keyframe: unit.keyframe,
            data: Arc::from(unit.data),
        }))
    }
}

/// A little less than the interval, so that a picture that comes a rounding error early is not
/// passed over for one that comes late.
fn nearly(interval: Duration) -> Duration {
    interval.saturating_sub(Duration::from_millis(2))
}

fn target(size: (u32, u32), wanted: &Wanted, settings: &Settings) -> Target {
    let rate = wanted.rate.unwrap_or(DEFAULT_RATE).clamp(RATES.0, RATES.1);
    let bitrate = match settings.bitrate {
        Bitrate::Fixed(bitrate) => bitrate,
        Bitrate::FollowSource { least, most } => {
            let bitrate = match wanted.bitrate {
                Some(source) => f64::from(source) * OVER_SOURCE,
                None => f64::from(size.0) * f64::from(size.1) * rate * BITS_PER_PIXEL,
            };
            (bitrate as u32).clamp(least, most)
        }
    };
    Target {
        size,
        bitrate,
        rate,
        colour: wanted.colour,
    }
}

/// Whether an encoder made for one can take the other's pictures at all.
fn same_pictures(made: &Target, target: &Target) -> bool {
    made.size == target.size && made.colour == target.colour
}

/// Whether an encoder made for one serves the other well.
fn near(made: &Target, target: &Target) -> bool {
    let within = |one: f64, other: f64| one <= other * TOLERANCE && other <= one * TOLERANCE;
    within(made.rate, target.rate) && within(f64::from(made.bitrate), f64::from(target.bitrate))
}
