//! Decoding, encoding and resampling of sound, so that AAC becomes Opus and Opus AAC.
//!
//! The way of a unit: [`Decoder`] → stereo at the source's rate → `timeline` says where it
//! belongs → `resampler` brings it to 48 kHz on the publication's clock → [`Encoder`] → a frame
//! that carries the time at which its first sample is heard. What decides about time
//! (`timeline`) knows no codec, and the codecs know no time.
//!
//! Owns every name of a codec library: outside this module nobody sees one, so that each can be
//! replaced behind its trait. Never reads a clock, never keeps more than a few frames.

mod aac;
mod bridge;
mod decoder;
mod downmix;
mod encoder;
mod error;
mod guard;
mod opus;
mod resampler;
mod seam;
mod timeline;
mod to_aac;
mod to_opus;

#[cfg(test)]
mod tests;

pub use aac::{AacDecoder, AacEncoder};
pub use bridge::Stats;
pub use decoder::{Decoder, Stereo, decoder_for};
pub use downmix::Speaker;
pub use encoder::Encoder;
pub use error::{Error, Fault};
pub use opus::{OpusDecoder, OpusEncoder};
pub use to_aac::{AAC_BITRATE, ToAac};
pub use to_opus::{OPUS_BITRATE, ToOpus};

/// The rate of everything that is encoded, in hertz: Opus knows no other on the wire.
pub const RATE: u32 = 48_000;
