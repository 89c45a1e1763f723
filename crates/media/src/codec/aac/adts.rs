//! ADTS (ISO/IEC 14496-3, 1.A.2): a header of seven bytes, nine with a checksum, before each
//! access unit. The checksum is passed over, not verified.

use super::{AudioSpecificConfig, Error, RATES, rate_index};

/// The longest frame that the header's thirteen bits can tell.
pub const MAX_FRAME: usize = 8191;

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The audio object type, 1 to 4.
    pub object_type: u8,
    /// Sampling rate of the core in hertz.
    pub sample_rate: u32,
    /// The channel configuration, 0 to 7.
    pub channel_config: u8,
    /// Bytes of the header.
    pub header_len: usize,
    /// Bytes of the frame including the header.
    pub frame_len: usize,
    /// Access units in the frame, 1 to 4.
    pub units: u8,
}

impl Header {
    /// Bytes that [`Self::parse`] needs.
    pub const LEN: usize = 7;

    /// Reads the header at the front of `bytes`; `None` where there is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[b0, b1, b2, b3, b4, b5, b6] = bytes.first_chunk::<{ Self::LEN }>()?;
        if b0 != 0xff || b1 & 0xf6 != 0xf0 {
            return None;
        }
        let header_len = if b1 & 1 == 1 { 7 } else { 9 };
        let frame_len = (usize::from(b3 & 3) << 11) | (usize::from(b4) << 3) | usize::from(b5 >> 5);
        (frame_len >= header_len).then_some(())?;
        Some(Self {
            object_type: (b2 >> 6) + 1,
            sample_rate: *RATES.get(usize::from((b2 >> 2) & 15))?,
            channel_config: ((b2 & 1) << 2) | (b3 >> 6),
            header_len,
            frame_len,
            units: (b6 & 3) + 1,
        })
    }

    /// The configuration that the header stands for. ADTS cannot signal SBR or PS; decoders find
    /// them in the units.
    pub fn config(&self) -> Result<AudioSpecificConfig, Error> {
        let channels = match self.channel_config {
            0 => return Err(Error::Channels(0)),
            7 => 8,
            other => other,
        };
        Ok(AudioSpecificConfig {
            object_type: self.object_type,
            ..AudioSpecificConfig::lc(self.sample_rate, channels)?
        })
    }
}

/// The header, without a checksum, for one access unit of `unit_len` bytes.
pub fn header(config: &AudioSpecificConfig, unit_len: usize) -> Result<[u8; 7], Error> {
    if !(1..=4).contains(&config.object_type) {
        return Err(Error::NotInAdts("object types other than 1 to 4"));
    }
    if !(1..=7).contains(&config.channel_config) {
        return Err(Error::NotInAdts("channel configurations other than 1 to 7"));
    }
    if config.short_frames {
        return Err(Error::NotInAdts("units of 960 samples"));
    }
    let rate =
        rate_index(config.sample_rate).ok_or(Error::NotInAdts("rates that have no index"))?;
    let len = u16::try_from(unit_len + Header::LEN)
        .ok()
        .filter(|len| usize::from(*len) <= MAX_FRAME)
        .ok_or(Error::NotInAdts("units longer than 8184 bytes"))?;
    let [high, low] = (len << 5).to_be_bytes();
    Ok([
        0xff,
        0xf1,
        ((config.object_type - 1) << 6) | (rate << 2) | (config.channel_config >> 2),
        ((config.channel_config & 3) << 6) | u8::try_from(len >> 11).unwrap_or(0),
        high,
        low | 0x1f,
        0xfc,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_as_they_were_written() {
        for (rate, channels, len) in [(44_100, 2, 371), (48_000, 1, 0), (8_000, 8, 8_184)] {
            let config = AudioSpecificConfig::lc(rate, channels).expect("valid");
            let bytes = header(&config, len).expect("fits");
            let read = Header::parse(&bytes).expect("a header");
            assert_eq!(read.config(), Ok(config));
            assert_eq!((read.header_len, read.units), (7, 1));
            assert_eq!(read.frame_len, len + 7);
        }
    }

    #[test]
    fn a_known_header_is_understood() {
        // AAC-LC, 44.1 kHz, stereo, 371 bytes with the header.
        let read = Header::parse(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).expect("a header");
        assert_eq!((read.sample_rate, read.channel_config), (44_100, 2));
        assert_eq!((read.object_type, read.frame_len), (2, 371));
        assert_eq!(
            Header::parse(&[0xff, 0xf3, 0x50, 0x80, 0x2e, 0x7f, 0xfc]),
            None
        );
        assert_eq!(Header::parse(&[0xff, 0xf1, 0x50]), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let config = AudioSpecificConfig::lc(48_000, 2).expect("valid");
        assert!(header(&config, 8_185).is_err());
        let odd = AudioSpecificConfig::lc(37_800, 2).expect("valid");
        assert!(header(&odd, 100).is_err());
    }
}
