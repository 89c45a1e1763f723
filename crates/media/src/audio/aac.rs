//! AAC (ISO/IEC 14496-3: LC, HE v1 and v2, LD) behind the seams of this module.

use std::sync::Arc;

use super::downmix::{self, MAX_CHANNELS, Speaker};
use super::{Decoder, Encoder, Fault, RATE, Stereo};
use crate::Config;

/// Bytes of the longest access unit: 6144 bits for each of 8 channels (ISO/IEC 14496-3,
/// 4.5.3.2), and as much again for extensions. Longer ones only cost time.
const MAX_BYTES: usize = 2 * 768 * MAX_CHANNELS;

/// Samples per channel in one of our units.
const UNIT: usize = 1024;

/// Decodes access units without framing.
///
/// The priming that an encoder puts before its first sample (1024 or 2112 samples, more with
/// SBR) is sound like any other here: what a unit's time means is the source's matter.
pub struct AacDecoder {
    library: syom::Decoder,
    asc: Vec<u8>,
}

impl AacDecoder {
    /// A decoder for an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    ///
    /// # Errors
    /// Where the configuration is cut short or names an object type that is not read.
    pub fn new(asc: &[u8]) -> Result<Self, Fault> {
        // No limits of duration or output in the library: a stream has no end, a unit's size is
        // checked here and what it can decode to is set by the codec.
        let library =
            syom::Decoder::from_asc(asc, syom::DecodeOptions::unbounded()).map_err(Fault::new)?;
        Ok(Self {
            library,
            asc: asc.to_vec(),
        })
    }

    fn run(&mut self, unit: &[u8], sound: &mut Stereo) -> Result<(), Fault> {
        sound.clear();
        self.library
            .decode_au(unit, |frame| {
                let mut speakers = [Speaker::Unknown; MAX_CHANNELS];
                let mut named = 0;
                for (speaker, channel) in speakers.iter_mut().zip(frame.meta.labels()) {
                    *speaker = place(channel);
                    named += usize::from(*speaker != Speaker::Unknown);
                }
                let speakers = if named == 0 {
                    downmix::usual_order(frame.planar.len())
                } else {
                    &speakers
                };
                downmix::mix(frame.planar, speakers, sound);
                sound.rate = frame.sample_rate;
                Ok(())
            })
            .map_err(Fault::new)?;
        if sound.is_empty() {
            Err(Fault::new("a unit without sound"))
        } else {
            Ok(())
        }
    }
}

/// Where the library's channel is heard from.
fn place(channel: syom::Channel) -> Speaker {
    match channel {
        syom::Channel::FrontLeft => Speaker::FrontLeft,
        syom::Channel::FrontRight => Speaker::FrontRight,
        syom::Channel::FrontCenter => Speaker::FrontCentre,
        syom::Channel::Lfe => Speaker::LowFrequency,
        syom::Channel::BackLeft | syom::Channel::SideLeft => Speaker::SurroundLeft,
        syom::Channel::BackRight | syom::Channel::SideRight => Speaker::SurroundRight,
        syom::Channel::BackCenter => Speaker::BackCentre,
        // The library may add places.
        _ => Speaker::Unknown,
    }
}

impl Decoder for AacDecoder {
    fn decode(&mut self, unit: &[u8], sound: &mut Stereo) -> Result<(), Fault> {
        if unit.is_empty() || unit.len() > MAX_BYTES {
            return Err(Fault::new(format!(
                "a unit of {} bytes, where AAC has 1 to {MAX_BYTES}",
                unit.len()
            )));
        }
        let decoded = self.run(unit, sound);
        if decoded.is_err() {
            // After an error the library refuses everything until it is reset, and a reset
            // forgets the configuration.
            self.library.reset();
            self.library.set_asc(&self.asc).map_err(Fault::new)?;
        }
        decoded
    }
}

/// Encodes stereo to AAC-LC units of 1024 samples.
pub struct AacEncoder {
    library: syom::Encoder,
    config: Arc<Config>,
}

impl AacEncoder {
    /// An encoder for `bits_per_second` on average.
    ///
    /// # Errors
    /// For a rate outside 16 000 to 512 000: below it AAC-LC is not worth hearing, above it is
    /// more than two channels may have.
    pub fn new(bits_per_second: u32) -> Result<Self, Fault> {
        if !(16_000..=512_000).contains(&bits_per_second) {
            return Err(Fault::new(format!(
                "{bits_per_second} bit/s, where AAC-LC in stereo has 16000 to 512000"
            )));
        }
        let options = syom::EncodeOptions::raw().with_bitrate_bps(bits_per_second);
        let library = syom::Encoder::new(RATE, 2, &options).map_err(Fault::new)?;
        let config = Arc::new(Config::Aac {
            asc: library.asc().to_vec(),
        });
        Ok(Self { library, config })
    }
}

impl Encoder for AacEncoder {
    fn config(&self) -> &Arc<Config> {
        &self.config
    }

    fn unit_len(&self) -> usize {
        UNIT
    }

    fn delay(&self) -> usize {
        // The first unit decodes to the half of the first window that lies before the input.
        UNIT
    }

    fn encode(&mut self, left: &[f32], right: &[f32]) -> Result<Arc<[u8]>, Fault> {
        let mut unit = None;
        let fed = self.library.feed(&[left, right], |frame| {
            unit = Some(Arc::from(frame.payload));
            Ok(())
        });
        if let Err(cause) = fed {
            let fault = Fault::new(cause);
            self.library.reset().map_err(Fault::new)?;
            return Err(fault);
        }
        unit.ok_or_else(|| Fault::new("the encoder gave no unit for a whole one of samples"))
    }
}
