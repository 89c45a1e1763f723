//! The seam in front of the libraries that decode sound.

use super::{AacDecoder, Error, Fault, OpusDecoder};
use crate::Config;

/// Decoded sound: two channels of equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stereo {
    /// Samples per second and channel.
    pub rate: u32,
    /// Left, nominally -1 to 1.
    pub left: Vec<f32>,
    /// Right, nominally -1 to 1.
    pub right: Vec<f32>,
}

impl Stereo {
    /// Samples per channel.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.left.clear();
        self.right.clear();
    }

    /// Becomes `samples` samples of silence.
    pub(super) fn silence(&mut self, samples: usize) {
        self.clear();
        self.left.resize(samples, 0.0);
        self.right.resize(samples, 0.0);
    }

    /// Brings every sample into -1 to 1: decoders overshoot, broken units do worse, and an
    /// encoder either refuses what is beyond or makes noise of it.
    pub(super) fn clamp(&mut self) {
        for sample in self.left.iter_mut().chain(&mut self.right) {
            *sample = if sample.is_finite() {
                sample.clamp(-1.0, 1.0)
            } else {
                0.0
            };
        }
    }
}

/// Makes sound of the units of one codec. Knows nothing of time.
pub trait Decoder: Send {
    /// Decodes one unit; `sound` is overwritten, mixed down to stereo.
    ///
    /// # Errors
    /// Where the unit is corrupt. The decoder has then brought itself into a state from which
    /// the next good unit can be decoded.
    fn decode(&mut self, unit: &[u8], sound: &mut Stereo) -> Result<(), Fault>;

    /// Makes up `samples` samples in place of a unit that is missing, at the rate of the last
    /// one. `false` where the codec has no way to; `sound` is then not to be used.
    fn conceal(&mut self, samples: usize, sound: &mut Stereo) -> bool {
        let _ = (samples, sound);
        false
    }
}

/// The decoder for `config`.
///
/// # Errors
/// [`Error::NotSound`] for video, [`Error::Unsupported`] where the decoder does not take it.
pub fn decoder_for(config: &Config) -> Result<Box<dyn Decoder>, Error> {
    let unsupported = |cause| Error::Unsupported {
        codec: config.codec(),
        cause,
    };
    match config {
        Config::Aac { asc } => Ok(Box::new(AacDecoder::new(asc).map_err(unsupported)?)),
        Config::Opus { channels, .. } => {
            Ok(Box::new(OpusDecoder::new(*channels).map_err(unsupported)?))
        }
        Config::H264 { .. }
        | Config::H265 { .. }
        | Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. } => Err(Error::NotSound(config.codec())),
    }
}
