//! NAL units of H.264 and H.265: start codes (Annex B of both specifications) and lengths
//! (ISO/IEC 14496-15), and what an access unit made of them holds.
//!
//! [`ParameterSets`] takes an access unit in whichever framing it came and gives the one shape
//! that [`crate::Frame`] has: lengths of four bytes, no parameter sets, no delimiters. It never
//! decodes a picture; it reads the headers only.

use std::sync::Arc;

use super::{Bits, h264, h265, unescape};
use crate::{Codec, Config};

/// Parameter sets of one kind that are kept: as many as a configuration record can hold of the
/// kind that it counts in five bits. Encoders use one, seldom three.
pub const MAX_SETS: usize = 31;
/// Longest parameter set that is kept. Real ones have some dozens of bytes, with every scaling
/// list written out about a thousand.
pub const MAX_SET_LEN: usize = 4096;
/// NAL units of one access unit that are looked at. Level 6.2 of H.265 allows 600 slices.
pub const MAX_NALS: usize = 1024;

/// How many bytes the length before each NAL unit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NalLength {
    /// One byte.
    One,
    /// Two bytes.
    Two,
    /// Four bytes: what [`crate::Frame`] holds.
    #[default]
    Four,
}

impl NalLength {
    /// The length that a configuration record gives as its number of bytes; three is forbidden.
    pub fn from_bytes(bytes: u8) -> Option<Self> {
        match bytes {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            _ => None,
        }
    }

    /// The number of bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// The NAL units of a byte stream with start codes (Annex B). Bytes before the first start code
/// are passed over; so are empty units and the zeros behind a unit.
pub fn annex_b(data: &[u8]) -> AnnexB<'_> {
    let start = start_code(data, 0).map_or(data.len(), |at| at + 3);
    AnnexB { data, at: start }
}

/// Iterator of [`annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.data.len() {
            let (end, next) = match start_code(self.data, self.at) {
                Some(code) => (code, code + 3),
                None => (self.data.len(), self.data.len()),
            };
            let mut nal = self.data.get(self.at..end)?;
            self.at = next;
            while let [rest @ .., 0] = nal {
                nal = rest;
            }
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    }
}

/// Position of the next 00 00 01 at or behind `from`.
pub(crate) fn start_code(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match data.get(at..at + 3)? {
            [0, 0, 1] => return Some(at),
            // A last byte above one is part of no start code, so three bytes can be passed over.
            [_, _, 2..=255] => at += 3,
            [_, 1..=255, _] => at += 2,
            _ => at += 1,
        }
    }
}

/// The NAL units of data in which a length stands before each. Empty units are passed over;
/// iteration ends where a length reaches past the end, and [`LengthPrefixed::broken`] tells so.
pub fn length_prefixed(data: &[u8], length: NalLength) -> LengthPrefixed<'_> {
    LengthPrefixed {
        rest: data,
        length: length.bytes(),
        broken: false,
    }
}

/// Iterator of [`length_prefixed`].
#[derive(Debug, Clone)]
pub struct LengthPrefixed<'a> {
    rest: &'a [u8],
    length: usize,
    broken: bool,
}

impl LengthPrefixed<'_> {
    /// Whether iteration ended at a length that reaches past the end, or inside a length.
    pub fn broken(&self) -> bool {
        self.broken
    }
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let unit = self
                .rest
                .split_at_checked(self.length)
                .and_then(|(length, rest)| {
                    let length = length
                        .iter()
                        .fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
                    rest.split_at_checked(length)
                });
            let Some((nal, rest)) = unit else {
                self.broken = true;
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    }
}

/// Appends a NAL unit behind its length in four bytes. Units of 4 GiB do not exist here; one that
/// did would be left out.
pub fn push_length_prefixed(out: &mut Vec<u8>, nal: &[u8]) {
    if let Ok(length) = u32::try_from(nal.len()) {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(nal);
    }
}

/// Appends NAL units with start codes of four bytes.
pub fn push_annex_b<'a>(out: &mut Vec<u8>, nals: impl IntoIterator<Item = &'a [u8]>) {
    for nal in nals {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
    }
}

/// A frame's data (lengths of four bytes) as a byte stream with start codes; with its access unit
/// delimiter first and, where it is a keyframe, the parameter sets of `config`.
///
/// This is what MPEG transport streams hold. Other codecs' data comes back as it is.
pub fn to_annex_b(config: &Config, keyframe: bool, data: &[u8]) -> Vec<u8> {
    // Start codes of four bytes are as long as the lengths, so the sum grows by the sets only.
    let mut out = Vec::with_capacity(data.len() + 256);
    match config {
        Config::H264 { .. } => out.extend_from_slice(&[0, 0, 0, 1, 0x09, 0xf0]),
        Config::H265 { .. } => out.extend_from_slice(&[0, 0, 0, 1, 0x46, 0x01, 0x50]),
        Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. }
        | Config::Aac { .. }
        | Config::Opus { .. } => {
            out.extend_from_slice(data);
            return out;
        }
    }
    if keyframe {
        push_annex_b(&mut out, parameter_sets(config));
    }
    push_annex_b(&mut out, length_prefixed(data, NalLength::Four));
    out
}

/// The parameter sets of a configuration in the order in which a decoder needs them; none for
/// codecs without NAL units.
pub fn parameter_sets(config: &Config) -> impl Iterator<Item = &[u8]> {
    let lists: [&[Vec<u8>]; 3] = match config {
        Config::H264 { sps, pps } => [&[], sps, pps],
        Config::H265 { vps, sps, pps } => [vps, sps, pps],
        Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. }
        | Config::Aac { .. }
        | Config::Opus { .. } => [&[]; 3],
    };
    lists.into_iter().flatten().map(Vec::as_slice)
}

/// What a NAL unit is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NalKind {
    /// Video parameter set (H.265).
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// A slice of a picture from which decoding can begin (IDR; in H.265 any IRAP).
    KeySlice,
    /// A slice of another picture.
    Slice,
    /// Supplemental enhancement information.
    Sei,
    /// Access unit delimiter or filler: nothing a decoder needs. Also the numbers that no unit of
    /// a stream has because RTP gives them to its packets (RFC 6184, 5.2; RFC 7798, 4.4): sent on,
    /// such a unit would be taken for several or for a piece of one.
    Padding,
    /// Anything else.
    Other,
}

/// What the header of a NAL unit says. `codec` is H.264 or H.265; others have [`NalKind::Other`].
pub fn kind(codec: Codec, nal: &[u8]) -> NalKind {
    let Some(&first) = nal.first() else {
        return NalKind::Other;
    };
    match codec {
        Codec::H264 => match first & 0x1f {
            1..=4 => NalKind::Slice,
            5 => NalKind::KeySlice,
            6 => NalKind::Sei,
            7 => NalKind::Sps,
            8 => NalKind::Pps,
            9 | 12 | 24..=29 => NalKind::Padding,
            _ => NalKind::Other,
        },
        Codec::H265 => match (first >> 1) & 0x3f {
            16..=23 => NalKind::KeySlice,
            0..=31 => NalKind::Slice,
            32 => NalKind::Vps,
            33 => NalKind::Sps,
            34 => NalKind::Pps,
            35 | 38 | 48..=50 => NalKind::Padding,
            39 | 40 => NalKind::Sei,
            _ => NalKind::Other,
        },
        Codec::Opus | Codec::Aac | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => NalKind::Other,
    }
}

/// An access unit in the shape that [`crate::Frame`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// What its decoder needs: the newest parameter sets, including those of this access unit.
    pub config: Arc<Config>,
    /// NAL units behind lengths of four bytes; empty where nothing but parameter sets came.
    pub data: Vec<u8>,
    /// Whether there is a slice of a picture.
    pub picture: bool,
    /// Whether decoding can begin here: an IDR picture, an IRAP picture of H.265, or an H.264
    /// recovery point that is exact at once.
    pub keyframe: bool,
    /// Whether there is a B slice. In H.264 that means that pictures are coded out of order, in
    /// H.265 it need not: encoders without delay use B slices that look back only.
    pub b_slices: bool,
    /// Whether the picture is shown before one decoded earlier: a B slice in H.264, a leading
    /// picture (RADL, RASL) in H.265.
    pub reordered: bool,
}

/// The newest parameter sets of one H.264 or H.265 stream.
#[derive(Debug, Clone)]
pub struct ParameterSets {
    codec: Codec,
    config: Arc<Config>,
}

impl ParameterSets {
    /// Without any set yet. `None` for codecs without NAL units.
    pub fn new(codec: Codec) -> Option<Self> {
        let config = match codec {
            Codec::H264 => Config::H264 {
                sps: Vec::new(),
                pps: Vec::new(),
            },
            Codec::H265 => Config::H265 {
                vps: Vec::new(),
                sps: Vec::new(),
                pps: Vec::new(),
            },
            Codec::Opus | Codec::Aac | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => return None,
        };
        Some(Self {
            codec,
            config: Arc::new(config),
        })
    }

    /// With the sets of a configuration record. `None` for codecs without NAL units.
    pub fn with_config(config: Arc<Config>) -> Option<Self> {
        let codec = config.codec();
        matches!(codec, Codec::H264 | Codec::H265).then_some(Self { codec, config })
    }

    /// What a decoder needs now.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether a decoder could begin: all kinds of sets are there.
    pub fn complete(&self) -> bool {
        match &*self.config {
            Config::H264 { sps, pps } => !sps.is_empty() && !pps.is_empty(),
            Config::H265 { vps, sps, pps } => !vps.is_empty() && !sps.is_empty() && !pps.is_empty(),
            Config::Av1 { .. }
            | Config::Vp8
            | Config::Vp9 { .. }
            | Config::Aac { .. }
            | Config::Opus { .. } => true,
        }
    }

    /// Takes the parameter sets out of an access unit and puts the rest behind lengths.
    ///
    /// A keyframe that brings a changed sequence parameter set along with a picture parameter set
    /// replaces all sets; else each set replaces the one with its id. At most [`MAX_NALS`] units
    /// count, the rest is left out.
    pub fn access_unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> AccessUnit {
        let mut unit = AccessUnit {
            config: self.config.clone(),
            data: Vec::new(),
            picture: false,
            keyframe: false,
            b_slices: false,
            reordered: false,
        };
        let mut sets = Vec::new();
        for nal in nals.take(MAX_NALS) {
            let kind = kind(self.codec, nal);
            match kind {
                NalKind::Vps | NalKind::Sps | NalKind::Pps => {
                    if nal.len() <= MAX_SET_LEN && sets.len() < 3 * MAX_SETS {
                        sets.push((kind, nal));
                    }
                    continue;
                }
                NalKind::Padding => continue,
                NalKind::KeySlice => {
                    unit.picture = true;
                    unit.keyframe = true;
                }
                NalKind::Slice => unit.picture = true,
                NalKind::Sei => {
                    unit.keyframe |=
                        self.codec == Codec::H264 && h264::recovery_frames(nal) == Some(0);
                }
                NalKind::Other => {}
            }
            push_length_prefixed(&mut unit.data, nal);
        }
        unit.keyframe &= unit.picture;
        self.merge(&sets, unit.keyframe);
        unit.config = self.config.clone();
        for nal in length_prefixed(&unit.data, NalLength::Four) {
            match self.codec {
                Codec::H264 => unit.b_slices |= h264::is_b_slice(nal),
                _ => {
                    unit.b_slices |= h265::is_b_slice(nal, &self.config);
                    unit.reordered |= h265::is_leading(nal);
                }
            }
        }
        unit.reordered |= self.codec == Codec::H264 && unit.b_slices;
        unit
    }

    fn merge(&mut self, sets: &[(NalKind, &[u8])], keyframe: bool) {
        if sets
            .iter()
            .all(|(kind, set)| self.list(*kind).iter().any(|known| known == set))
        {
            return;
        }
        let changed = sets.iter().any(|(kind, set)| {
            *kind == NalKind::Sps && !self.list(NalKind::Sps).iter().any(|known| known == set)
        });
        let replace = keyframe && changed && sets.iter().any(|(kind, _)| *kind == NalKind::Pps);
        let codec = self.codec;
        let config = Arc::make_mut(&mut self.config);
        if replace {
            for kind in [NalKind::Vps, NalKind::Sps, NalKind::Pps] {
                if sets.iter().any(|(other, _)| *other == kind)
                    && let Some(list) = list_mut(config, kind)
                {
                    list.clear();
                }
            }
        }
        for &(kind, set) in sets {
            let id = set_id(codec, kind, set);
            let Some(list) = list_mut(config, kind) else {
                continue;
            };
            match list
                .iter_mut()
                .find(|known| id.is_some() && set_id(codec, kind, known) == id)
            {
                Some(known) => *known = set.to_vec(),
                None => {
                    if list.len() >= MAX_SETS {
                        list.remove(0);
                    }
                    list.push(set.to_vec());
                }
            }
        }
    }

    fn list(&self, kind: NalKind) -> &[Vec<u8>] {
        match (&*self.config, kind) {
            (Config::H264 { sps, .. } | Config::H265 { sps, .. }, NalKind::Sps) => sps,
            (Config::H264 { pps, .. } | Config::H265 { pps, .. }, NalKind::Pps) => pps,
            (Config::H265 { vps, .. }, NalKind::Vps) => vps,
            _ => &[],
        }
    }
}

fn list_mut(config: &mut Config, kind: NalKind) -> Option<&mut Vec<Vec<u8>>> {
    match (config, kind) {
        (Config::H264 { sps, .. } | Config::H265 { sps, .. }, NalKind::Sps) => Some(sps),
        (Config::H264 { pps, .. } | Config::H265 { pps, .. }, NalKind::Pps) => Some(pps),
        (Config::H265 { vps, .. }, NalKind::Vps) => Some(vps),
        _ => None,
    }
}

/// The id by which slices or other sets name a parameter set.
fn set_id(codec: Codec, kind: NalKind, set: &[u8]) -> Option<u32> {
    if codec == Codec::H265 && kind == NalKind::Sps {
        return h265::sps(set).map(|sps| sps.id);
    }
    let head = unescape(set.get(1..)?, 16);
    let mut bits = Bits::new(&head);
    match (codec, kind) {
        (Codec::H264, NalKind::Sps) => bits.skip(24)?,
        (Codec::H264, _) => {}
        (_, NalKind::Vps) => {
            bits.skip(8)?;
            return bits.bits(4);
        }
        _ => bits.skip(8)?,
    }
    bits.ue()
}

#[cfg(test)]
mod tests;
