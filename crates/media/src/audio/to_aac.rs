//! The bridge to AAC-LC, for players that know no Opus.

use std::sync::Arc;

use super::bridge::Bridge;
use super::{AacEncoder, Error, Stats};
use crate::{Codec, Config, Frame};

/// Bits per second of AAC-LC where nothing else is asked: what its encoder needs to sound as
/// Opus does at [`super::OPUS_BITRATE`].
pub const AAC_BITRATE: u32 = 160_000;

/// Makes AAC-LC (48 kHz, stereo, 1024 samples) of a track of Opus or AAC.
pub struct ToAac(Bridge);

impl ToAac {
    /// A bridge to AAC-LC of about `bits_per_second`, 16 000 to 512 000; see [`AAC_BITRATE`].
    ///
    /// # Errors
    /// [`Error::Encoder`] for another bitrate.
    pub fn new(bits_per_second: u32) -> Result<Self, Error> {
        let encoder = AacEncoder::new(bits_per_second).map_err(|cause| Error::Encoder {
            codec: Codec::Aac,
            cause,
        })?;
        Ok(Self(Bridge::new(Box::new(encoder))))
    }

    /// What the frames that come out are decoded with; the same for all of them.
    pub fn config(&self) -> &Arc<Config> {
        self.0.config()
    }

    /// Takes the next unit of the track and gives the frames that became whole with it; as
    /// [`super::ToOpus::push`].
    ///
    /// # Errors
    /// As [`super::ToOpus::push`].
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.0.push(frame)
    }

    /// Gives what is still inside, filled up with silence. The next unit begins anew.
    ///
    /// # Errors
    /// As [`super::ToOpus::push`], of the encoder.
    pub fn finish(&mut self) -> Result<Vec<Frame>, Error> {
        self.0.finish()
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}
