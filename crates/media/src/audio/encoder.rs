//! The seam in front of the libraries that encode sound.

use std::sync::Arc;

use super::Fault;
use crate::Config;

/// Makes units of one codec from stereo at [`super::RATE`]. Knows nothing of time.
pub trait Encoder: Send {
    /// What a player needs to know.
    fn config(&self) -> &Arc<Config>;

    /// Samples per channel in one unit.
    fn unit_len(&self) -> usize;

    /// Samples by which a decoder's output trails the input: the first sample decoded from a
    /// unit was given to [`Self::encode`] this many samples before the first one of that unit.
    fn delay(&self) -> usize;

    /// Encodes [`Self::unit_len`] samples per channel, each within -1 to 1.
    ///
    /// # Errors
    /// Where the library refuses; the unit is lost and the encoder fit for the next.
    fn encode(&mut self, left: &[f32], right: &[f32]) -> Result<Arc<[u8]>, Fault>;
}
