//! AV1 in RTP (AOM "RTP Payload Format for AV1"): aggregation header, OBU headers, picture size.

use super::{Bits, PayloadInfo};

/// Opens a coded video sequence; the numbers are those of AV1 6.2.2.
pub const OBU_SEQUENCE_HEADER: u8 = 1;
/// Opens a temporal unit; left out of frames and packets.
pub const OBU_TEMPORAL_DELIMITER: u8 = 2;
/// A frame's header alone.
pub const OBU_FRAME_HEADER: u8 = 3;
/// Tiles behind a frame's header.
pub const OBU_TILE_GROUP: u8 = 4;
/// A frame's header and tiles.
pub const OBU_FRAME: u8 = 6;
/// A copy of a frame's header.
pub const OBU_REDUNDANT_FRAME_HEADER: u8 = 7;
/// Tiles outside any frame; forbidden in RTP.
pub const OBU_TILE_LIST: u8 = 8;
/// Bytes without meaning.
pub const OBU_PADDING: u8 = 15;

/// The parts of an OBU: header without the flag of the size field, extension, and what follows
/// the size field. `None` where it ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    /// The first byte with the flag of the size field taken out.
    pub header: u8,
    /// Temporal and spatial layer, where told.
    pub extension: Option<u8>,
    /// Everything behind header and size field.
    pub body: &'a [u8],
}

impl<'a> Obu<'a> {
    /// Parses one OBU that fills `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&header, mut body) = bytes.split_first()?;
        let mut extension = None;
        if header & 0x04 != 0 {
            let (&byte, rest) = body.split_first()?;
            extension = Some(byte);
            body = rest;
        }
        if header & 0x02 != 0 {
            let (len, used) = leb128(body)?;
            body = body.get(used..used.checked_add(len)?)?;
        }
        Some(Self {
            header: header & !0x02,
            extension,
            body,
        })
    }

    /// Its type.
    pub fn obu_type(&self) -> u8 {
        (self.header >> 3) & 0x0f
    }

    /// Appends it with a size field.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.header | 0x02);
        out.extend(self.extension);
        write_leb128(out, self.body.len());
        out.extend_from_slice(self.body);
    }

    /// Whether it opens a key frame (AV1 5.9.2); `None` where it is no frame's header.
    pub fn keyframe(&self) -> Option<bool> {
        if !matches!(self.obu_type(), OBU_FRAME | OBU_FRAME_HEADER) {
            return None;
        }
        // show_existing_frame in the first bit, then the type of frame, of which 0 is a key frame.
        Some(self.body.first()? & 0xe0 == 0)
    }
}

/// Whether decoding can begin with a temporal unit: its first frame is a key frame.
pub fn keyframe(data: &[u8]) -> bool {
    obus(data)
        .filter_map(Obu::parse)
        .find_map(|obu| obu.keyframe())
        .unwrap_or(false)
}

/// Appends a little-endian base 128 number.
pub fn write_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`write_leb128`] takes.
pub fn leb128_len(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

/// Inspects a payload.
pub fn inspect(payload: &[u8]) -> PayloadInfo {
    let mut info = PayloadInfo {
        switch_up: true,
        ..PayloadInfo::default()
    };
    let Some((&header, mut rest)) = payload.split_first() else {
        return info;
    };
    let continues = header & 0x80 != 0;
    let count = (header >> 4) & 0x03;
    let new_sequence = header & 0x08 != 0;
    info.frame_start = !continues;
    info.keyframe_start = new_sequence && !continues;
    let mut index = 0;
    while !rest.is_empty() {
        index += 1;
        let element = if count != 0 && index == count {
            std::mem::take(&mut rest)
        } else {
            let Some((len, used)) = leb128(rest) else {
                break;
            };
            let Some(element) = rest.get(used..used.saturating_add(len)) else {
                break;
            };
            rest = &rest[used + len..];
            element
        };
        if index == 1 && continues {
            continue;
        }
        // Tile groups follow their frame's header; a repeated header follows too.
        if index == 1
            && let Some(header) = element.first()
            && matches!(
                (header >> 3) & 0x0f,
                OBU_TILE_GROUP | OBU_REDUNDANT_FRAME_HEADER
            )
        {
            info.frame_start = false;
        }
        note(&mut info, element);
    }
    info.frame_start &= info.spatial == 0;
    info
}

fn note(info: &mut PayloadInfo, obu: &[u8]) {
    let Some(&header) = obu.first() else {
        return;
    };
    let extended = header & 0x04 != 0;
    let has_size = header & 0x02 != 0;
    let mut at = 1;
    if extended {
        let Some(&ext) = obu.get(at) else {
            return;
        };
        info.temporal = ext >> 5;
        info.spatial = (ext >> 3) & 0x03;
        at += 1;
    }
    if (header >> 3) & 0x0f == OBU_SEQUENCE_HEADER {
        if has_size {
            let Some((_, used)) = leb128(obu.get(at..).unwrap_or_default()) else {
                return;
            };
            at += used;
        }
        info.size = obu.get(at..).and_then(size).or(info.size);
    }
}

/// The OBUs of a temporal unit in the low overhead format (AV1 5.2), each with header and size
/// field. Iteration ends at an OBU without a size field (it reaches to the end) and before one
/// that reaches past the end.
pub fn obus(data: &[u8]) -> Obus<'_> {
    Obus { rest: data }
}

/// Iterator of [`obus`].
#[derive(Debug, Clone)]
pub struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Obus<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let header = *self.rest.first()?;
        let mut len = if header & 0x04 != 0 { 2 } else { 1 };
        if header & 0x02 != 0 {
            let body = self.rest.get(len..).and_then(leb128);
            len = body.map_or(usize::MAX, |(body, used)| (len + used).saturating_add(body));
        } else {
            len = self.rest.len();
        }
        let (obu, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        (!obu.is_empty()).then_some(obu)
    }
}

/// A little-endian base 128 number (AV1 4.10.5) and its length in bytes.
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, i + 1));
        }
    }
    None
}

/// Largest picture size of a sequence header OBU without its header.
fn size(obu: &[u8]) -> Option<(u32, u32)> {
    sequence(obu).map(|header| header.size)
}

/// What a sequence header OBU (AV1 5.5) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`: 0 to 2.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point: true is High.
    pub high_tier: bool,
    /// Bits of a sample: 8, 10 or 12.
    pub bits: u8,
    /// Whether there is luma only.
    pub monochrome: bool,
    /// Whether chroma has half the columns and half the rows.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub sample_position: u8,
    /// Largest picture size in pixels.
    pub size: (u32, u32),
}

/// Parses a sequence header OBU with its header, with or without size field; `None` where it is
/// another OBU, ends early or breaks the specification's bounds.
pub fn sequence_header(obu: &[u8]) -> Option<SequenceHeader> {
    let header = *obu.first()?;
    if (header >> 3) & 0x0f != OBU_SEQUENCE_HEADER {
        return None;
    }
    let mut at = if header & 0x04 != 0 { 2 } else { 1 };
    if header & 0x02 != 0 {
        at += leb128(obu.get(at..)?)?.1;
    }
    sequence(obu.get(at..)?)
}

fn sequence(obu: &[u8]) -> Option<SequenceHeader> {
    let mut bits = Bits::new(obu);
    let profile = u8::try_from(bits.bits(3)?).ok()?;
    bits.skip(1)?;
    let reduced = bits.bit()? == 1;
    let (mut level, mut high_tier) = (0, false);
    if reduced {
        level = bits.bits(5)?;
    } else {
        let mut decoder_model = None;
        if bits.bit()? == 1 {
            bits.skip(64)?;
            if bits.bit()? == 1 {
                skip_uvlc(&mut bits)?;
            }
            if bits.bit()? == 1 {
                let delay_length = bits.bits(5)? + 1;
                bits.skip(32 + 10)?;
                decoder_model = Some(delay_length);
            }
        }
        let display_delay = bits.bit()?;
        let points = bits.bits(5)? + 1;
        for point in 0..points {
            bits.skip(12)?;
            let point_level = bits.bits(5)?;
            let tier = point_level > 7 && bits.bit()? == 1;
            if point == 0 {
                (level, high_tier) = (point_level, tier);
            }
            if let Some(length) = decoder_model
                && bits.bit()? == 1
            {
                bits.skip(length as usize * 2 + 1)?;
            }
            if display_delay == 1 && bits.bit()? == 1 {
                bits.skip(4)?;
            }
        }
    }
    let width_bits = bits.bits(4)? + 1;
    let height_bits = bits.bits(4)? + 1;
    let size = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
    let mut header = SequenceHeader {
        profile,
        level: u8::try_from(level).ok()?,
        high_tier,
        bits: 8,
        monochrome: false,
        subsampling: (true, true),
        sample_position: 0,
        size,
    };
    // The picture's size alone decides whether a keyframe can be told of; a header that ends
    // behind it has the colours that nearly all streams have.
    let _ = skip_tools(&mut bits, reduced).and_then(|()| colours(&mut bits, &mut header));
    Some(header)
}

/// From the frame ids to `enable_restoration` (AV1 5.5.1).
fn skip_tools(bits: &mut Bits<'_>, reduced: bool) -> Option<()> {
    if !reduced && bits.bit()? == 1 {
        bits.skip(7)?;
    }
    bits.skip(3)?;
    if !reduced {
        bits.skip(4)?;
        let order_hint = bits.bit()? == 1;
        if order_hint {
            bits.skip(2)?;
        }
        let chosen = bits.bit()? == 1;
        let force_screen_content = if chosen { 2 } else { bits.bit()? };
        if force_screen_content > 0 && bits.bit()? == 0 {
            bits.skip(1)?;
        }
        if order_hint {
            bits.skip(3)?;
        }
    }
    bits.skip(3)
}

/// Bit depth and subsampling (AV1 5.5.2).
fn colours(bits: &mut Bits<'_>, header: &mut SequenceHeader) -> Option<()> {
    let high = bits.bit()? == 1;
    header.bits = if header.profile == 2 && high {
        if bits.bit()? == 1 { 12 } else { 10 }
    } else if high {
        10
    } else {
        8
    };
    header.monochrome = header.profile != 1 && bits.bit()? == 1;
    let described = bits.bit()? == 1;
    let (primaries, transfer, matrix) = if described {
        (bits.bits(8)?, bits.bits(8)?, bits.bits(8)?)
    } else {
        (2, 2, 2)
    };
    if header.monochrome {
        return bits.skip(1);
    }
    // BT.709 primaries, the sRGB transfer and the identity matrix together mean RGB.
    if (primaries, transfer, matrix) == (1, 13, 0) {
        header.subsampling = (false, false);
        return Some(());
    }
    bits.skip(1)?;
    header.subsampling = match header.profile {
        0 => (true, true),
        1 => (false, false),
        _ if header.bits == 12 => {
            let columns = bits.bit()? == 1;
            (columns, columns && bits.bit()? == 1)
        }
        _ => (true, false),
    };
    if header.subsampling == (true, true) {
        header.sample_position = u8::try_from(bits.bits(2)?).ok()?;
    }
    Some(())
}

fn skip_uvlc(bits: &mut Bits<'_>) -> Option<()> {
    let mut zeros = 0;
    while bits.bit()? == 0 {
        zeros += 1;
        if zeros >= 32 {
            return Some(());
        }
    }
    bits.skip(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sequence_opens_a_keyframe_and_tells_its_size() {
        // Aggregation header N=1 W=1, sequence header OBU without size: profile 0, not still,
        // not reduced, no timing info, no display delay, one operating point (level 5),
        // 11 and 10 bits for 1280 and 720.
        let payload = [0x18, 0x08, 0x00, 0x00, 0x00, 0x29, 0xa9, 0x3f, 0xd6, 0x78];
        let info = inspect(&payload);
        assert!(info.keyframe_start);
        for len in 0..payload.len() {
            let _ = inspect(&payload[..len]);
        }
    }

    #[test]
    fn a_continued_unit_opens_nothing() {
        let info = inspect(&[0x90, 0x00, 0x00]);
        assert!(!info.frame_start && !info.keyframe_start);
    }

    #[test]
    fn the_size_follows_the_operating_points() {
        // Bits: profile 000, still 0, reduced 0, timing 0, display delay 0, points-1 00000,
        // idc 12 bits, level 00101 (5), width bits-1 1010 (11), height bits-1 1001 (10),
        // 1279 in 11 bits, 719 in 10 bits.
        let text = "000000 0 00000 000000000000 00101 1010 1001 10011111111 1011001111";
        let bits: Vec<u8> = std::iter::once(b'0')
            .chain(text.bytes().filter(|b| *b != b' '))
            .collect();
        let bits = &bits[1..];
        let mut bytes = vec![0_u8; bits.len().div_ceil(8)];
        for (i, bit) in bits.iter().enumerate() {
            bytes[i / 8] |= (bit - b'0') << (7 - i % 8);
        }
        assert_eq!(size(&bytes), Some((1280, 720)));
    }
}
