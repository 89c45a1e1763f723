//! One keyframe decoded by itself, for still pictures.

use super::library::{Decoder, Picture};
use super::source::{Refused, Sets, Source};
use super::{Error, Fault};
use crate::Frame;
use crate::codec::h264::Colour;

/// Why one keyframe is not decoded.
#[derive(Debug)]
pub(crate) enum OneError {
    /// The stream uses what is not decoded here; the words say what.
    Unsupported(String),
    /// Nothing comes out of it.
    Damaged,
}

/// Decodes a keyframe within the bounds that hold for all that reaches the decoder, and lends each
/// picture that comes out, with what the stream says of its colours.
pub(crate) fn decode_one(
    frame: &Frame,
    mut each: impl FnMut(&Picture<'_>, Option<Colour>),
) -> Result<(), OneError> {
    let source = Source::new(&frame.config)?;
    // Without parameter sets nothing can be decoded.
    let mut source = source.ok_or(OneError::Damaged)?;
    let colour = source.sps().colour;
    let unit = source.unit(frame, Sets::All, true)?;
    if unit.bytes.is_empty() {
        return Err(OneError::Damaged);
    }
    let mut decoder = Decoder::new()?;
    if let Some(picture) = decoder.decode(&unit.bytes)? {
        each(&picture, colour);
        return Ok(());
    }
    // Where pictures may change places the first one waits for the next.
    decoder.finish(|picture| each(picture, colour));
    Ok(())
}

impl From<Error> for OneError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unsupported(cause) => Self::Unsupported(cause),
            Error::NotH264(_) | Error::TooLarge { .. } | Error::Settings(_) | Error::Library(_) => {
                Self::Unsupported(error.to_string())
            }
        }
    }
}

impl From<Refused> for OneError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Corrupt => Self::Damaged,
            Refused::Unsupported(error) => error.into(),
        }
    }
}

impl From<Fault> for OneError {
    fn from(_: Fault) -> Self {
        Self::Damaged
    }
}
