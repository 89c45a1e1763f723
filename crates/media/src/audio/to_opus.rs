//! The bridge to Opus, for viewers over WebRTC.

use std::sync::Arc;

use super::bridge::Bridge;
use super::{Error, OpusEncoder, Stats};
use crate::{Codec, Config, Frame};

/// Bits per second of Opus where nothing else is asked: transparent for stereo music.
pub const OPUS_BITRATE: u32 = 128_000;

/// Makes Opus (48 kHz, stereo, 20 ms) of a track of AAC or Opus.
pub struct ToOpus(Bridge);

impl ToOpus {
    /// A bridge to Opus of about `bits_per_second`, 6000 to 510 000; see [`OPUS_BITRATE`].
    ///
    /// # Errors
    /// [`Error::Encoder`] for another bitrate.
    pub fn new(bits_per_second: u32) -> Result<Self, Error> {
        let encoder = OpusEncoder::new(bits_per_second).map_err(|cause| Error::Encoder {
            codec: Codec::Opus,
            cause,
        })?;
        Ok(Self(Bridge::new(Box::new(encoder))))
    }

    /// What the frames that come out are decoded with; the same for all of them.
    pub fn config(&self) -> &Arc<Config> {
        self.0.config()
    }

    /// Takes the next unit of the track and gives the frames that became whole with it.
    ///
    /// A frame's time is when the first sample decoded from it is heard on the source's
    /// timeline, every delay accounted for: a player that plays each frame at its time is in
    /// sync. The first one begins a few milliseconds before the source's first unit, at a
    /// negative time where that is at zero. Times of consecutive frames are exactly a frame
    /// apart, except where the source jumps by more than 200 ms: output goes on at the new time,
    /// which may lie before the old one.
    ///
    /// # Errors
    /// [`Error::NotSound`] and [`Error::Unsupported`] for what cannot be decoded,
    /// [`Error::Corrupt`] once for every 50 corrupt units in a row, [`Error::Encoder`];
    /// after all of these the bridge goes on. [`Error::Panicked`] and [`Error::Ended`] end it.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.0.push(frame)
    }

    /// Gives what is still inside, filled up with silence. The next unit begins anew.
    ///
    /// # Errors
    /// As [`Self::push`], of the encoder.
    pub fn finish(&mut self) -> Result<Vec<Frame>, Error> {
        self.0.finish()
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

/// A bridge to `encoder`, for tests of what a broken one does.
#[cfg(test)]
pub(super) fn with_encoder(encoder: Box<dyn super::Encoder>) -> ToOpus {
    ToOpus(Bridge::new(encoder))
}
