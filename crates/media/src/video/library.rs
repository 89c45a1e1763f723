//! The H.264 library, and nothing else of it anywhere: OpenH264 behind three small types.
//!
//! It is C++ in this process, and it parses what strangers send. What bounds that is in
//! [`super::source`]: parameter sets are parsed by us first (size, profile, sampling, references,
//! no slice groups), only whole slices of such pictures get here, no unit can smuggle in another,
//! a decoder never sees a second sequence parameter set, and a picture's bytes are limited.
//!
//! Facts that the callers depend on: a call of [`Decoder::decode`] gives at most one picture, in
//! presentation order, up to sixteen calls late; what [`Decoder::finish`] gives out stays marked
//! as used inside, so that a decoder cannot go on behind it.

use openh264::decoder::{DecodeOptions, DecodedYUV, DecoderConfig, Flush};
use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, EncoderConfig, FrameRate, MatrixCoefficients, Profile,
    RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};

use super::Fault;
use crate::MediaTime;
use crate::codec::h264::Colour;

impl From<openh264::Error> for Fault {
    fn from(error: openh264::Error) -> Self {
        Self(error.to_string())
    }
}

/// A decoded picture, 4:2:0 with 8 bits a sample.
#[derive(Debug)]
pub(crate) struct Picture<'a>(DecodedYUV<'a>);

impl Picture<'_> {
    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        let (width, height) = self.0.dimensions();
        (
            u32::try_from(width).unwrap_or(0),
            u32::try_from(height).unwrap_or(0),
        )
    }

    /// Luma and the two colour differences: the samples, and how many bytes a row is behind the one
    /// before.
    pub(crate) fn planes(&self) -> [(&[u8], usize); 3] {
        let (luma, blue, red) = self.0.strides();
        [(self.0.y(), luma), (self.0.u(), blue), (self.0.v(), red)]
    }

    /// The samples of luma, row by row.
    #[cfg(test)]
    pub(super) fn luma(&self) -> Vec<u8> {
        let (width, height) = self.0.dimensions();
        let rows = self.0.y().chunks(self.0.strides().0).take(height);
        rows.flat_map(|row| row.iter().take(width).copied())
            .collect()
    }
}

/// Decodes one coded video sequence after the other, all with one sequence parameter set.
pub(super) struct Decoder(openh264::decoder::Decoder);

impl Decoder {
    pub(super) fn new() -> Result<Self, Fault> {
        // Flushing after each picture, the library's default, would give them in decode order and
        // run out of buffers.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let api = OpenH264API::from_source();
        Ok(Self(openh264::decoder::Decoder::with_api_config(
            api, config,
        )?))
    }

    /// Takes one access unit with start codes; gives the next picture that is to be shown, where
    /// it is known.
    pub(super) fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture<'_>>, Fault> {
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let picture = self.0.decode_with_options(unit, options)?;
        Ok(picture.map(Picture))
    }

    /// Gives the pictures that wait, in presentation order, and ends.
    pub(super) fn finish(mut self, mut each: impl FnMut(&Picture<'_>)) {
        for picture in self.0.flush_remaining().into_iter().flatten() {
            each(&Picture(picture));
        }
    }
}

/// A picture's samples, 4:2:0 with 8 bits each, row by row without gaps.
#[derive(Debug)]
pub(super) struct Samples {
    /// Width and height in pixels, both even.
    pub(super) size: (usize, usize),
    pub(super) luma: Vec<u8>,
    pub(super) blue: Vec<u8>,
    pub(super) red: Vec<u8>,
}

impl YUVSource for Samples {
    fn dimensions(&self) -> (usize, usize) {
        self.size
    }

    fn strides(&self) -> (usize, usize, usize) {
        let half = self.size.0 / 2;
        (self.size.0, half, half)
    }

    fn y(&self) -> &[u8] {
        &self.luma
    }

    fn u(&self) -> &[u8] {
        &self.blue
    }

    fn v(&self) -> &[u8] {
        &self.red
    }
}

/// What an encoder is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    /// Width and height in pixels, both even.
    pub(super) size: (u32, u32),
    /// Bits per second.
    pub(super) bitrate: u32,
    /// Pictures a second, by which bits are shared out.
    pub(super) rate: f64,
    /// How samples stand for colours.
    pub(super) colour: Option<Colour>,
}

/// Encodes pictures of one size without delay.
pub(super) struct Encoder {
    library: openh264::encoder::Encoder,
    /// Whether it has encoded. The first picture is a keyframe anyway, and before it the library
    /// is not set up yet.
    begun: bool,
}

impl Encoder {
    pub(super) fn new(target: &Target) -> Result<Self, Fault> {
        let mut config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(target.bitrate))
            .max_frame_rate(FrameRate::from_hz(target.rate as f32))
            .rate_control_mode(RateControlMode::Bitrate)
            // Coarser pictures rather than missing ones. The library warns on standard error that
            // the bitrate may then be exceeded; measured, it holds.
            .skip_frames(false)
            // Keyframes come when they are due and when they are asked for: a cut in the picture
            // brings none of itself.
            .scene_change_detect(false)
            // Leaves parts of a picture as they were when they change little, which slow fades
            // show as patches.
            .background_detection(false)
            .usage_type(UsageType::CameraVideoRealTime)
            // Low is no more than a tenth faster.
            .complexity(Complexity::Medium)
            .num_threads(1)
            // Written as Constrained Baseline, which every browser decodes. High would gain
            // nothing: the binding has no switch for arithmetic coding.
            .profile(Profile::Baseline);
        if let Some(colour) = target.colour {
            config = config.vui(vui(colour));
        }
        let api = OpenH264API::from_source();
        Ok(Self {
            library: openh264::encoder::Encoder::with_api_config(api, config)?,
            begun: false,
        })
    }

    /// Encodes a picture; gives its access unit with start codes, parameter sets included where it
    /// is a keyframe. Empty where the library left it out.
    pub(super) fn encode(
        &mut self,
        picture: &Picture<'_>,
        at: MediaTime,
        keyframe: bool,
    ) -> Result<Vec<u8>, Fault> {
        self.encode_any(&picture.0, at, keyframe)
    }

    /// The same for samples of ours.
    pub(super) fn encode_samples(
        &mut self,
        samples: &Samples,
        at: MediaTime,
        keyframe: bool,
    ) -> Result<Vec<u8>, Fault> {
        self.encode_any(samples, at, keyframe)
    }

    fn encode_any(
        &mut self,
        picture: &impl YUVSource,
        at: MediaTime,
        keyframe: bool,
    ) -> Result<Vec<u8>, Fault> {
        if keyframe && self.begun {
            self.library.force_intra_frame();
        }
        self.begun = true;
        let millis = u64::try_from(at.0 / 1_000_000).unwrap_or(0);
        let unit = self
            .library
            .encode_at(picture, Timestamp::from_millis(millis))?;
        Ok(unit.to_vec())
    }
}

fn vui(colour: Colour) -> VuiConfig {
    VuiConfig::new()
        .full_range(colour.full_range)
        .color_primaries(match colour.primaries {
            1 => ColorPrimaries::Bt709,
            4 => ColorPrimaries::Bt470M,
            5 => ColorPrimaries::Bt470BG,
            6 => ColorPrimaries::Smpte170M,
            7 => ColorPrimaries::Smpte240M,
            8 => ColorPrimaries::Film,
            9 => ColorPrimaries::Bt2020,
            _ => ColorPrimaries::Unspecified,
        })
        .transfer_characteristics(match colour.transfer {
            1 => TransferCharacteristics::Bt709,
            4 => TransferCharacteristics::Bt470M,
            5 => TransferCharacteristics::Bt470Bg,
            6 => TransferCharacteristics::Smpte170M,
            7 => TransferCharacteristics::Smpte240M,
            8 => TransferCharacteristics::Linear,
            13 => TransferCharacteristics::Srgb,
            14 => TransferCharacteristics::Bt2020_10,
            15 => TransferCharacteristics::Bt2020_12,
            16 => TransferCharacteristics::Smpte2084,
            18 => TransferCharacteristics::Hlg,
            _ => TransferCharacteristics::Unspecified,
        })
        .matrix_coefficients(match colour.matrix {
            // Zero is RGB, which 4:2:0 cannot be.
            1 => MatrixCoefficients::Bt709,
            4 => MatrixCoefficients::Fcc,
            5 => MatrixCoefficients::Bt470Bg,
            6 => MatrixCoefficients::Smpte170M,
            7 => MatrixCoefficients::Smpte240M,
            8 => MatrixCoefficients::Ycgco,
            9 => MatrixCoefficients::Bt2020Ncl,
            10 => MatrixCoefficients::Bt2020Cl,
            _ => MatrixCoefficients::Unspecified,
        })
}
