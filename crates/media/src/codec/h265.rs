//! H.265 in RTP (RFC 7798): NAL units, keyframes, picture size.

use super::{Bits, PayloadInfo, unescape};

const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
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
        NAL_PPS => info.frame_start = true,
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

/// Picture size of a sequence parameter set (H.265 7.3.2.2), without its NAL header.
fn size(body: &[u8]) -> Option<(u32, u32)> {
    let bytes = unescape(body, SPS_LIMIT);
    let mut bits = Bits::new(&bytes);
    bits.skip(4)?;
    let sub_layers = bits.bits(3)?;
    bits.skip(1)?;
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
    bits.ue()?;
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
    Some((width, height))
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
