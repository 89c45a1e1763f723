//! A codec with the parameters that decide whether a receiver can play it.

use crate::Codec;

/// Codec and the format parameters (`a=fmtp`) that matter for compatibility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// `profile-level-id` of H.264 (RFC 6184), 24 bits.
    pub h264_profile_level: Option<u32>,
    /// `packetization-mode` of H.264: 0 or 1.
    pub h264_packetization_mode: u8,
    /// `profile-id` of VP9 (RFC 9628).
    pub vp9_profile: u8,
}

impl Format {
    /// A format with nothing but the codec's defaults.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            h264_profile_level: None,
            h264_packetization_mode: 1,
            vp9_profile: 0,
        }
    }

    /// How well a receiver that lists `self` can play `sent`; `None` where it cannot.
    ///
    /// Higher is better. H.264 decoders in browsers play every profile that they list and, in
    /// practice, the profiles below it, so a differing profile lowers the score only; a
    /// packetization mode that the receiver does not list rules the format out, since it could
    /// not put the frames together.
    pub fn score(&self, sent: &Self) -> Option<u32> {
        if self.codec != sent.codec {
            return None;
        }
        match self.codec {
            Codec::Opus | Codec::Aac | Codec::Vp8 | Codec::Av1 | Codec::H265 => Some(100),
            Codec::Vp9 => (self.vp9_profile == sent.vp9_profile).then_some(100),
            Codec::H264 => {
                if self.h264_packetization_mode < sent.h264_packetization_mode {
                    return None;
                }
                let mut score = 50;
                let here = self.h264_profile_level.unwrap_or(0x42_001f);
                let there = sent.h264_profile_level.unwrap_or(0x42_001f);
                if here >> 16 == there >> 16 {
                    score += 30;
                }
                if (here >> 8) & 0xff == (there >> 8) & 0xff {
                    score += 10;
                }
                if self.h264_packetization_mode == sent.h264_packetization_mode {
                    score += 5;
                }
                Some(score)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h264(profile_level: u32, mode: u8) -> Format {
        Format {
            h264_profile_level: Some(profile_level),
            h264_packetization_mode: mode,
            ..Format::new(Codec::H264)
        }
    }

    #[test]
    fn the_same_profile_wins_over_another() {
        let sent = h264(0x64_001f, 1);
        let same = h264(0x64_0034, 1).score(&sent);
        let other = h264(0x42_e01f, 1).score(&sent);
        assert!(same > other, "{same:?} {other:?}");
        assert!(other.is_some());
    }

    #[test]
    fn a_receiver_of_single_nal_units_cannot_take_aggregates() {
        assert_eq!(h264(0x42_e01f, 0).score(&h264(0x42_e01f, 1)), None);
        assert!(h264(0x42_e01f, 1).score(&h264(0x42_e01f, 0)).is_some());
    }

    #[test]
    fn codecs_do_not_mix() {
        assert_eq!(
            Format::new(Codec::Vp8).score(&Format::new(Codec::Vp9)),
            None
        );
    }
}
