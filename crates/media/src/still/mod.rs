//! Still pictures: a keyframe becomes a small JPEG.
//!
//! Owns the way from one frame that stands alone to bytes that browsers show: decode, shrink,
//! convert colours, encode. It works on the thread that calls it for some milliseconds, keeps
//! nothing between two pictures, and hands no decoder what has not been bounded before.
//!
//! H.264 (ITU-T H.264) and VP8 (RFC 6386) are decoded; for other codecs there is no decoder here.

mod colour;
mod h264;
mod open;
mod plane;
mod vp8;

use jpeg_encoder::{ColorType, Encoder};

use crate::{Codec, Frame};
use colour::Conversion;
pub(crate) use open::{OpenError, Opened, open};
pub(crate) use plane::Plane;

/// The longer and the shorter side of the largest picture that is decoded: what no live source
/// exceeds. More would let one request take more memory and time.
const MAX_SIDES: (u32, u32) = (3840, 2160);

/// How a still picture is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Pixels in a row at most. Larger pictures are shrunk, smaller ones stay as they are.
    pub width: u16,
    /// Rows at most, so that tall pictures stay small, too.
    pub height: u16,
    /// Quality of the JPEG, 1 to 100. Higher costs bytes, lower shows blocks.
    pub quality: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            width: 640,
            height: 640,
            quality: 75,
        }
    }
}

/// A still picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The picture as JPEG.
    pub jpeg: Vec<u8>,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing here decodes this codec.
    #[error("pictures are made of H264 and VP8 only, and this is {0}")]
    NoDecoder(Codec),
    /// Decoding cannot begin at this frame.
    #[error("a picture is made of a keyframe only")]
    NotAKeyframe,
    /// The stream uses what is not decoded here.
    #[error("no picture is made of this video: {0}")]
    Unsupported(String),
    /// The frame is damaged.
    #[error("the keyframe is damaged")]
    Damaged,
}

/// Makes a still picture of a keyframe.
///
/// # Errors
///
/// There is no decoder, or nothing that it could decode.
pub fn still(frame: &Frame, settings: &Settings) -> Result<Still, Error> {
    let pixels = pixels(frame, settings)?;
    let (width, height) = (pixels.width, pixels.height);
    let mut jpeg = Vec::with_capacity(pixels.rgb.len() / 12);
    let encoder = Encoder::new(&mut jpeg, settings.quality.clamp(1, 100));
    encoder
        .encode(&pixels.rgb, width, height, ColorType::Rgb)
        .map_err(|error| Error::Unsupported(error.to_string()))?;
    Ok(Still {
        width,
        height,
        jpeg,
    })
}

fn pixels(frame: &Frame, settings: &Settings) -> Result<Pixels, Error> {
    if !frame.keyframe {
        return Err(Error::NotAKeyframe);
    }
    match frame.codec() {
        Codec::H264 => h264::decode(frame, |decoded| decoded.pixels(settings)),
        Codec::Vp8 => vp8::decode(&frame.data, |decoded| decoded.pixels(settings)),
        codec @ (Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::Aac | Codec::Opus) => {
            return Err(Error::NoDecoder(codec));
        }
    }?
    .ok_or(Error::Damaged)
}

/// Whether pictures of this size are decoded.
fn is_fit(width: u32, height: u32) -> bool {
    let (long, short) = (width.max(height), width.min(height));
    short > 0 && long <= MAX_SIDES.0 && short <= MAX_SIDES.1
}

/// A decoded picture, 4:2:0 with 8 bits a sample.
struct Decoded<'a> {
    luma: Plane<'a>,
    /// Blue and red differences.
    chroma: [Plane<'a>; 2],
    conversion: Conversion,
}

/// A picture of the size that is wanted, three bytes a pixel.
struct Pixels {
    width: u16,
    height: u16,
    rgb: Vec<u8>,
}

impl Decoded<'_> {
    /// `None` where planes are shorter than they should be.
    fn pixels(&self, settings: &Settings) -> Option<Pixels> {
        let (width, height) = fitting((self.luma.width, self.luma.height), settings)?;
        let shrunk = |plane: &Plane<'_>| plane.shrunk(width.into(), height.into());
        let luma = shrunk(&self.luma)?;
        let [blue, red] = &self.chroma;
        Some(Pixels {
            width,
            height,
            rgb: self.conversion.rgb(&luma, &shrunk(blue)?, &shrunk(red)?),
        })
    }
}

/// The size with the same aspect that fits; `None` where there is no picture.
fn fitting((width, height): (usize, usize), settings: &Settings) -> Option<(u16, u16)> {
    let (most_width, most_height) = (settings.width.max(1), settings.height.max(1));
    if width == 0 || height == 0 {
        return None;
    }
    let (wide, high) = (u64::try_from(width).ok()?, u64::try_from(height).ok()?);
    let (most_wide, most_high) = (u64::from(most_width), u64::from(most_height));
    let (wide, high) = if wide <= most_wide && high <= most_high {
        (wide, high)
    } else if wide * most_high >= high * most_wide {
        (most_wide, (high * most_wide + wide / 2) / wide)
    } else {
        ((wide * most_high + high / 2) / high, most_high)
    };
    let side = |pixels: u64| u16::try_from(pixels.max(1)).ok();
    Some((side(wide)?, side(high)?))
}

#[cfg(test)]
mod tests;
