//! What can go wrong on the way from one sound codec to the other.

use crate::Codec;

/// What a codec said about one unit or one block of samples.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub(super) String);

impl Fault {
    pub(super) fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// Why a bridge gave no sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The frame is of a codec that no decoder here reads.
    #[error("{0} cannot be bridged; only AAC and Opus can")]
    NotSound(Codec),
    /// The decoder cannot be set up. Said again for every frame with this configuration; the
    /// bridge goes on with the next one that it can read.
    #[error("this {codec} cannot be decoded: {cause}; send AAC-LC, HE-AAC or Opus, 8 to 96 kHz")]
    Unsupported {
        /// The codec that the configuration names.
        codec: Codec,
        /// What the decoder does not take.
        cause: Fault,
    },
    /// So many units in a row were corrupt that the source is to be told. The bridge goes on: the
    /// next good unit is heard, and the error comes again after as many more.
    #[error("{units} {codec} units in a row could not be decoded, the last one because: {cause}")]
    Corrupt {
        /// The codec of the units.
        codec: Codec,
        /// How many.
        units: u32,
        /// What was wrong with the last.
        cause: Fault,
    },
    /// The encoder refused its settings or its input.
    #[error("sound could not be encoded as {codec}: {cause}")]
    Encoder {
        /// The codec encoded to.
        codec: Codec,
        /// What it said.
        cause: Fault,
    },
    /// A codec library broke one of its own invariants. This bridge has ended.
    #[error("a sound codec panicked; this bridge has ended, make a new one")]
    Panicked,
    /// The bridge ended with an earlier [`Error::Panicked`].
    #[error("this bridge has ended after a panic in a sound codec, make a new one")]
    Ended,
}
