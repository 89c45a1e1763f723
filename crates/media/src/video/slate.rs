//! A slate: a picture as video that stands still, and silence beside it.
//!
//! One short group of pictures is encoded once and given again and again: a keyframe, and behind
//! it pictures that only say that nothing has changed. It goes on without end at next to no cost.

use std::sync::Arc;
use std::time::Duration;

use super::library::{Encoder, Samples, Target};
use crate::audio::{self, AacEncoder, OpusEncoder};
use crate::codec::h264::Colour;
use crate::codec::nal::{self, ParameterSets};
use crate::still::{OpenError, Opened, Plane, open};
use crate::{Codec, Config, Frame, MediaTime};

/// The largest slate. A larger one costs viewers bandwidth for what never moves.
const MOST: (usize, usize) = (1280, 720);

/// The smallest side that the encoder takes.
const LEAST: usize = 16;

/// Time from one picture to the next. Longer would make parts of HLS longer than others are;
/// shorter makes packets for nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// Pictures of a group: a keyframe every two seconds, as encoders send them.
const GROUP: u64 = 20;

/// Bits per second that the encoder shares out; the keyframe takes most of them.
const BITRATE: u32 = 2_000_000;

/// Bits per second of silence: the least that sounds clean.
const SILENCE: (u32, u32) = (32_000, 16_000);

/// Units of silence until an encoder has settled.
const SETTLED: usize = 4;

/// Colours as high definition has them (ITU-T H.273: 1), with studio levels.
const COLOUR: Colour = Colour {
    full_range: false,
    primaries: 1,
    transfer: 1,
    matrix: 1,
};

/// Why there is no slate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlateError {
    /// The file is no picture that is read.
    #[error("the picture cannot be used: {0}")]
    Picture(#[from] OpenError),
    /// It is too small.
    #[error("the picture is smaller than {LEAST} pixels on a side")]
    TooSmall,
    /// A library refuses.
    #[error("the picture cannot be encoded: {0}")]
    Library(String),
}

/// A picture that stands still, with silence.
#[derive(Debug, Clone)]
pub struct Slate {
    group: Vec<Frame>,
    sound: Sound,
}

/// A unit of silence, which can follow itself.
#[derive(Debug, Clone)]
struct Sound {
    config: Arc<Config>,
    unit: Arc<[u8]>,
    /// Samples in it at 48 kHz.
    samples: i64,
}

impl Slate {
    /// Makes a slate of a file's picture, with silence in `sound`, which is AAC for anything but
    /// Opus. Works for some tenths of a second.
    ///
    /// # Errors
    ///
    /// The file is no picture, or too large or too small.
    pub fn new(file: &[u8], sound: Codec) -> Result<Self, SlateError> {
        let samples = samples(&open(file)?)?;
        Ok(Self {
            group: group(&samples)?,
            sound: Sound::new(sound)?,
        })
    }

    /// The picture of this number, counted from 0.
    pub fn picture(&self, number: u64) -> Frame {
        let index = usize::try_from(number % GROUP).unwrap_or(0);
        let mut frame = self.group[index].clone();
        let nanos = number.saturating_mul(u64::try_from(INTERVAL.as_nanos()).unwrap_or(0));
        frame.pts = MediaTime(i64::try_from(nanos).unwrap_or(i64::MAX));
        frame.dts = frame.pts;
        frame
    }

    /// The piece of silence of this number, counted from 0.
    pub fn sound(&self, number: u64) -> Frame {
        let ticks = i64::try_from(number).unwrap_or(i64::MAX);
        let pts = MediaTime::from_ticks(ticks.saturating_mul(self.sound.samples), audio::RATE);
        Frame {
            config: Arc::clone(&self.sound.config),
            pts,
            dts: pts,
            keyframe: true,
            data: Arc::clone(&self.sound.unit),
        }
    }
}

impl Sound {
    fn new(codec: Codec) -> Result<Self, SlateError> {
        let library = |fault: audio::Fault| SlateError::Library(fault.to_string());
        let mut encoder: Box<dyn audio::Encoder> = if codec == Codec::Opus {
            Box::new(OpusEncoder::new(SILENCE.1).map_err(library)?)
        } else {
            Box::new(AacEncoder::new(SILENCE.0).map_err(library)?)
        };
        let silence = vec![0.0; encoder.unit_len()];
        let mut unit: Arc<[u8]> = Arc::from([]);
        for _ in 0..SETTLED {
            unit = encoder.encode(&silence, &silence).map_err(library)?;
        }
        Ok(Self {
            config: Arc::clone(encoder.config()),
            unit,
            samples: i64::try_from(encoder.unit_len()).unwrap_or(1024),
        })
    }
}

/// Encodes one group of pictures that are all the same.
fn group(samples: &Samples) -> Result<Vec<Frame>, SlateError> {
    let library = |fault: super::Fault| SlateError::Library(fault.to_string());
    let side = |side: usize| u32::try_from(side).unwrap_or(0);
    let target = Target {
        size: (side(samples.size.0), side(samples.size.1)),
        bitrate: BITRATE,
        rate: 1.0 / INTERVAL.as_secs_f64(),
        colour: Some(COLOUR),
    };
    let mut encoder = Encoder::new(&target).map_err(library)?;
    let mut sets = ParameterSets::new(Codec::H264).expect("H.264 has parameter sets");
    let mut frames: Vec<Frame> = Vec::new();
    for number in 0..GROUP {
        let at = u64::try_from(INTERVAL.as_nanos()).unwrap_or(0) * number;
        let at = MediaTime(i64::try_from(at).unwrap_or(0));
        let unit = encoder
            .encode_samples(samples, at, number == 0)
            .map_err(library)?;
        let unit = sets.access_unit(nal::annex_b(&unit));
        if !unit.picture || unit.keyframe != (number == 0) {
            let what = "the encoder left a picture out";
            return Err(SlateError::Library(what.to_owned()));
        }
        // One and the same value, so that nobody takes it for a change.
        let config = frames
            .first()
            .map_or(unit.config, |first| Arc::clone(&first.config));
        frames.push(Frame {
            config,
            pts: at,
            dts: at,
            keyframe: unit.keyframe,
            data: Arc::from(unit.data),
        });
    }
    Ok(frames)
}

/// Shrinks a picture until it fits, and parts it into luma and colour differences (ITU-T H.273,
/// 8.3, BT.709).
fn samples(picture: &Opened) -> Result<Samples, SlateError> {
    let (width, height) = fitting(picture.width, picture.height).ok_or(SlateError::TooSmall)?;
    let mut shrunk = [const { Vec::new() }; 3];
    for (out, samples) in shrunk.iter_mut().zip(&picture.planes) {
        let plane = Plane {
            samples,
            stride: picture.width,
            width: picture.width,
            height: picture.height,
        };
        *out = plane.shrunk(width, height).ok_or(SlateError::TooSmall)?;
    }
    let [red, green, blue] = &shrunk;
    let at = |index: usize| {
        let sample = |plane: &Vec<u8>| f32::from(plane.get(index).copied().unwrap_or(0)) / 255.0;
        let (r, g, b) = (sample(red), sample(green), sample(blue));
        let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        (luma, (b - luma) / 1.8556, (r - luma) / 1.5748)
    };
    // The casts end at 0 and 255.
    let luma = (0..width * height).map(|index| (at(index).0 * 219.0 + 16.0).round() as u8);
    let mut samples = Samples {
        size: (width, height),
        luma: luma.collect(),
        blue: Vec::with_capacity(width * height / 4),
        red: Vec::with_capacity(width * height / 4),
    };
    for row in (0..height).step_by(2) {
        for column in (0..width).step_by(2) {
            let first = row * width + column;
            let four = [first, first + 1, first + width, first + width + 1].map(at);
            let mean = |each: fn(&(f32, f32, f32)) -> f32| {
                let sum: f32 = four.iter().map(each).sum();
                (sum / 4.0 * 224.0 + 128.0).round() as u8
            };
            samples.blue.push(mean(|sample| sample.1));
            samples.red.push(mean(|sample| sample.2));
        }
    }
    Ok(samples)
}

/// The even size with the same aspect that fits; `None` where nothing would be left.
fn fitting(width: usize, height: usize) -> Option<(usize, usize)> {
    let (most_width, most_height) = if width >= height {
        MOST
    } else {
        (MOST.1, MOST.0)
    };
    let (wide, high) = if width <= most_width && height <= most_height {
        (width, height)
    } else if width * most_height >= height * most_width {
        (most_width, (height * most_width + width / 2) / width)
    } else {
        ((width * most_height + height / 2) / height, most_height)
    };
    let (wide, high) = (wide & !1, high & !1);
    (wide.min(high) >= LEAST).then_some((wide, high))
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::ColorType;

    use super::*;
    use crate::codec::records;
    use crate::still::{Settings, still};

    /// A picture in four colours.
    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut pixels = Vec::new();
        for row in 0..height {
            for column in 0..width {
                pixels.extend(match (row < height / 2, column < width / 2) {
                    (true, true) => [220, 30, 30],
                    (true, false) => [30, 220, 30],
                    (false, true) => [30, 30, 220],
                    (false, false) => [240, 240, 240],
                });
            }
        }
        let mut file = Vec::new();
        jpeg_encoder::Encoder::new(&mut file, 95)
            .encode(&pixels, width, height, ColorType::Rgb)
            .expect("a picture");
        file
    }

    /// One pixel wide rows of a PNG without compression, for which no encoder is needed.
    fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        let mut row = vec![0];
        for _ in 0..width {
            row.extend(colour);
        }
        let raw = row.repeat(height as usize);
        let mut packed = vec![0x78, 0x01];
        let mut pieces = raw.chunks(60_000).peekable();
        while let Some(piece) = pieces.next() {
            let len = u16::try_from(piece.len()).expect("short");
            packed.push(u8::from(pieces.peek().is_none()));
            packed.extend(len.to_le_bytes());
            packed.extend((!len).to_le_bytes());
            packed.extend(piece);
        }
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in &raw {
            low = (low + u32::from(*byte)) % 65521;
            high = (high + low) % 65521;
        }
        packed.extend((high << 16 | low).to_be_bytes());
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut head = width.to_be_bytes().to_vec();
        head.extend(height.to_be_bytes());
        head.extend([8, 2, 0, 0, 0]);
        for (name, body) in [(b"IHDR", head), (b"IDAT", packed), (b"IEND", Vec::new())] {
            file.extend(u32::try_from(body.len()).expect("short").to_be_bytes());
            let mut checked = name.to_vec();
            checked.extend(body);
            file.extend(&checked);
            let mut crc = u32::MAX;
            for byte in checked {
                crc ^= u32::from(byte);
                for _ in 0..8 {
                    crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
                }
            }
            file.extend((!crc).to_be_bytes());
        }
        file
    }

    fn near(one: [u8; 3], other: [u8; 3]) -> bool {
        one.iter()
            .zip(other)
            .all(|(one, other)| one.abs_diff(other) < 16)
    }

    /// The colour in the middle of each quarter of a decoded picture.
    fn quarters(frame: &Frame) -> (usize, usize, [[u8; 3]; 4]) {
        let settings = Settings {
            quality: 95,
            ..Settings::default()
        };
        let shown = still(frame, &settings).expect("a keyframe");
        let opened = open(&shown.jpeg).expect("a JPEG");
        let (width, height) = (opened.width, opened.height);
        let at = |column: usize, row: usize| {
            let index = row * height / 4 * width + column * width / 4;
            [0, 1, 2].map(|plane| opened.planes[plane][index])
        };
        (width, height, [at(1, 1), at(3, 1), at(1, 3), at(3, 3)])
    }

    #[test]
    fn a_picture_stands_still_in_its_colours() {
        let slate = Slate::new(&jpeg(320, 240), Codec::Aac).expect("a slate");
        let first = slate.picture(0);
        assert!(first.keyframe && first.codec() == Codec::H264);
        let (width, height, colours) = quarters(&first);
        assert_eq!((width, height), (320, 240));
        let right = [[220, 30, 30], [30, 220, 30], [30, 30, 220], [240, 240, 240]];
        for (one, other) in colours.into_iter().zip(right) {
            assert!(near(one, other), "{colours:?}");
        }
        let group: Vec<Frame> = (0..GROUP).map(|number| slate.picture(number)).collect();
        assert!(group[1..].iter().all(|frame| !frame.keyframe));
        let rest: usize = group[GROUP as usize / 2..]
            .iter()
            .map(|frame| frame.data.len())
            .sum();
        assert!(
            rest < 4_000,
            "pictures without a change are small: {rest} bytes"
        );
        assert!(slate.picture(GROUP).keyframe);
        assert!(Arc::ptr_eq(&slate.picture(7).config, &first.config));
    }

    #[test]
    fn times_go_on_evenly() {
        let slate = Slate::new(&jpeg(64, 64), Codec::Aac).expect("a slate");
        for number in 0..100 {
            let nanos = i64::try_from(number).expect("small") * 100_000_000;
            assert_eq!(slate.picture(number).pts, MediaTime(nanos));
        }
        assert_eq!(slate.sound(375).pts, MediaTime(8_000_000_000));
        let opus = Slate::new(&jpeg(64, 64), Codec::Opus).expect("a slate");
        assert_eq!(opus.sound(400).pts, MediaTime(8_000_000_000));
        assert_eq!(opus.sound(0).codec(), Codec::Opus);
    }

    #[test]
    fn silence_is_silent() {
        for codec in [Codec::Aac, Codec::Opus] {
            let slate = Slate::new(&jpeg(64, 64), codec).expect("a slate");
            let mut decoder = audio::decoder_for(&slate.sound(0).config).expect("a decoder");
            let mut sound = audio::Stereo::default();
            for number in 0..20 {
                let unit = slate.sound(number);
                decoder.decode(&unit.data, &mut sound).expect("decoded");
                let loudest = sound.left.iter().chain(&sound.right);
                let loudest = loudest.fold(0.0_f32, |most, sample| most.max(sample.abs()));
                assert!(loudest < 1e-3, "{codec}: {loudest}");
            }
        }
    }

    #[test]
    fn large_pictures_are_shrunk_and_small_ones_refused() {
        let slate = Slate::new(&png(3000, 1000, [200, 100, 50]), Codec::Aac).expect("a slate");
        let size = records::size(&slate.picture(0).config);
        assert_eq!(size, Some((1280, 426)));
        assert_eq!(fitting(1000, 3000), Some((426, 1280)));
        assert_eq!(fitting(1281, 721), Some((1278, 720)));
        assert_eq!(fitting(4000, 20), None);
        let small = Slate::new(&png(8, 8, [0; 3]), Codec::Aac);
        assert_eq!(small.map(drop), Err(SlateError::TooSmall));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let cut = jpeg(320, 240);
        let flipped: Vec<u8> = png(32, 32, [9; 3]).iter().map(|byte| byte ^ 0x10).collect();
        for file in [&b""[..], b"GIF89a", &PNG_ONLY, &cut[..40], &flipped] {
            assert!(Slate::new(file, Codec::Aac).is_err());
        }
        // Sizes are believed only as far as they are read at all.
        let mut huge = png(32, 32, [9; 3]);
        huge[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Slate::new(&huge, Codec::Aac).is_err());
    }

    const PNG_ONLY: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
}
