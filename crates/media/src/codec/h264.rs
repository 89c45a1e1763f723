//! H.264 in RTP (RFC 6184): NAL units, keyframes, picture size, frames out of order.

use super::{Bits, PayloadInfo, unescape};

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const SEI_RECOVERY_POINT: usize = 6;

/// Bytes of a sequence parameter set that are read at most; real ones have some dozens.
const SPS_LIMIT: usize = 512;

/// What a sequence parameter set (H.264 7.3.2.1) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of constraint flags behind it.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 0 is monochrome, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma: u8,
    /// Bits of a luma sample.
    pub luma_bits: u8,
    /// Bits of a chroma sample.
    pub chroma_bits: u8,
    /// Picture size in pixels after cropping.
    pub size: (u32, u32),
    /// Picture size in pixels as it is coded: whole macroblocks, before cropping.
    pub coded_size: (u32, u32),
    /// `frame_mbs_only_flag`: there are no interlaced pictures.
    pub frames_only: bool,
    /// `max_num_ref_frames`.
    pub reference_frames: u32,
    /// Bits of `frame_num` in slice headers.
    pub frame_num_bits: u32,
    /// Bits of `pic_order_cnt_lsb` in slice headers; `None` where they have no such field.
    pub order_bits: Option<u32>,
    /// What the VUI says of colours, where it does.
    pub colour: Option<Colour>,
    /// `max_num_reorder_frames` of the VUI, where present.
    pub reorder_frames: Option<u32>,
}

/// How samples stand for colours (H.264 E.2.1, code points of ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Whether samples use all values from 0 to 255.
    pub full_range: bool,
    /// `colour_primaries`; 2 is unspecified.
    pub primaries: u8,
    /// `transfer_characteristics`; 2 is unspecified.
    pub transfer: u8,
    /// `matrix_coefficients`; 2 is unspecified.
    pub matrix: u8,
}

impl Sps {
    /// `profile-level-id` as SDP has it (RFC 6184, 8.1), 24 bits.
    pub fn profile_level_id(&self) -> u32 {
        u32::from_be_bytes([0, self.profile, self.constraints, self.level])
    }
}

/// Inspects a payload.
pub fn inspect(payload: &[u8]) -> PayloadInfo {
    let mut info = PayloadInfo {
        switch_up: true,
        ..PayloadInfo::default()
    };
    each_nal(payload, |nal, start| note(&mut info, nal, start));
    info
}

/// Calls `f` with every NAL unit that begins in the payload, or with a later piece of one
/// (`start` false).
pub fn each_nal(payload: &[u8], mut f: impl FnMut(&[u8], bool)) {
    let Some(first) = payload.first() else {
        return;
    };
    match first & 0x1f {
        1..=23 => f(payload, true),
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, tail @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(nal) = tail.get(..len) else {
                    return;
                };
                if !nal.is_empty() {
                    f(nal, true);
                }
                rest = &tail[len..];
            }
        }
        FU_A => {
            let Some(header) = payload.get(1) else {
                return;
            };
            // The fragment's first byte stands for the NAL header, so give the callback the
            // type in its place and the piece behind it.
            let nal_type = header & 0x1f;
            let start = header & 0x80 != 0;
            let mut head = [0_u8; 64];
            let piece = payload.get(2..).unwrap_or_default();
            let take = piece.len().min(head.len() - 1);
            head[0] = (first & 0xe0) | nal_type;
            head[1..=take].copy_from_slice(&piece[..take]);
            f(&head[..=take], start);
        }
        _ => {}
    }
}

fn note(info: &mut PayloadInfo, nal: &[u8], start: bool) {
    if !start {
        return;
    }
    match nal[0] & 0x1f {
        NAL_SPS => {
            info.keyframe_start = true;
            info.frame_start = true;
            if let Some(sps) = sps(nal) {
                info.size = Some(sps.size);
            }
        }
        // These stand before the slices of their picture only.
        NAL_PPS | NAL_SEI | NAL_DELIMITER => info.frame_start = true,
        // Each further slice of the picture begins with a macroblock other than the first.
        NAL_IDR if slice(nal).is_none_or(|(first_mb, _)| first_mb == 0) => {
            info.keyframe_start = true;
            info.frame_start = true;
        }
        NAL_SLICE => {
            if let Some((first_mb, slice_type)) = slice(nal) {
                info.frame_start |= first_mb == 0;
                info.reordered |= slice_type % 5 == 1;
            }
        }
        _ => {}
    }
}

/// First macroblock and slice type of a slice header (H.264 7.3.3).
fn slice(nal: &[u8]) -> Option<(u32, u32)> {
    let head = unescape(nal.get(1..)?, 16);
    let mut bits = Bits::new(&head);
    Some((bits.ue()?, bits.ue()?))
}

/// Whether a NAL unit is a B slice: pictures with them are shown before one decoded earlier.
pub fn is_b_slice(nal: &[u8]) -> bool {
    matches!(nal.first().map(|first| first & 0x1f), Some(NAL_SLICE | 2))
        && slice(nal).is_some_and(|(_, slice_type)| slice_type % 5 == 1)
}

/// `recovery_frame_cnt` where a SEI NAL unit has a recovery point message (H.264 D.1.8): so many
/// frames later the picture is right although decoding began here.
pub fn recovery_frames(nal: &[u8]) -> Option<u32> {
    if nal.first()? & 0x1f != NAL_SEI {
        return None;
    }
    let bytes = unescape(nal.get(1..)?, SPS_LIMIT);
    let mut rest = bytes.as_slice();
    while rest.len() > 2 {
        let (message, behind) = sei_number(rest)?;
        let (len, behind) = sei_number(behind)?;
        let (body, behind) = behind.split_at_checked(len)?;
        if message == SEI_RECOVERY_POINT {
            return Bits::new(body).ue();
        }
        rest = behind;
    }
    None
}

/// A number in as many bytes of 255 as it takes, and one below (H.264 7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), bytes.get(full + 1..)?))
}

/// Parses a sequence parameter set, with its NAL header; `None` where it ends early or breaks
/// the specification's bounds.
pub fn sps(nal: &[u8]) -> Option<Sps> {
    let bytes = unescape(nal.get(1..)?, SPS_LIMIT);
    let mut bits = Bits::new(&bytes);
    let profile = bits.bits(8)?;
    let constraints = bits.bits(8)?;
    let level = bits.bits(8)?;
    bits.ue()?;
    let mut chroma = 1;
    let mut separate_planes = 0;
    let (mut luma_bits, mut chroma_bits) = (8, 8);
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma = bits.ue()?;
        if chroma == 3 {
            separate_planes = bits.bit()?;
        }
        luma_bits = bits.ue()?.checked_add(8)?;
        chroma_bits = bits.ue()?.checked_add(8)?;
        // The specification allows 4:4:4 and 14 bits at most.
        if chroma > 3 || luma_bits > 14 || chroma_bits > 14 {
            return None;
        }
        bits.skip(1)?;
        if bits.bit()? == 1 {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let frame_num_bits = bits.ue()?.checked_add(4)?;
    let mut order_bits = None;
    match bits.ue()? {
        0 => order_bits = Some(bits.ue()?.checked_add(4)?),
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            let frames = bits.ue()?;
            if frames > 255 {
                return None;
            }
            for _ in 0..frames {
                bits.se()?;
            }
        }
        _ => {}
    }
    let reference_frames = bits.ue()?;
    bits.skip(1)?;
    let width_mbs = bits.ue()?.checked_add(1)?;
    let height_units = bits.ue()?.checked_add(1)?;
    let frame_mbs_only = bits.bit()?;
    if frame_mbs_only == 0 {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut crop = [0; 4];
    if bits.bit()? == 1 {
        for side in &mut crop {
            *side = bits.ue()?;
        }
    }
    let (unit_x, unit_y) = match (chroma, separate_planes) {
        (1, _) => (2, 2),
        (2, _) => (2, 1),
        _ => (1, 1),
    };
    let unit_y = unit_y * (2 - frame_mbs_only);
    let width = width_mbs.checked_mul(16)?;
    let height = height_units
        .checked_mul(16)?
        .checked_mul(2 - frame_mbs_only)?;
    let coded_size = (width, height);
    let width = width.checked_sub(crop[0].checked_add(crop[1])?.checked_mul(unit_x)?)?;
    let height = height.checked_sub(crop[2].checked_add(crop[3])?.checked_mul(unit_y)?)?;
    let (mut colour, mut reorder_frames) = (None, None);
    if bits.bit()? == 1 {
        reorder_frames = vui(&mut bits, &mut colour);
    }
    Some(Sps {
        profile: u8::try_from(profile).ok()?,
        constraints: u8::try_from(constraints).ok()?,
        level: u8::try_from(level).ok()?,
        chroma: u8::try_from(chroma).ok()?,
        luma_bits: u8::try_from(luma_bits).ok()?,
        chroma_bits: u8::try_from(chroma_bits).ok()?,
        size: (width, height),
        coded_size,
        frames_only: frame_mbs_only == 1,
        reference_frames,
        frame_num_bits,
        order_bits,
        colour,
        reorder_frames,
    })
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Reads the VUI (H.264 E.1.1): `max_num_reorder_frames` and, on the way there, colours.
fn vui(bits: &mut Bits<'_>, colour: &mut Option<Colour>) -> Option<u32> {
    if bits.bit()? == 1 && bits.bits(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? == 1 {
        bits.skip(1)?;
    }
    if bits.bit()? == 1 {
        bits.skip(3)?;
        let full_range = bits.bit()? == 1;
        let mut codes = [2; 3];
        if bits.bit()? == 1 {
            for code in &mut codes {
                *code = u8::try_from(bits.bits(8)?).ok()?;
            }
        }
        let [primaries, transfer, matrix] = codes;
        *colour = Some(Colour {
            full_range,
            primaries,
            transfer,
            matrix,
        });
    }
    if bits.bit()? == 1 {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.bit()? == 1 {
        bits.skip(65)?;
    }
    let nal_hrd = bits.bit()? == 1;
    if nal_hrd {
        skip_hrd(bits)?;
    }
    let vcl_hrd = bits.bit()? == 1;
    if vcl_hrd {
        skip_hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    if bits.bit()? == 0 {
        return None;
    }
    bits.skip(1)?;
    for _ in 0..4 {
        bits.ue()?;
    }
    bits.ue()
}

fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?;
    if count > 31 {
        return None;
    }
    bits.skip(8)?;
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264, High profile, 1280x720, two B-frames (VUI with bitstream restriction).
    const SPS_720P: [u8; 28] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60, 0x00, 0x00,
    ];

    #[test]
    fn an_sps_tells_size_and_reordering() {
        let sps = sps(&SPS_720P).expect("parses");
        assert_eq!(sps.size, (1280, 720));
        assert_eq!(sps.reorder_frames, Some(2));
        assert_eq!(sps.coded_size, (1280, 720));
        assert!(sps.frames_only);
        assert_eq!(sps.reference_frames, 4);
        assert_eq!((sps.frame_num_bits, sps.order_bits), (4, Some(6)));
        assert_eq!(sps.colour, None);
    }

    #[test]
    fn slices_tell_frames_and_their_order() {
        // first_mb 0 ("1"), slice type 6 = B ("00111"), then payload.
        let b = [0x01, 0b1001_1100, 0xff];
        assert!(inspect(&b).reordered);
        assert!(inspect(&b).frame_start);
        // slice type 5 = P ("00110").
        let p = [0x41, 0b1001_1000, 0xff];
        assert!(!inspect(&p).reordered);
    }

    #[test]
    fn delimiters_and_messages_open_a_frame() {
        for nal in [[0x09, 0xf0, 0x00], [0x06, 0x05, 0x01]] {
            assert!(inspect(&nal).frame_start);
            assert!(!inspect(&nal).keyframe_start);
        }
    }

    #[test]
    fn the_first_fragment_of_an_idr_opens_a_keyframe() {
        let start = [0x7c, 0x85, 0b1000_1000, 0x84, 0x00];
        let middle = [0x7c, 0x05, 0xff, 0xff];
        assert!(inspect(&start).keyframe_start);
        assert!(!inspect(&middle).keyframe_start);
    }

    #[test]
    fn parameter_sets_in_an_aggregate_open_a_keyframe() {
        let mut stap = vec![0x78, 0, SPS_720P.len() as u8];
        stap.extend_from_slice(&SPS_720P);
        let info = inspect(&stap);
        assert!(info.keyframe_start);
        assert_eq!(info.size, Some((1280, 720)));
        for len in 0..stap.len() {
            let _ = inspect(&stap[..len]);
        }
    }
}
