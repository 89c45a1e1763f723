//! Opus (RFC 6716) behind the seams of this module.

use std::sync::Arc;

use super::{Decoder, Encoder, Fault, RATE, Stereo};
use crate::Config;

/// Samples in 120 ms, the longest that one packet holds (RFC 6716, 3.2.5).
const MAX_PACKET: usize = 5760;

/// The finest step in which a decoder makes up sound: 2.5 ms.
const CONCEAL_STEP: usize = 120;

/// Bytes of the longest packet: 48 frames of at most 1275 bytes and their lengths. Longer ones
/// are not Opus, and reading them would only cost time.
const MAX_BYTES: usize = 48 * 1277 + 2;

/// Samples in one of our packets: 20 ms, the size that every WebRTC stack sends and expects.
const PACKET: usize = 960;

/// Where the encoder's effort stands, 0 to 10. Higher costs up to twice the time for less than
/// half a decibel at our bitrates (from 7 on it also analyses speech against music, which decides
/// nothing above 64 kbit/s); lower gives up pitch prediction.
const EFFORT: i32 = 6;

/// Decodes Opus packets, mono or stereo, at 48 kHz.
pub struct OpusDecoder {
    library: opus_pure::OpusDecoder,
    interleaved: Vec<f32>,
}

impl OpusDecoder {
    /// A decoder for a source that declares `channels` channels.
    ///
    /// # Errors
    /// For other than one or two channels.
    pub fn new(channels: u8) -> Result<Self, Fault> {
        if !(1..=2).contains(&channels) {
            return Err(Fault::new(format!(
                "{channels} channels of Opus, where 1 or 2 are read"
            )));
        }
        // Two channels whatever is declared: each packet says for itself how many it codes, and
        // mono comes out on both sides.
        Ok(Self {
            library: opus_pure::OpusDecoder::new(48_000, 2).map_err(Fault::new)?,
            interleaved: Vec::new(),
        })
    }

    fn run(&mut self, packet: &[u8], samples: usize, sound: &mut Stereo) -> Result<(), Fault> {
        self.interleaved.clear();
        self.interleaved.resize(samples * 2, 0.0);
        let made = self
            .library
            .decode(packet, samples, &mut self.interleaved)
            .map_err(Fault::new)?;
        sound.clear();
        sound.rate = RATE;
        for pair in self.interleaved.chunks_exact(2).take(made) {
            if let [left, right] = pair {
                sound.left.push(*left);
                sound.right.push(*right);
            }
        }
        Ok(())
    }
}

impl Decoder for OpusDecoder {
    fn decode(&mut self, unit: &[u8], sound: &mut Stereo) -> Result<(), Fault> {
        // An empty packet would ask the library to make up for a lost one.
        if unit.is_empty() || unit.len() > MAX_BYTES {
            return Err(Fault::new(format!(
                "a packet of {} bytes, where Opus has 1 to {MAX_BYTES}",
                unit.len()
            )));
        }
        let samples = opus_pure::packet::samples_48k(unit).map_err(Fault::new)?;
        if samples == 0 || samples > MAX_PACKET {
            return Err(Fault::new(format!(
                "a packet of {samples} samples, where Opus has at most {MAX_PACKET}"
            )));
        }
        self.run(unit, samples, sound)
    }

    fn conceal(&mut self, samples: usize, sound: &mut Stereo) -> bool {
        if samples == 0 || !samples.is_multiple_of(CONCEAL_STEP) {
            return false;
        }
        let mut step = Stereo::default();
        sound.clear();
        sound.rate = RATE;
        let mut missing = samples;
        while missing > 0 {
            let now = missing.min(PACKET);
            if self.run(&[], now, &mut step).is_err() || step.len() != now {
                return false;
            }
            sound.left.extend_from_slice(&step.left);
            sound.right.extend_from_slice(&step.right);
            missing -= now;
        }
        true
    }
}

/// Encodes stereo to Opus packets of 20 ms.
pub struct OpusEncoder {
    library: opus_pure::OpusEncoder,
    config: Arc<Config>,
    interleaved: Vec<f32>,
    packet: Vec<u8>,
}

impl OpusEncoder {
    /// An encoder for `bits_per_second`, which a packet may exceed or miss: the rate is variable
    /// around it. No forward error correction: it serves speech at low rates only, and
    /// retransmission does better for what is watched.
    ///
    /// # Errors
    /// For a rate outside 6000 to 510 000, which Opus does not have.
    pub fn new(bits_per_second: u32) -> Result<Self, Fault> {
        if !(6_000..=510_000).contains(&bits_per_second) {
            return Err(Fault::new(format!(
                "{bits_per_second} bit/s, where Opus has 6000 to 510000"
            )));
        }
        let mut library = opus_pure::OpusEncoder::new(48_000, 2, opus_pure::Application::Audio)
            .map_err(Fault::new)?;
        library.bitrate_bps = i32::try_from(bits_per_second).map_err(Fault::new)?;
        library.complexity = EFFORT;
        library.use_inband_fec = false;
        let pre_skip = u16::try_from(library.lookahead()).map_err(Fault::new)?;
        Ok(Self {
            library,
            config: Arc::new(Config::Opus {
                channels: 2,
                pre_skip,
            }),
            interleaved: Vec::with_capacity(PACKET * 2),
            packet: vec![0; opus_pure::MAX_PACKET_BYTES],
        })
    }
}

impl Encoder for OpusEncoder {
    fn config(&self) -> &Arc<Config> {
        &self.config
    }

    fn unit_len(&self) -> usize {
        PACKET
    }

    fn delay(&self) -> usize {
        self.library.lookahead()
    }

    fn encode(&mut self, left: &[f32], right: &[f32]) -> Result<Arc<[u8]>, Fault> {
        self.interleaved.clear();
        for (left, right) in left.iter().zip(right) {
            self.interleaved.extend([left, right]);
        }
        let bytes = self
            .library
            .encode(&self.interleaved, PACKET, &mut self.packet)
            .map_err(Fault::new)?;
        Ok(Arc::from(self.packet.get(..bytes).unwrap_or_default()))
    }
}
