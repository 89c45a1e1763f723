//! H.265 in RTP (RFC 7798): NAL units, keyframes, picture size.

use super::{Bits, PayloadInfo, unescape};
use crate::Config;

const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
const NAL_DELIMITER: u8 = 35;
const NAL_PREFIX_SEI: u8 = 39;
const AGGREGATE: u8 = 48;
const FRAGMENT: u8 = 49;
const SPS_LIMIT: usize = 512;

/// Inspects a payload.
pub fn inspect(payload: &[u8]) -> PayloadInfo {
    let mut info = PayloadInfo {
        switch_up: true,
        ..PayloadInfo::default()
    };
    let [first, second, rest @ ..] = payload else {
        return info;
    };
    info.temporal = (second & 0x07).saturating_sub(1);
    match (first >> 1) & 0x3f {
        AGGREGATE => {
            let mut rest = rest;
            while let [high, low, tail @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(nal) = tail.get(..len) else {
                    break;
                };
                if let [head, _, body @ ..] = nal {
                    note(&mut info, (head >> 1) & 0x3f, body);
                }
                rest = &tail[len..];
            }
        }
        FRAGMENT => {
            if let [header, body @ ..] = rest
                && header & 0x80 != 0
            {
                note(&mut info, header & 0x3f, body);
            }
        }
        nal_type => note(&mut info, nal_type, rest),
    }
    info
}

fn note(info: &mut PayloadInfo, nal_type: u8, body: &[u8]) {
    match nal_type {
        NAL_VPS | NAL_SPS => {
            info.keyframe_start = true;
            info.frame_start = true;
            if nal_type == NAL_SPS {
                info.size = size(body).or(info.size);
            }
        }
        // These stand before the slices of their picture only.
        NAL_PPS | NAL_DELIMITER | NAL_PREFIX_SEI => info.frame_start = true,
        // The first bit of a slice header tells the picture's first slice.
        0..=31 => {
            let first_slice = body.first().is_some_and(|byte| byte & 0x80 != 0);
            info.frame_start |= first_slice;
            info.keyframe_start |= first_slice && (16..=23).contains(&nal_type);
            // RADL and RASL pictures precede their IRAP in output order.
            info.reordered |= (6..=9).contains(&nal_type);
        }
        _ => {}
    }
}

/// Picture size of a sequence parameter set without its NAL header.
fn size(body: &[u8]) -> Option<(u32, u32)> {
    sps_body(body).map(|sps| sps.size)
}

/// What a sequence parameter set (H.265 7.3.2.2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub id: u32,
    /// Profile space, tier and profile; 32 compatibility flags; 48 constraint flags; level: the
    /// twelve bytes of `general_` fields as a configuration record repeats them.
    pub profile_tier_level: [u8; 12],
    /// Temporal layers, at least 1.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_nesting: bool,
    /// `chroma_format_idc`: 0 is monochrome, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma: u8,
    /// Bits of a luma sample.
    pub luma_bits: u8,
    /// Bits of a chroma sample.
    pub chroma_bits: u8,
    /// Picture size in pixels after cropping.
    pub size: (u32, u32),
    /// `sps_max_num_reorder_pics` of the highest temporal layer: how many pictures at most are
    /// decoded before and shown behind a picture.
    pub reorder_pics: u32,
}

/// Parses a sequence parameter set, with its NAL header; `None` where it ends early or breaks
/// the specification's bounds.
pub fn sps(nal: &[u8]) -> Option<Sps> {
    sps_body(nal.get(2..)?)
}

fn sps_body(body: &[u8]) -> Option<Sps> {
    let bytes = unescape(body, SPS_LIMIT);
    let mut bits = Bits::new(&bytes);
    bits.skip(4)?;
    let sub_layers = bits.bits(3)?;
    let temporal_nesting = bits.bit()? == 1;
    let profile_tier_level = bytes.get(1..13)?.try_into().ok()?;
    bits.skip(96)?;
    let mut present = [(0, 0); 8];
    for slot in present.iter_mut().take(sub_layers as usize) {
        *slot = (bits.bit()?, bits.bit()?);
    }
    if sub_layers > 0 {
        bits.skip((8 - sub_layers as usize) * 2)?;
    }
    for (profile, level) in present.into_iter().take(sub_layers as usize) {
        bits.skip(profile as usize * 88 + level as usize * 8)?;
    }
    let id = bits.ue()?;
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let width = bits.ue()?;
    let height = bits.ue()?;
    let mut crop = [0; 4];
    if bits.bit()? == 1 {
        for side in &mut crop {
            *side = bits.ue()?;
        }
    }
    let (unit_x, unit_y) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let width = width.checked_sub(crop[0].checked_add(crop[1])?.checked_mul(unit_x)?)?;
    let height = height.checked_sub(crop[2].checked_add(crop[3])?.checked_mul(unit_y)?)?;
    let luma_bits = bits.ue()?.checked_add(8)?;
    let chroma_bits = bits.ue()?.checked_add(8)?;
    // The specification allows 16 sets, 4:4:4 and 16 bits at most.
    if id > 15 || chroma > 3 || luma_bits > 16 || chroma_bits > 16 {
        return None;
    }
    bits.ue()?;
    let all_layers = bits.bit()? == 1;
    let mut reorder_pics = 0;
    for _ in 0..if all_layers { sub_layers + 1 } else { 1 } {
        bits.ue()?;
        reorder_pics = bits.ue()?;
        bits.ue()?;
    }
    Some(Sps {
        id,
        profile_tier_level,
        temporal_layers: u8::try_from(sub_layers + 1).ok()?,
        temporal_nesting,
        chroma: u8::try_from(chroma).ok()?,
        luma_bits: u8::try_from(luma_bits).ok()?,
        chroma_bits: u8::try_from(chroma_bits).ok()?,
        size: (width, height),
        reorder_pics,
    })
}

/// Whether a NAL unit belongs to a leading picture (RADL, RASL), shown before the IRAP picture
/// that precedes it in decoding.
pub fn is_leading(nal: &[u8]) -> bool {
    nal.first()
        .is_some_and(|first| (6..=9).contains(&((first >> 1) & 0x3f)))
}

/// Whether a NAL unit is the first slice of its picture and a B slice. Its header can be read
/// only with the picture parameter sets; without the right one the answer is no.
pub fn is_b_slice(nal: &[u8], config: &Config) -> bool {
    slice_type(nal, config) == Some(0)
}

/// `slice_type` of a picture's first slice (H.265 7.3.6.1): 0 is B, 1 is P, 2 is I.
fn slice_type(nal: &[u8], config: &Config) -> Option<u32> {
    let Config::H265 { pps, .. } = config else {
        return None;
    };
    let nal_type = (nal.first()? >> 1) & 0x3f;
    if nal_type > 31 {
        return None;
    }
    let head = unescape(nal.get(2..)?, 16);
    let mut bits = Bits::new(&head);
    if bits.bit()? == 0 {
        return None;
    }
    if (16..=23).contains(&nal_type) {
        bits.skip(1)?;
    }
    let id = bits.ue()?;
    let extra = pps
        .iter()
        .find_map(|set| extra_slice_header_bits(set, id))?;
    bits.skip(extra as usize)?;
    bits.ue()
}

/// `num_extra_slice_header_bits` of the picture parameter set with the given id (H.265 7.3.2.3).
fn extra_slice_header_bits(pps: &[u8], id: u32) -> Option<u32> {
    let head = unescape(pps.get(2..)?, 16);
    let mut bits = Bits::new(&head);
    if bits.ue()? != id {
        return None;
    }
    bits.ue()?;
    bits.skip(2)?;
    bits.bits(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idr_fragment_opens_a_keyframe_and_a_trailing_picture_does_not() {
        assert!(inspect(&[0x62, 0x01, 0x93, 0x80, 0x00]).keyframe_start);
        assert!(!inspect(&[0x62, 0x01, 0x13, 0x80, 0x00]).keyframe_start);
        let trail = inspect(&[0x02, 0x01, 0x80, 0x00]);
        assert!(trail.frame_start && !trail.keyframe_start);
    }

    #[test]
    fn delimiters_and_messages_open_a_frame() {
        for nal in [[0x46, 0x01, 0x50], [0x4e, 0x01, 0x05]] {
            assert!(inspect(&nal).frame_start);
            assert!(!inspect(&nal).keyframe_start);
        }
        assert!(!inspect(&[0x50, 0x01, 0x05]).frame_start);
    }

    #[test]
    fn the_size_of_an_sps_is_read() {
        // x265 main profile, 1280x720.
        let sps = [
            0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00,
            0x00, 0x03, 0x00, 0x5d, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x16, 0x59, 0x59, 0xa4, 0x93,
            0x2b, 0xc0, 0x5a,
        ];
        assert_eq!(inspect(&sps).size, Some((1280, 720)));
        for len in 0..sps.len() {
            let _ = inspect(&sps[..len]);
        }
    }
}
