//! Keyframes of VP8 (RFC 6386).

use image_webp::vp8::Vp8Decoder;

use super::colour::Conversion;
use super::plane::Plane;
use super::{Decoded, Error, is_fit};

/// Bytes of a keyframe. A raw picture of the largest size has twelve millions.
const MAX_BYTES: usize = 4 << 20;

/// Decodes a keyframe and lends the picture.
pub(super) fn decode<T>(data: &[u8], draw: impl FnOnce(&Decoded<'_>) -> T) -> Result<T, Error> {
    let (width, height) = size(data).ok_or(Error::Damaged)?;
    if !is_fit(width, height) {
        return Err(Error::Unsupported(format!(
            "its pictures have {width}x{height} pixels"
        )));
    }
    if data.len() > MAX_BYTES {
        return Err(Error::Damaged);
    }
    let frame = Vp8Decoder::decode_frame(data).map_err(|_| Error::Damaged)?;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    // The decoder keeps whole macroblocks.
    let stride = width.next_multiple_of(16);
    let half = |samples| Plane {
        samples,
        stride: stride / 2,
        width: width.div_ceil(2),
        height: height.div_ceil(2),
    };
    Ok(draw(&Decoded {
        luma: Plane {
            samples: &frame.ybuf,
            stride,
            width,
            height,
        },
        chroma: [half(&frame.ubuf), half(&frame.vbuf)],
        conversion: Conversion::BT601,
    }))
}

/// Width and height that a keyframe's header tells (RFC 6386, 9.1), before anything is made that
/// large.
fn size(data: &[u8]) -> Option<(u32, u32)> {
    let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = data else {
        return None;
    };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then_some((side(w0, w1), side(h0, h1)))
}
