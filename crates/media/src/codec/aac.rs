//! AAC (ISO/IEC 14496-3): how a decoder is told what comes, and how units are framed.
//!
//! [`AudioSpecificConfig`] is what containers and signalling carry, [`adts`] frames units with
//! headers that repeat a part of it, [`latm`] with one that carries all of it. Nothing here
//! looks inside an access unit or decodes sound.

pub mod adts;
mod config;
pub mod latm;

pub use config::AudioSpecificConfig;

/// Sampling rates by their index (1.6.3.4); the indices 13 and 14 are reserved.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The index that stands for `rate`, where there is one.
fn rate_index(rate: u32) -> Option<u8> {
    let index = RATES.iter().position(|known| *known == rate)?;
    u8::try_from(index).ok()
}

/// Why bytes are no AAC that Inver carries, or why AAC does not fit a framing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside of a structure.
    #[error("the AAC configuration or header ends early")]
    Short,
    /// A sampling rate index that means nothing, or a rate of zero.
    #[error("the sampling rate is invalid (index {0}; 0 to 12, or 15 with a rate above zero)")]
    Rate(u8),
    /// An audio object type that is not AAC.
    #[error("audio object type {0} is not supported (AAC is 1 to 4, 6, 17, 19, 20, 22, 23)")]
    ObjectType(u8),
    /// A channel configuration that means nothing here.
    #[error("channel configuration {0} is not supported (1 to 7, 11, 12, 14, or 0 with a layout)")]
    Channels(u8),
    /// Something that ADTS headers have no room for.
    #[error("ADTS cannot carry {0}")]
    NotInAdts(&'static str),
    /// A LATM multiplex with more than the one program and layer of broadcasting.
    #[error("LATM with {0} is not supported (one program, one layer, whole frames)")]
    LatmShape(&'static str),
    /// A LATM element that repeats a configuration that never came.
    #[error("a LATM element refers to a configuration that has not come yet")]
    LatmUnconfigured,
}
