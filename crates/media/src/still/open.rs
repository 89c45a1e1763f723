//! Files with a picture, JPEG (ITU-T T.81) and PNG (ISO/IEC 15948), become red, green and blue.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;
use zune_png::PngDecoder;

/// The longer side of the largest picture that is read: what cameras make. More would only cost
/// memory, for what comes of it is far smaller.
const MAX_SIDE: usize = 8192;

/// Most pixels; each takes up to seven bytes on the way.
const MAX_PIXELS: usize = 40_000_000;

const PNG: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const JPEG: [u8; 2] = [0xff, 0xd8];

/// A picture, a plane for each of red, green and blue.
pub(crate) struct Opened {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) planes: [Vec<u8>; 3],
}

/// Why a file is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It begins otherwise.
    #[error("it is neither a JPEG nor a PNG")]
    Unknown,
    /// It is too large to be read.
    #[error("it is larger than {MAX_SIDE} pixels on a side, or than 40 megapixels in all")]
    TooLarge,
    /// It is damaged, or uses what is not read.
    #[error("it cannot be read: {0}")]
    Damaged(String),
}

/// Reads a picture.
///
/// # Errors
///
/// The file is none that is read here.
pub(crate) fn open(file: &[u8]) -> Result<Opened, OpenError> {
    let damaged = |error: &dyn std::fmt::Display| OpenError::Damaged(error.to_string());
    let options = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let check = |width: usize, height: usize| {
        let fits = width.max(height) <= MAX_SIDE && width.saturating_mul(height) <= MAX_PIXELS;
        if fits {
            Ok(())
        } else {
            Err(OpenError::TooLarge)
        }
    };
    if file.starts_with(&PNG) {
        let options = options.png_set_strip_to_8bit(true);
        let mut decoder = PngDecoder::new_with_options(ZCursor::new(file), options);
        decoder
            .decode_headers()
            .map_err(|error| damaged(&format!("{error:?}")))?;
        let (width, height) = decoder.dimensions().ok_or_else(|| damaged(&"no size"))?;
        check(width, height)?;
        let pixels = decoder
            .decode_raw()
            .map_err(|error| damaged(&format!("{error:?}")))?;
        let channels = pixels.len() / (width * height).max(1);
        return Opened::new(width, height, channels, &pixels);
    }
    if file.starts_with(&JPEG) {
        let options = options.jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
        decoder.decode_headers().map_err(|error| damaged(&error))?;
        let info = decoder.info().ok_or_else(|| damaged(&"no size"))?;
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        check(width, height)?;
        let pixels = decoder.decode().map_err(|error| damaged(&error))?;
        return Opened::new(width, height, 3, &pixels);
    }
    Err(OpenError::Unknown)
}

impl Opened {
    /// Parts the channels: grey, grey and alpha, colours, or colours and alpha. What can be seen
    /// through stands before black.
    fn new(width: usize, height: usize, channels: usize, pixels: &[u8]) -> Result<Self, OpenError> {
        let count = width * height;
        if count == 0 || !(1..=4).contains(&channels) || pixels.len() < count * channels {
            return Err(OpenError::Damaged("pixels are missing".to_owned()));
        }
        let mut planes = [const { Vec::new() }; 3];
        for plane in &mut planes {
            plane.reserve_exact(count);
        }
        for pixel in pixels.chunks_exact(channels).take(count) {
            let (colours, alpha) = match *pixel {
                [grey] => ([grey; 3], u8::MAX),
                [grey, alpha] => ([grey; 3], alpha),
                [red, green, blue] => ([red, green, blue], u8::MAX),
                [red, green, blue, alpha] => ([red, green, blue], alpha),
                _ => ([0; 3], u8::MAX),
            };
            for (plane, colour) in planes.iter_mut().zip(colours) {
                let seen = (u16::from(colour) * u16::from(alpha) + 127) / 255;
                plane.push(u8::try_from(seen).unwrap_or(u8::MAX));
            }
        }
        Ok(Self {
            width,
            height,
            planes,
        })
    }
}
