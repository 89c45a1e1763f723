//! Names of codecs and of the kinds of media.

use std::fmt;
use std::str::FromStr;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
        })
    }
}

/// A codec that Inver carries, named as in SDP (`a=rtpmap`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// AAC (ISO/IEC 14496-3; RFC 3640 where it is carried over RTP). No browser plays it over
    /// WebRTC; it becomes Opus there.
    Aac,
    /// H.264 / AVC (RFC 6184).
    H264,
    /// H.265 / HEVC (RFC 7798).
    H265,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (AOM RTP specification).
    Av1,
}

impl Codec {
    /// All codecs that WebRTC clients can be offered, in the order in which they are when nothing
    /// else decides.
    pub const ALL: [Self; 6] = [
        Self::Opus,
        Self::H264,
        Self::Vp8,
        Self::Vp9,
        Self::Av1,
        Self::H265,
    ];

    /// Whether the codec carries sound or picture.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::Aac => Kind::Audio,
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => Kind::Video,
        }
    }

    /// RTP clock rate in hertz.
    pub fn clock_rate(self) -> u32 {
        match self.kind() {
            Kind::Audio => 48_000,
            Kind::Video => 90_000,
        }
    }

    /// The encoding name as SDP spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Aac => "mpeg4-generic",
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of the codecs that Inver carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec {0:?}: known are opus, H264, VP8, VP9, AV1 and H265")]
pub struct UnknownCodec(pub String);

impl FromStr for Codec {
    type Err = UnknownCodec;

    /// Parses an SDP encoding name, without regard to case.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| UnknownCodec(s.to_owned()))
    }
}
