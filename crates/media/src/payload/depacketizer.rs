//! RTP payloads into frames: what all codecs share.

use std::sync::Arc;

use super::{aac, av1, nal, vp8, vp9};
use crate::codec::aac::AudioSpecificConfig;
use crate::codec::inspect;
use crate::codec::nal::ParameterSets;
use crate::{Codec, Config};

/// A payload in order of sequence numbers.
#[derive(Debug, Clone, Copy)]
pub struct PayloadPacket<'a> {
    /// The payload without RTP header.
    pub payload: &'a [u8],
    /// Marker bit.
    pub marker: bool,
    /// RTP timestamp, extended, in units of the codec's clock.
    pub timestamp: u64,
    /// Packets between the one before and this one are lost.
    pub gap: bool,
}

/// A frame put together, without times other than its timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// RTP timestamp of its packets, extended.
    pub timestamp: u64,
    /// What its decoder needs, as told in band or given at the start.
    pub config: Arc<Config>,
    /// The bytes in the shape of [`crate::Frame::data`].
    pub data: Arc<[u8]>,
    /// Whether decoding can begin here. Always true of sound.
    pub keyframe: bool,
    /// Whether everything that it refers to came: false from a loss to the next keyframe, before
    /// the first keyframe, and for leading pictures of H.265 where decoding begins behind them.
    /// Always true of sound.
    pub decodable: bool,
    /// Whether packets before it are lost; sound decoders conceal that.
    pub after_gap: bool,
    /// Whether it is shown before one decoded earlier.
    pub reordered: bool,
}

/// What became of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depacketized {
    /// A whole frame.
    Frame(Unit),
    /// A frame that lacks packets or is not what its payload format allows; it is dropped.
    Damaged {
        /// RTP timestamp of its packets, extended.
        timestamp: u64,
    },
}

/// Puts the payloads of one track together.
///
/// Takes packets in order of their sequence numbers; a packet that comes late must be put in
/// order or dropped before. Holds one frame, of at most eight megabytes.
#[derive(Debug)]
pub struct Depacketizer {
    codec: Codec,
    assembly: Assembly,
    open: Option<Open>,
    /// Everything since a keyframe came.
    synced: bool,
    /// The last keyframe ended a loss, and only leading pictures came since.
    resumed: bool,
    /// A packet came before.
    begun: bool,
}

/// The frame whose packets come.
#[derive(Debug, Clone, Copy)]
struct Open {
    timestamp: u64,
    damaged: bool,
    after_gap: bool,
}

#[derive(Debug)]
enum Assembly {
    Nal(nal::Assembly),
    Av1(av1::Assembly),
    Vp8(vp8::Assembly),
    Vp9(vp9::Assembly),
    Aac {
        assembly: aac::Assembly,
        config: Arc<Config>,
        /// Ticks of the codec's clock from one access unit to the next.
        ticks: u64,
    },
    Opus {
        config: Arc<Config>,
        packet: Vec<u8>,
    },
}

/// Payloads that do not make a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// A picture that an assembly gives.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) config: Arc<Config>,
    pub(super) data: Vec<u8>,
    pub(super) keyframe: bool,
    pub(super) reordered: bool,
    /// A leading picture of H.265.
    pub(super) leading: bool,
}

impl Depacketizer {
    /// For a track about which nothing is known yet. AAC without configuration is taken for
    /// stereo at 48 kHz: its configuration never comes in band, so give it where it can be known.
    pub fn new(codec: Codec) -> Self {
        Self::with_config(Arc::new(match codec {
            Codec::H264 => Config::H264 {
                sps: Vec::new(),
                pps: Vec::new(),
            },
            Codec::H265 => Config::H265 {
                vps: Vec::new(),
                sps: Vec::new(),
                pps: Vec::new(),
            },
            Codec::Av1 => Config::Av1 {
                sequence_header: Vec::new(),
            },
            Codec::Vp8 => Config::Vp8,
            Codec::Vp9 => Config::Vp9 { profile: 0 },
            // AAC-LC, 48 kHz, two channels.
            Codec::Aac => Config::Aac {
                asc: vec![0x11, 0x90],
            },
            // 312 samples are what encoders commonly look ahead.
            Codec::Opus => Config::Opus {
                channels: 2,
                pre_skip: 312,
            },
        }))
    }

    /// For a track whose configuration is known, for instance from its description.
    pub fn with_config(config: Arc<Config>) -> Self {
        let codec = config.codec();
        let assembly = match &*config {
            Config::H264 { .. } | Config::H265 { .. } => Assembly::Nal(nal::Assembly::new(
                ParameterSets::with_config(config.clone()).expect("both codecs have NAL units"),
            )),
            Config::Av1 { .. } => Assembly::Av1(av1::Assembly::new(config)),
            Config::Vp8 => Assembly::Vp8(vp8::Assembly::new(config)),
            Config::Vp9 { .. } => Assembly::Vp9(vp9::Assembly::new(config)),
            Config::Aac { asc } => {
                let ticks = AudioSpecificConfig::parse(asc).map_or(1024, |asc| {
                    u64::from(asc.samples_per_unit()) * u64::from(codec.clock_rate())
                        / u64::from(asc.sample_rate.max(1))
                });
                Assembly::Aac {
                    assembly: aac::Assembly::default(),
                    config,
                    ticks,
                }
            }
            Config::Opus { .. } => Assembly::Opus {
                config,
                packet: Vec::new(),
            },
        };
        Self {
            codec,
            assembly,
            open: None,
            synced: false,
            resumed: false,
            begun: false,
        }
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Takes a packet and appends what it completes to `out`: nothing, or up to two of it, where
    /// it also shows that the frame before has ended. AAC may give several units at once.
    pub fn push(&mut self, packet: PayloadPacket<'_>, out: &mut Vec<Depacketized>) {
        if let Some(open) = self.open
            && open.timestamp != packet.timestamp
        {
            // No marker came: some senders set none, or it is among what is lost.
            self.finish(packet.gap, out);
        }
        if packet.gap {
            self.synced = false;
            if let Some(open) = &mut self.open {
                open.damaged = true;
            }
        }
        let mut open = self.open.unwrap_or_else(|| {
            self.assembly.clear();
            // What follows a loss may lack its beginning, as may the very first packet.
            let unsure = packet.gap || !self.begun;
            Open {
                timestamp: packet.timestamp,
                damaged: unsure && !inspect(self.codec, packet.payload).frame_start,
                after_gap: packet.gap,
            }
        });
        self.begun = true;
        if !open.damaged {
            open.damaged = self.assembly.push(packet.payload).is_err();
        }
        self.open = Some(open);
        if packet.marker || self.codec == Codec::Opus {
            self.finish(false, out);
        }
    }

    /// Ends the frame whose packets came last, where the sender stopped without marker.
    pub fn flush(&mut self, out: &mut Vec<Depacketized>) {
        self.finish(false, out);
    }

    fn finish(&mut self, cut: bool, out: &mut Vec<Depacketized>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let timestamp = open.timestamp;
        let result = if open.damaged || cut {
            Err(Broken)
        } else {
            self.assemble(open, out)
        };
        self.assembly.clear();
        if result.is_err() {
            self.synced = false;
            out.push(Depacketized::Damaged { timestamp });
        }
    }

    fn assemble(&mut self, open: Open, out: &mut Vec<Depacketized>) -> Result<(), Broken> {
        let sound = |timestamp: u64, config: &Arc<Config>, data: &[u8], after_gap: bool| {
            Depacketized::Frame(Unit {
                timestamp,
                config: config.clone(),
                data: Arc::from(data),
                keyframe: true,
                decodable: true,
                after_gap,
                reordered: false,
            })
        };
        let picture = match &mut self.assembly {
            Assembly::Nal(assembly) => assembly.finish()?,
            Assembly::Av1(assembly) => assembly.finish()?,
            Assembly::Vp8(assembly) => assembly.finish()?,
            Assembly::Vp9(assembly) => assembly.finish()?,
            Assembly::Opus { config, packet } => {
                out.push(sound(open.timestamp, config, packet, open.after_gap));
                None
            }
            Assembly::Aac {
                assembly,
                config,
                ticks,
            } => {
                let mut timestamp = open.timestamp;
                for (index, unit) in assembly.finish()?.iter().enumerate() {
                    let after_gap = open.after_gap && index == 0;
                    out.push(sound(timestamp, config, unit, after_gap));
                    timestamp = timestamp.saturating_add(*ticks);
                }
                None
            }
        };
        let Some(picture) = picture else {
            return Ok(());
        };
        if picture.keyframe {
            self.resumed = !self.synced;
            self.synced = true;
        } else if !picture.leading {
            self.resumed = false;
        }
        out.push(Depacketized::Frame(Unit {
            timestamp: open.timestamp,
            config: picture.config,
            data: Arc::from(picture.data),
            keyframe: picture.keyframe,
            decodable: self.synced && !(picture.leading && self.resumed),
            after_gap: open.after_gap,
            reordered: picture.reordered,
        }));
        Ok(())
    }
}

impl Assembly {
    fn clear(&mut self) {
        match self {
            Self::Nal(assembly) => assembly.clear(),
            Self::Av1(assembly) => assembly.clear(),
            Self::Vp8(assembly) => assembly.clear(),
            Self::Vp9(assembly) => assembly.clear(),
            Self::Aac { assembly, .. } => assembly.clear(),
            Self::Opus { packet, .. } => packet.clear(),
        }
    }

    fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Nal(assembly) => assembly.push(payload),
            Self::Av1(assembly) => assembly.push(payload),
            Self::Vp8(assembly) => assembly.push(payload),
            Self::Vp9(assembly) => assembly.push(payload),
            Self::Aac { assembly, .. } => assembly.push(payload),
            Self::Opus { packet, .. } => {
                if payload.is_empty() {
                    return Err(Broken);
                }
                packet.extend_from_slice(payload);
                Ok(())
            }
        }
    }
}
