//! Codecs as they are negotiated: which payload formats we offer and accept, in which order.

use inver_media::{Codec, Format};
use str0m::format::{Codec as EngineCodec, CodecConfig, FormatParams, PayloadParams};
use str0m::media::{Frequency, Pt};
use str0m::rtp::{Extension, ExtensionMap};

/// Level that we claim for H.264: 5.2, since we forward and never decode.
const H264_LEVEL: u32 = 0x34;

/// `profile_idc` and constraint flags with packetization mode, as browsers list them.
const H264_PROFILES: [(u32, bool); 9] = [
    (0x42_e0, true),
    (0x42_e0, false),
    (0x42_00, true),
    (0x42_00, false),
    (0x4d_00, true),
    (0x4d_00, false),
    (0x64_00, true),
    (0x64_00, false),
    (0x64_0c, true),
];

/// Fills the engine's list with `codecs` in that order.
///
/// Payload types are our proposals only: as the answering side the engine takes over the
/// client's.
pub(crate) fn configure(config: &mut CodecConfig, codecs: &[Codec]) {
    config.clear();
    let mut free = (96_u8..=127).chain(35..=63);
    let mut next = || {
        free.next()
            .expect("61 dynamic payload types, fewer are used")
    };
    for codec in codecs {
        match codec {
            // Nobody plays it over WebRTC.
            Codec::Aac => {}
            Codec::Opus => {
                let format = FormatParams {
                    min_p_time: Some(10),
                    use_inband_fec: Some(true),
                    ..FormatParams::default()
                };
                config.add_config(
                    Pt::from(next()),
                    None,
                    EngineCodec::Opus,
                    Frequency::FORTY_EIGHT_KHZ,
                    Some(2),
                    format,
                );
            }
            Codec::H264 => {
                for (profile, mode) in H264_PROFILES {
                    let (pt, rtx) = (next(), next());
                    config.add_h264(
                        Pt::from(pt),
                        Some(Pt::from(rtx)),
                        mode,
                        (profile << 8) | H264_LEVEL,
                    );
                }
            }
            Codec::H265 => {
                let (pt, rtx) = (next(), next());
                config.add_h265(Pt::from(pt), Some(Pt::from(rtx)), 1, 0, 180);
            }
            Codec::Vp8 => video(
                config,
                EngineCodec::Vp8,
                (next(), next()),
                FormatParams::default(),
            ),
            Codec::Vp9 => {
                for profile in [0, 2] {
                    let format = FormatParams {
                        profile_id: Some(profile),
                        ..FormatParams::default()
                    };
                    video(config, EngineCodec::Vp9, (next(), next()), format);
                }
            }
            Codec::Av1 => video(
                config,
                EngineCodec::Av1,
                (next(), next()),
                FormatParams::default(),
            ),
        }
    }
}

fn video(config: &mut CodecConfig, codec: EngineCodec, (pt, rtx): (u8, u8), format: FormatParams) {
    config.add_config(
        Pt::from(pt),
        Some(Pt::from(rtx)),
        codec,
        Frequency::NINETY_KHZ,
        None,
        format,
    );
}

/// Header extensions of a connection without bandwidth estimation: what identifies and describes
/// packets, without the clocks and counters that only estimation reads.
pub(crate) fn quiet_extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    extensions.set(1, Extension::AudioLevel);
    extensions.set(4, Extension::RtpMid);
    extensions.set(10, Extension::RtpStreamId);
    extensions.set(11, Extension::RepairedRtpStreamId);
    extensions.set(13, Extension::VideoOrientation);
    extensions.set(14, Extension::AbsoluteCaptureTime);
    extensions
}

/// Takes feedback for bandwidth estimation out of all formats.
pub(crate) fn without_feedback(config: &mut CodecConfig) {
    let params = config
        .params()
        .iter()
        .map(|params| {
            let mut params = *params;
            params.set_fb_transport_cc(false);
            params.set_fb_remb(false);
            params
        })
        .collect();
    *config = CodecConfig::new_from_payload_params(params);
}

/// The engine's parameters as our format; `None` for what Inver does not carry.
pub(crate) fn format_of(params: &PayloadParams) -> Option<Format> {
    let spec = params.spec();
    let codec = match spec.codec {
        EngineCodec::Opus => Codec::Opus,
        EngineCodec::H264 => Codec::H264,
        EngineCodec::H265 => Codec::H265,
        EngineCodec::Vp8 => Codec::Vp8,
        EngineCodec::Vp9 => Codec::Vp9,
        EngineCodec::Av1 => Codec::Av1,
        _ => return None,
    };
    Some(Format {
        codec,
        h264_profile_level: spec.format.profile_level_id,
        h264_packetization_mode: spec.format.packetization_mode.unwrap_or(0),
        vp9_profile: u8::try_from(spec.format.profile_id.unwrap_or(0)).unwrap_or(0),
    })
}
