//! What a ladder is made of.

use std::fmt;
use std::str::FromStr;

/// Rows that a rendition may have.
const HEIGHTS: std::ops::RangeInclusive<u32> = 96..=2160;

/// Bits per second that it may have.
const BITRATES: std::ops::RangeInclusive<u32> = 50_000..=50_000_000;

/// One layer that is made: its height and its bits per second, as in `720p@2500k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendition {
    /// Rows, an even number.
    pub height: u32,
    /// Bits per second.
    pub bitrate: u32,
}

/// Why a text is no rendition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rendition; write its height, an even number from 96 to 2160, and its bitrate, 50k \
     to 50M: 720p@2500k"
)]
pub struct RenditionError(String);

impl FromStr for Rendition {
    type Err = RenditionError;

    fn from_str(text: &str) -> Result<Self, RenditionError> {
        let parsed = text.trim().split_once("p@").and_then(|(height, bitrate)| {
            let height: u32 = number(height)?;
            let bitrate = match bitrate.strip_suffix(['k', 'K']) {
                Some(kilo) => number(kilo)?.checked_mul(1_000)?,
                None => number(bitrate.strip_suffix('M')?)?.checked_mul(1_000_000)?,
            };
            let fits = HEIGHTS.contains(&height) && BITRATES.contains(&bitrate);
            (fits && height.is_multiple_of(2)).then_some(Self { height, bitrate })
        });
        parsed.ok_or_else(|| RenditionError(text.to_owned()))
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Rendition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p@{}k", self.height, self.bitrate / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_nonsense_is_refused() {
        for (text, height, bitrate) in [
            ("720p@2500k", 720, 2_500_000),
            (" 480p@1M ", 480, 1_000_000),
            ("96p@50K", 96, 50_000),
        ] {
            assert_eq!(text.parse(), Ok(Rendition { height, bitrate }), "{text}");
        }
        for text in [
            "",
            "720p",
            "720@2500k",
            "721p@1M",
            "720p@2500",
            "0p@1M",
            "90p@1M",
            "4320p@1M",
            "720p@9999999999k",
            "720p@-1k",
            "+720p@1M",
            "720p@1G",
            "720p@1k",
            "720p@1M; rm",
        ] {
            assert!(text.parse::<Rendition>().is_err(), "{text}");
        }
    }
}
