//! VP8 in RTP (RFC 7741): payload descriptor, keyframe header, and the rewriting of picture ids.

use super::PayloadInfo;

/// Fields of the payload descriptor (RFC 7741, 4.2) and where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Length of the descriptor in bytes.
    pub len: usize,
    /// S bit and partition 0: the packet opens a frame.
    pub frame_start: bool,
    /// PictureID with the position of its first byte and whether it has 15 bits.
    pub picture_id: Option<(u16, usize, bool)>,
    /// TL0PICIDX with its position.
    pub tl0: Option<(u8, usize)>,
    /// Temporal layer.
    pub temporal: u8,
    /// Y: the frame depends on the base layer only.
    pub layer_sync: bool,
}

/// Parses the payload descriptor; `None` where the payload is too short.
pub fn descriptor(payload: &[u8]) -> Option<Descriptor> {
    let first = *payload.first()?;
    let mut d = Descriptor {
        len: 1,
        frame_start: first & 0x10 != 0 && first & 0x07 == 0,
        ..Descriptor::default()
    };
    if first & 0x80 == 0 {
        return Some(d);
    }
    let ext = *payload.get(d.len)?;
    d.len += 1;
    if ext & 0x80 != 0 {
        let at = d.len;
        let high = *payload.get(at)?;
        if high & 0x80 != 0 {
            let low = *payload.get(at + 1)?;
            d.picture_id = Some(((u16::from(high & 0x7f) << 8) | u16::from(low), at, true));
            d.len += 2;
        } else {
            d.picture_id = Some((u16::from(high), at, false));
            d.len += 1;
        }
    }
    if ext & 0x40 != 0 {
        d.tl0 = Some((*payload.get(d.len)?, d.len));
        d.len += 1;
    }
    if ext & 0x30 != 0 {
        let byte = *payload.get(d.len)?;
        d.len += 1;
        if ext & 0x20 != 0 {
            d.temporal = byte >> 6;
            d.layer_sync = byte & 0x20 != 0;
        }
    }
    Some(d)
}

/// Inspects a payload.
pub fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some(d) = descriptor(payload) else {
        return PayloadInfo::default();
    };
    let frame = payload.get(d.len..).unwrap_or_default();
    let keyframe = d.frame_start && frame.first().is_some_and(|byte| byte & 1 == 0);
    PayloadInfo {
        frame_start: d.frame_start,
        keyframe_start: keyframe,
        temporal: d.temporal,
        switch_up: d.layer_sync || d.temporal == 0,
        size: if keyframe { size(frame) } else { None },
        ..PayloadInfo::default()
    }
}

/// Picture size from a keyframe's uncompressed data chunk (RFC 6386, 9.1).
pub fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *frame else {
        return None;
    };
    let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff);
    let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff);
    Some((width, height))
}

/// Writes a new picture id and TL0PICIDX into a payload, in the widths that it has.
pub fn rewrite(payload: &mut [u8], picture_id: u16, tl0: u8) {
    let Some(d) = descriptor(payload) else {
        return;
    };
    if let Some((_, at, wide)) = d.picture_id {
        if wide {
            payload[at] = 0x80 | (picture_id >> 8) as u8;
            payload[at + 1] = picture_id as u8;
        } else {
            payload[at] = (picture_id & 0x7f) as u8;
        }
    }
    if let Some((_, at)) = d.tl0 {
        payload[at] = tl0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [
        0x90, 0xe0, 0x81, 0x02, 0x07, 0x20, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01,
    ];

    #[test]
    fn a_keyframe_tells_its_size_and_layer() {
        let info = inspect(&KEY);
        assert!(info.keyframe_start && info.frame_start);
        assert_eq!(info.size, Some((640, 480)));
        assert_eq!(info.temporal, 0);
    }

    #[test]
    fn a_continuation_opens_nothing() {
        assert_eq!(
            inspect(&[0x00, 0x10, 0, 0]),
            PayloadInfo {
                switch_up: true,
                ..PayloadInfo::default()
            }
        );
    }

    #[test]
    fn ids_are_rewritten_in_place() {
        let mut payload = KEY;
        rewrite(&mut payload, 0x7abc, 9);
        let d = descriptor(&payload).expect("still a descriptor");
        assert_eq!(d.picture_id.map(|p| p.0), Some(0x7abc));
        assert_eq!(d.tl0.map(|t| t.0), Some(9));
        assert_eq!(payload[5..], KEY[5..]);
    }

    #[test]
    fn truncated_payloads_are_not_known() {
        for len in 0..KEY.len() {
            let _ = inspect(&KEY[..len]);
            rewrite(&mut KEY[..len].to_vec(), 1, 1);
        }
    }
}
