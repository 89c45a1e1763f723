//! What encoders make and containers hold: access units with their times.

use std::sync::Arc;
use std::time::Duration;

use crate::Codec;

/// A moment of media in nanoseconds since an origin that all tracks of one publication share.
///
/// May be negative: some encoders begin before zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(pub i64);

impl MediaTime {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// A moment given in ticks of a clock that runs at `rate` hertz (at least 1).
    pub fn from_ticks(ticks: i64, rate: u32) -> Self {
        let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(rate.max(1));
        Self(i64::try_from(nanos).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The moment in ticks of a clock that runs at `rate` hertz, rounded to the nearest.
    pub fn ticks(self, rate: u32) -> i64 {
        let scaled = i128::from(self.0) * i128::from(rate);
        let ticks = (scaled + 500_000_000).div_euclid(1_000_000_000);
        i64::try_from(ticks).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    /// Time since `earlier`; zero where that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment moved by `nanos`, which may be negative.
    #[must_use]
    pub fn shifted(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// What a decoder has to know before the first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// H.264 parameter sets, each a NAL unit without start code or length.
    H264 {
        /// Sequence parameter sets.
        sps: Vec<Vec<u8>>,
        /// Picture parameter sets.
        pps: Vec<Vec<u8>>,
    },
    /// H.265 parameter sets, each a NAL unit without start code or length.
    H265 {
        /// Video parameter sets.
        vps: Vec<Vec<u8>>,
        /// Sequence parameter sets.
        sps: Vec<Vec<u8>>,
        /// Picture parameter sets.
        pps: Vec<Vec<u8>>,
    },
    /// AV1: the sequence header OBU with its header and size field; empty where it is not known.
    Av1 {
        /// The OBU.
        sequence_header: Vec<u8>,
    },
    /// VP8: nothing; everything stands in the keyframes.
    Vp8,
    /// VP9: what its configuration record tells.
    Vp9 {
        /// Profile, 0 to 3.
        profile: u8,
    },
    /// AAC: the `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    Aac {
        /// The bytes of the configuration.
        asc: Vec<u8>,
    },
    /// Opus (RFC 7845, 5.1).
    Opus {
        /// Channels, 1 or 2.
        channels: u8,
        /// Samples at 48 kHz that a player drops at the start.
        pre_skip: u16,
    },
}

impl Config {
    /// The codec that it configures.
    pub fn codec(&self) -> Codec {
        match self {
            Self::H264 { .. } => Codec::H264,
            Self::H265 { .. } => Codec::H265,
            Self::Av1 { .. } => Codec::Av1,
            Self::Vp8 => Codec::Vp8,
            Self::Vp9 { .. } => Codec::Vp9,
            Self::Aac { .. } => Codec::Aac,
            Self::Opus { .. } => Codec::Opus,
        }
    }
}

/// One access unit: a whole picture, or what a sound codec makes of a few milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What its decoder needs; the same value while nothing changes, compare by pointer first.
    pub config: Arc<Config>,
    /// When it is shown or heard.
    pub pts: MediaTime,
    /// When it is decoded; differs from [`Self::pts`] where pictures are coded out of order.
    pub dts: MediaTime,
    /// Whether decoding can begin here. Always true of sound.
    pub keyframe: bool,
    /// The bytes, shaped by codec:
    ///
    /// - H.264, H.265: NAL units, each behind its length in four bytes (big endian), without
    ///   access unit delimiters and without parameter sets, which stand in the configuration;
    /// - AV1: OBUs with size fields, without temporal delimiters (the low overhead format);
    /// - VP8, VP9: the frame;
    /// - AAC: the raw access unit, without ADTS or LATM framing;
    /// - Opus: one packet.
    pub data: Arc<[u8]>,
}

impl Frame {
    /// The codec.
    pub fn codec(&self) -> Codec {
        self.config.codec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_survive_the_way_there_and_back() {
        for rate in [1_000, 44_100, 48_000, 90_000] {
            for ticks in [-5, 0, 1, 7, 44_101, 1 << 33] {
                assert_eq!(
                    MediaTime::from_ticks(ticks, rate).ticks(rate),
                    ticks,
                    "{rate}"
                );
            }
        }
    }

    #[test]
    fn absurd_times_end_at_the_edges() {
        assert_eq!(MediaTime::from_ticks(i64::MAX, 1).0, i64::MAX);
        assert_eq!(MediaTime(i64::MIN).ticks(u32::MAX), i64::MIN);
        assert_eq!(MediaTime(5).since(MediaTime(9)), Duration::ZERO);
    }
}
