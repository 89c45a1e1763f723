//! VP9 in RTP (RFC 9628): payload descriptor.

use super::{Bits, PayloadInfo};

/// Inspects a payload.
pub fn inspect(payload: &[u8]) -> PayloadInfo {
    parse(payload).map(|(info, _)| info).unwrap_or_default()
}

/// Where the picture id stands: position of its first byte, and whether it has 15 bits.
pub fn picture_id(payload: &[u8]) -> Option<(u16, usize, bool)> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let high = *payload.get(1)?;
    if high & 0x80 != 0 {
        let low = *payload.get(2)?;
        Some(((u16::from(high & 0x7f) << 8) | u16::from(low), 1, true))
    } else {
        Some((u16::from(high), 1, false))
    }
}

/// Writes a new picture id in the width that the payload has.
pub fn rewrite(payload: &mut [u8], id: u16) {
    let Some((_, at, wide)) = picture_id(payload) else {
        return;
    };
    if wide {
        payload[at] = 0x80 | (id >> 8) as u8;
        payload[at + 1] = id as u8;
    } else {
        payload[at] = (id & 0x7f) as u8;
    }
}

/// Length of the payload descriptor in bytes; `None` where the payload is too short.
pub fn descriptor_len(payload: &[u8]) -> Option<usize> {
    let (_, at) = parse(payload)?;
    if payload.first()? & 0x02 == 0 {
        return Some(at);
    }
    let structure = payload.get(at..)?;
    let first = *structure.first()?;
    let mut len = 1;
    if first & 0x10 != 0 {
        len += (usize::from(first >> 5) + 1) * 4;
    }
    if first & 0x08 != 0 {
        let pictures = *structure.get(len)?;
        len += 1;
        for _ in 0..pictures {
            let references = (*structure.get(len)? >> 2) & 0x03;
            len += 1 + usize::from(references);
        }
    }
    (len <= structure.len()).then_some(at + len)
}

/// What a frame's uncompressed header (VP9 bitstream specification, 6.2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Whether decoding can begin here.
    pub keyframe: bool,
    /// Picture size in pixels, in keyframes.
    pub size: Option<(u32, u32)>,
}

/// Parses the head of a frame; `None` where it ends early or is no VP9.
pub fn frame_header(frame: &[u8]) -> Option<FrameHeader> {
    let mut bits = Bits::new(frame);
    if bits.bits(2)? != 2 {
        return None;
    }
    let profile = bits.bit()? | bits.bit()? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let mut header = FrameHeader {
        profile: u8::try_from(profile).ok()?,
        keyframe: false,
        size: None,
    };
    let shows_existing = bits.bit()? == 1;
    if shows_existing || bits.bit()? == 1 {
        return Some(header);
    }
    header.keyframe = true;
    bits.skip(2)?;
    if bits.bits(24)? != 0x49_8342 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    const RGB: u32 = 7;
    if bits.bits(3)? == RGB {
        if profile % 2 == 1 {
            bits.skip(1)?;
        }
    } else {
        bits.skip(1)?;
        if profile % 2 == 1 {
            bits.skip(3)?;
        }
    }
    header.size = Some((bits.bits(16)? + 1, bits.bits(16)? + 1));
    Some(header)
}

/// What the descriptor tells, and the position behind its reference indices.
fn parse(payload: &[u8]) -> Option<(PayloadInfo, usize)> {
    let first = *payload.first()?;
    let (has_id, inter, has_layers) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0);
    let (flexible, begin, end, has_structure) = (
        first & 0x10 != 0,
        first & 0x08 != 0,
        first & 0x04 != 0,
        first & 0x02 != 0,
    );
    let mut at = 1;
    if has_id {
        at += if *payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let mut info = PayloadInfo {
        layer_end: end,
        ..PayloadInfo::default()
    };
    let mut inter_layer = false;
    if has_layers {
        let byte = *payload.get(at)?;
        at += 1;
        info.temporal = byte >> 5;
        info.switch_up = byte & 0x10 != 0 || info.temporal == 0;
        info.spatial = (byte >> 1) & 0x07;
        inter_layer = byte & 0x01 != 0;
        if !flexible {
            at += 1;
        }
    } else {
        info.switch_up = true;
    }
    info.not_referenced_above = first & 0x01 != 0;
    if inter && flexible {
        // At most three reference indices, each with a bit that tells of a further one.
        for _ in 0..3 {
            let byte = *payload.get(at)?;
            at += 1;
            if byte & 1 == 0 {
                break;
            }
        }
    }
    info.frame_start = begin && info.spatial == 0;
    info.keyframe_start = begin && !inter && info.spatial == 0 && !inter_layer;
    if has_structure && begin {
        info.size = structure_size(payload.get(at..)?);
    }
    Some((info, at))
}

/// Size of the highest spatial layer from the scalability structure (RFC 9628, 4.2.1).
fn structure_size(structure: &[u8]) -> Option<(u32, u32)> {
    let first = *structure.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let layers = usize::from(first >> 5) + 1;
    let at = 1 + (layers - 1) * 4;
    let [w0, w1, h0, h1] = *structure.get(at..at + 4)? else {
        return None;
    };
    Some((
        u32::from(u16::from_be_bytes([w0, w1])),
        u32::from(u16::from_be_bytes([h0, h1])),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_with_a_structure_tells_its_size() {
        // I=1 P=0 L=1 F=0 B=1 E=0 V=1, 7-bit id, T0 S0, TL0, SS: 1 layer, Y=1, G=0.
        let payload = [0xaa, 0x01, 0x00, 0x05, 0x10, 0x05, 0x00, 0x02, 0xd0, 0xff];
        let info = inspect(&payload);
        assert!(info.keyframe_start);
        assert_eq!(info.size, Some((1280, 720)));
    }

    #[test]
    fn an_upper_spatial_layer_of_a_key_picture_opens_no_keyframe() {
        let info = inspect(&[0xa8, 0x01, 0x03, 0x05, 0xff]);
        assert_eq!(info.spatial, 1);
        assert!(!info.keyframe_start);
    }

    #[test]
    fn ids_are_rewritten_in_place() {
        let mut payload = [0xaa, 0x81, 0x02, 0x00];
        rewrite(&mut payload, 0x1234);
        assert_eq!(picture_id(&payload).map(|p| p.0), Some(0x1234));
        assert_eq!(payload[3], 0);
    }
}
