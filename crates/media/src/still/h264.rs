//! Keyframes of H.264, by the decoder behind `crate::video`, with its bounds.

use super::colour::Conversion;
use super::plane::Plane;
use super::{Decoded, Error, is_fit};
use crate::Frame;
use crate::video::{OneError, decode_one};

/// Decodes a keyframe and lends the picture.
pub(super) fn decode<T>(
    frame: &Frame,
    mut draw: impl FnMut(&Decoded<'_>) -> T,
) -> Result<T, Error> {
    let mut drawn = None;
    let decoding = decode_one(frame, |picture, colour| {
        let (width, height) = picture.size();
        if !is_fit(width, height) || drawn.is_some() {
            return;
        }
        let [width, height] = [width, height].map(|side| side as usize);
        let [luma, blue, red] = picture.planes();
        let half = |(samples, stride)| Plane {
            samples,
            stride,
            // Pictures of 4:2:0 are cut by two pixels, so there is no odd side.
            width: width / 2,
            height: height / 2,
        };
        drawn = Some(draw(&Decoded {
            luma: Plane {
                samples: luma.0,
                stride: luma.1,
                width,
                height,
            },
            chroma: [half(blue), half(red)],
            conversion: Conversion::of(colour, picture.size().1),
        }));
    });
    match decoding {
        Ok(()) => drawn.ok_or(Error::Damaged),
        Err(OneError::Unsupported(cause)) => Err(Error::Unsupported(cause)),
        Err(OneError::Damaged) => Err(Error::Damaged),
    }
}
