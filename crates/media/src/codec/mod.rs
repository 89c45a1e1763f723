//! What the first bytes of an RTP payload tell, codec by codec, without decoding; NAL units and
//! configuration records.

pub mod aac;
pub mod av1;
pub mod h264;
pub mod h265;
pub mod nal;
pub mod records;
pub mod vp8;
pub mod vp9;

use crate::Codec;

/// What a payload tells about its place in the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// The packet opens a frame.
    pub frame_start: bool,
    /// The packet opens a frame (or its parameter sets) from which decoding can begin.
    pub keyframe_start: bool,
    /// Temporal layer, 0 is the base.
    pub temporal: u8,
    /// Spatial layer inside the stream (SVC), 0 is the base.
    pub spatial: u8,
    /// A receiver of lower temporal layers may begin to receive this layer with this packet.
    pub switch_up: bool,
    /// Last packet of its spatial layer's picture (SVC); the marker bit closes the whole.
    pub layer_end: bool,
    /// The picture is not used for inter-layer prediction (SVC).
    pub not_referenced_above: bool,
    /// The packet holds a piece of a frame that is shown before one sent earlier.
    pub reordered: bool,
    /// Picture size in pixels, told with keyframes.
    pub size: Option<(u32, u32)>,
}

/// Inspects the RTP payload of a packet.
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadInfo {
    match codec {
        Codec::Opus | Codec::Aac => PayloadInfo {
            frame_start: true,
            keyframe_start: true,
            ..PayloadInfo::default()
        },
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 => vp9::inspect(payload),
        Codec::H264 => h264::inspect(payload),
        Codec::H265 => h265::inspect(payload),
        Codec::Av1 => av1::inspect(payload),
    }
}

/// Reads bits from the highest down; `None` past the end.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = (byte >> (7 - self.at % 8)) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// Up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = (value << 1) | self.bit()?;
        }
        Some(value)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Exponential Golomb code, unsigned (H.264 9.1).
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some((1_u32 << zeros) - 1 + rest)
    }

    /// Exponential Golomb code, signed.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let half = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { half } else { -half })
    }
}

/// Removes the emulation prevention bytes of a NAL unit (H.264 7.4.1, H.265 7.4.2), reading at
/// most `limit` bytes.
pub(crate) fn unescape(nal: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(limit));
    let mut zeros = 0;
    for &byte in nal.iter().take(limit) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
