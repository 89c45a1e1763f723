//! What every frame that any parser gives has to be.

use inver_media::codec::nal::parameter_sets;
use inver_media::codec::nal::{MAX_SET_LEN, MAX_SETS, NalKind, NalLength, kind, length_prefixed};
use inver_media::{Codec, Frame, Kind};

/// Panics where a frame has not the shape that is documented of it.
pub fn check_frame(frame: &Frame) {
    let codec = frame.codec();
    assert!(!frame.data.is_empty(), "a frame of {codec} without bytes");
    assert!(
        frame.keyframe || codec.kind() == Kind::Video,
        "decoding of sound can begin anywhere"
    );
    if !matches!(codec, Codec::H264 | Codec::H265) {
        return;
    }
    let mut nals = length_prefixed(&frame.data, NalLength::Four);
    for nal in nals.by_ref() {
        assert!(
            !matches!(
                kind(codec, nal),
                NalKind::Vps | NalKind::Sps | NalKind::Pps | NalKind::Padding
            ),
            "a frame of {codec} holds what stands in its configuration"
        );
    }
    assert!(!nals.broken(), "lengths that contradict the frame");
    for set in parameter_sets(&frame.config) {
        assert!((1..=MAX_SET_LEN).contains(&set.len()));
    }
    assert!(parameter_sets(&frame.config).count() <= 3 * MAX_SETS);
}
