//! What can go wrong when video is coded again.

use crate::Codec;

/// What the codec library said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub(super) String);

/// Why there is no video.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The frame is of another codec.
    #[error("{0} cannot be coded again; only H.264 can")]
    NotH264(Codec),
    /// The stream uses what is not decoded here. Said again for every frame of it; a stream that
    /// changes to something that is decoded goes on.
    #[error(
        "this H.264 cannot be coded again: {0}; send progressive 4:2:0 video of 8 bits in \
         Baseline, Main or High profile, or encode without B-frames"
    )]
    Unsupported(String),
    /// The stream has more pixels each second than the budget allows. Said again for every frame
    /// of it; nothing is decoded meanwhile.
    #[error(
        "{width}x{height} with {rate} pictures a second is more than may be coded again here \
         ({budget} pixels a second); send smaller or fewer pictures, or encode without B-frames"
    )]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Pictures a second, as measured.
        rate: u32,
        /// The most pixels a second that are coded again.
        budget: u64,
    },
    /// A setting is out of range.
    #[error("{0}")]
    Settings(&'static str),
    /// The codec library could not be set up or refused to encode.
    #[error("the H.264 library failed: {0}")]
    Library(Fault),
}
