//! `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1) with the configuration of general audio
//! (4.4.1). Reads both ways of signalling SBR and PS, writes the hierarchical one.

use super::{Error, RATES, rate_index};
use crate::codec::Bits;

const SBR: u8 = 5;
const PS: u8 = 29;
/// Announces SBR, or PS, behind a configuration that older decoders understand (1.6.6).
const SBR_SYNC: u32 = 0x2b7;
const PS_SYNC: u32 = 0x548;

/// What a decoder has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// The audio object type of the core: 2 is AAC-LC.
    pub object_type: u8,
    /// Sampling rate of the core in hertz.
    pub sample_rate: u32,
    /// The channel configuration; 0 where a program config element lists the channels.
    pub channel_config: u8,
    /// Channels of the core.
    pub channels: u8,
    /// Sampling rate after spectral band replication in hertz, where SBR is signalled.
    pub sbr_rate: Option<u32>,
    /// Whether parametric stereo is signalled: mono in the core, stereo out of the decoder.
    pub ps: bool,
    /// Whether a unit has 960 samples of the core rather than 1024.
    pub short_frames: bool,
}

impl AudioSpecificConfig {
    /// AAC-LC without extensions; `channels` is 1 to 6, or 8.
    pub fn lc(sample_rate: u32, channels: u8) -> Result<Self, Error> {
        let channel_config = match channels {
            1..=6 => channels,
            8 => 7,
            _ => return Err(Error::Channels(channels)),
        };
        if sample_rate == 0 || sample_rate > 0xff_ffff {
            return Err(Error::Rate(15));
        }
        Ok(Self {
            object_type: 2,
            sample_rate,
            channel_config,
            channels,
            sbr_rate: None,
            ps: false,
            short_frames: false,
        })
    }

    /// Reads a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(&mut Bits::new(bytes), Some(bytes.len() * 8))
    }

    /// Reads a configuration out of the middle of bits; `end` is where it ends at most, unless
    /// that is not known: then there is no backward compatible extension either.
    pub(super) fn read(bits: &mut Bits<'_>, end: Option<usize>) -> Result<Self, Error> {
        let start = bits.at;
        let mut object_type = object_type(bits)?;
        let mut config = Self {
            object_type,
            sample_rate: rate(bits)?,
            channel_config: take(bits, 4)?,
            channels: 0,
            sbr_rate: None,
            ps: object_type == PS,
            short_frames: false,
        };
        if matches!(object_type, SBR | PS) {
            config.sbr_rate = Some(rate(bits)?);
            object_type = self::object_type(bits)?;
            if object_type == 22 {
                take(bits, 4)?;
            }
        }
        config.object_type = object_type;
        config.general_audio(bits, start)?;
        if let Some(end) = end
            && config.sbr_rate.is_none()
        {
            // Whoever does not understand it reads it as padding, so whatever is cut is none.
            let mut ahead = bits.clone();
            if config.extension(&mut ahead, end).is_some() {
                *bits = ahead;
            }
        }
        Ok(config)
    }

    fn general_audio(&mut self, bits: &mut Bits<'_>, start: usize) -> Result<(), Error> {
        if !matches!(self.object_type, 1..=4 | 6 | 17 | 19 | 20 | 22 | 23) {
            return Err(Error::ObjectType(self.object_type));
        }
        self.short_frames = take(bits, 1)? == 1;
        if take(bits, 1)? == 1 {
            bits.skip(14).ok_or(Error::Short)?;
        }
        let extension = take(bits, 1)? == 1;
        self.channels = match self.channel_config {
            0 => program_config(bits, start).ok_or(Error::Short)?,
            config @ 1..=6 => config,
            7 | 12 | 14 => 8,
            11 => 7,
            other => return Err(Error::Channels(other)),
        };
        if matches!(self.object_type, 6 | 20) {
            take(bits, 3)?;
        }
        if extension {
            match self.object_type {
                22 => bits.skip(16).ok_or(Error::Short)?,
                17 | 19 | 20 | 23 => bits.skip(3).ok_or(Error::Short)?,
                _ => {}
            }
            take(bits, 1)?;
        }
        if matches!(self.object_type, 17 | 19 | 20 | 22 | 23) {
            take(bits, 2)?;
        }
        Ok(())
    }

    fn extension(&mut self, bits: &mut Bits<'_>, end: usize) -> Option<()> {
        if end < bits.at + 16 || bits.bits(11)? != SBR_SYNC || bits.bits(5)? != u32::from(SBR) {
            return None;
        }
        if bits.bit()? == 0 {
            return Some(());
        }
        self.sbr_rate = Some(rate(bits).ok()?);
        let mut ahead = bits.clone();
        if end >= ahead.at + 12 && ahead.bits(11)? == PS_SYNC {
            self.ps = ahead.bit()? == 1;
            *bits = ahead;
        }
        Some(())
    }

    /// The bytes of the configuration. A layout in a program config element is not kept, so
    /// that a channel configuration of 0 is refused.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        if self.channel_config == 0 {
            return Err(Error::Channels(0));
        }
        let mut out = BitWriter::default();
        match (self.sbr_rate, self.ps) {
            (Some(_), true) => out.object_type(PS),
            (Some(_), false) => out.object_type(SBR),
            (None, _) => out.object_type(self.object_type),
        }
        out.rate(self.sample_rate);
        out.bits(u32::from(self.channel_config), 4);
        if let Some(rate) = self.sbr_rate {
            out.rate(rate);
            out.object_type(self.object_type);
            if self.object_type == 22 {
                // BSAC says its channels a second time.
                out.bits(u32::from(self.channel_config), 4);
            }
        }
        out.bits(u32::from(self.short_frames), 1);
        out.bits(0, 2);
        if matches!(self.object_type, 6 | 20) {
            out.bits(0, 3);
        }
        if matches!(self.object_type, 17 | 19 | 20 | 22 | 23) {
            out.bits(0, 2);
        }
        Ok(out.bytes)
    }

    /// Samples of the core in one access unit, at [`Self::sample_rate`].
    pub fn samples_per_unit(&self) -> u32 {
        match (self.object_type, self.short_frames) {
            // Low delay: half as many.
            (23, false) => 512,
            (23, true) => 480,
            (_, false) => 1024,
            (_, true) => 960,
        }
    }

    /// Sampling rate of what a decoder makes of it, in hertz.
    pub fn output_rate(&self) -> u32 {
        self.sbr_rate.unwrap_or(self.sample_rate)
    }

    /// Channels of what a decoder makes of it.
    pub fn output_channels(&self) -> u8 {
        if self.ps && self.channels == 1 {
            2
        } else {
            self.channels
        }
    }
}

fn take(bits: &mut Bits<'_>, count: u32) -> Result<u8, Error> {
    let value = bits.bits(count).ok_or(Error::Short)?;
    Ok(u8::try_from(value).unwrap_or(u8::MAX))
}

fn object_type(bits: &mut Bits<'_>) -> Result<u8, Error> {
    match take(bits, 5)? {
        31 => Ok(32 + take(bits, 6)?),
        short => Ok(short),
    }
}

fn rate(bits: &mut Bits<'_>) -> Result<u32, Error> {
    let index = take(bits, 4)?;
    let rate = match index {
        15 => bits.bits(24).ok_or(Error::Short)?,
        index => RATES
            .get(usize::from(index))
            .copied()
            .ok_or(Error::Rate(index))?,
    };
    if rate == 0 {
        return Err(Error::Rate(index));
    }
    Ok(rate)
}

/// Reads a program config element (4.4.1.1) and counts its channels; `start` is what its
/// alignment counts from.
fn program_config(bits: &mut Bits<'_>, start: usize) -> Option<u8> {
    bits.skip(10)?;
    let pairs_or_singles = bits.bits(4)? + bits.bits(4)? + bits.bits(4)?;
    let lfe = bits.bits(2)?;
    let associated = bits.bits(3)?;
    let coupling = bits.bits(4)?;
    for width in [4, 4, 3] {
        if bits.bit()? == 1 {
            bits.skip(width)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..pairs_or_singles {
        channels += 1 + bits.bit()?;
        bits.skip(4)?;
    }
    bits.skip((lfe * 4 + associated * 4 + coupling * 5) as usize)?;
    let aligned = (bits.at - start).next_multiple_of(8);
    bits.skip(aligned - (bits.at - start))?;
    let comment = bits.bits(8)?;
    bits.skip(comment as usize * 8)?;
    u8::try_from(channels).ok()
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    fn bits(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from((value >> shift) & 1 == 1) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    fn object_type(&mut self, object_type: u8) {
        match object_type.checked_sub(32) {
            Some(rest) => {
                self.bits(31, 5);
                self.bits(u32::from(rest), 6);
            }
            None => self.bits(u32::from(object_type), 5),
        }
    }

    fn rate(&mut self, rate: u32) {
        match rate_index(rate) {
            Some(index) => self.bits(u32::from(index), 4),
            None => {
                self.bits(15, 4);
                self.bits(rate, 24);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_configurations_are_two_bytes() {
        let stereo = AudioSpecificConfig::parse(&[0x12, 0x10]).expect("AAC-LC, 44.1 kHz, stereo");
        assert_eq!(stereo, AudioSpecificConfig::lc(44_100, 2).expect("valid"));
        assert_eq!(stereo.write().expect("fits"), [0x12, 0x10]);
        assert_eq!(stereo.samples_per_unit(), 1024);
        assert_eq!(AudioSpecificConfig::lc(48_000, 8).expect("7.1").channels, 8);
        assert_eq!(
            AudioSpecificConfig::lc(48_000, 7),
            Err(Error::Channels(7)),
            "no configuration has seven channels in AAC-LC"
        );
    }

    #[test]
    fn both_ways_of_signalling_sbr_and_ps_are_read() {
        // Hierarchical, object type 5: 24 kHz core, 48 kHz out, stereo.
        let he = AudioSpecificConfig::parse(&[0x2b, 0x11, 0x88, 0x00]).expect("HE-AAC");
        assert_eq!((he.object_type, he.sample_rate), (2, 24_000));
        assert_eq!((he.output_rate(), he.output_channels()), (48_000, 2));
        // Backward compatible: AAC-LC at 22.05 kHz mono with SBR to 44.1 kHz and PS.
        let v2 = AudioSpecificConfig::parse(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80])
            .expect("HE-AAC v2");
        assert_eq!((v2.sample_rate, v2.output_rate()), (22_050, 44_100));
        assert!(v2.ps);
        assert_eq!((v2.channels, v2.output_channels()), (1, 2));
        // What is written reads the same.
        for config in [he, v2] {
            let bytes = config.write().expect("fits");
            assert_eq!(AudioSpecificConfig::parse(&bytes), Ok(config));
        }
    }

    #[test]
    fn rates_without_an_index_are_spelled_out() {
        let odd = AudioSpecificConfig::lc(37_800, 1).expect("valid");
        let bytes = odd.write().expect("fits");
        assert_eq!(AudioSpecificConfig::parse(&bytes), Ok(odd));
        assert_eq!(
            AudioSpecificConfig::parse(&[0x16, 0x90]),
            Err(Error::Rate(13))
        );
    }

    #[test]
    fn a_channel_list_is_counted() {
        // A front pair, a front single, a back pair and an LFE: 5.1 spelled out.
        let mut out = BitWriter::default();
        out.object_type(2);
        out.rate(48_000);
        for (value, count) in [(0, 4), (0, 3), (0, 4), (1, 2), (3, 4)] {
            out.bits(value, count);
        }
        for (value, count) in [(2, 4), (0, 4), (1, 4), (1, 2), (0, 3), (0, 4), (0, 3)] {
            out.bits(value, count);
        }
        for (value, count) in [(0, 5), (16, 5), (17, 5), (0, 4)] {
            out.bits(value, count);
        }
        out.bits(0, (8 - out.used % 8) % 8);
        out.bits(0, 8);
        let config = AudioSpecificConfig::parse(&out.bytes).expect("with a layout");
        assert_eq!((config.channel_config, config.channels), (0, 6));
        assert_eq!(config.write(), Err(Error::Channels(0)));
    }

    #[test]
    fn whatever_is_cut_is_an_error_or_a_plain_configuration() {
        let bytes = [0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80];
        for len in 0..bytes.len() {
            let read = AudioSpecificConfig::parse(&bytes[..len]);
            assert_eq!(read.is_ok(), len >= 2, "{len} bytes");
        }
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..rng.usize(..24)).map(|_| rng.u8(..)).collect();
            if let Ok(config) = AudioSpecificConfig::parse(&noise) {
                assert!(config.sample_rate > 0);
            }
        }
    }
}
