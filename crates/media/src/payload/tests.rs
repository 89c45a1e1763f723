//! Every codec there and back with random sizes, with loss, and with garbage.

mod formats;
mod loss;
mod round_trip;

use std::sync::Arc;

use super::packetizer::even;
use super::*;
use crate::codec::inspect;
use crate::codec::nal::push_length_prefixed;
use crate::{Codec, Config, Frame, MediaTime};

const CODECS: [Codec; 7] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Opus,
    Codec::Aac,
];

/// x264, 1280x720.
const H264_SPS: [u8; 28] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60, 0x00, 0x80,
];
const H264_PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
/// x265, 320x180.
const H265_VPS: [u8; 24] = [
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x90, 0x09,
];
const H265_SPS: [u8; 42] = [
    0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
    0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0b, 0x9f, 0x6d, 0x96, 0x56, 0x49, 0x24, 0xca, 0xf0, 0x16, 0x80,
    0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x04,
];
const H265_PPS: [u8; 7] = [0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];
/// libaom, 320x180.
const AV1_HEADER: [u8; 13] = [
    0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x00, 0x40,
];

fn config(codec: Codec) -> Arc<Config> {
    Arc::new(match codec {
        Codec::H264 => Config::H264 {
            sps: vec![H264_SPS.to_vec()],
            pps: vec![H264_PPS.to_vec()],
        },
        Codec::H265 => Config::H265 {
            vps: vec![H265_VPS.to_vec()],
            sps: vec![H265_SPS.to_vec()],
            pps: vec![H265_PPS.to_vec()],
        },
        Codec::Av1 => Config::Av1 {
            sequence_header: AV1_HEADER.to_vec(),
        },
        Codec::Vp8 => Config::Vp8,
        Codec::Vp9 => Config::Vp9 { profile: 0 },
        Codec::Aac => Config::Aac {
            asc: vec![0x11, 0x90],
        },
        Codec::Opus => Config::Opus {
            channels: 2,
            pre_skip: 312,
        },
    })
}

struct Source {
    codec: Codec,
    config: Arc<Config>,
    random: fastrand::Rng,
}

impl Source {
    fn new(codec: Codec, seed: u64) -> Self {
        Self {
            codec,
            config: config(codec),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn bytes(&mut self, head: &[u8], most: usize) -> Vec<u8> {
        // Mostly around the borders at which the number of payloads changes.
        let len = match self.random.u8(..4) {
            0 => self.random.usize(..30),
            1 => 1150 + self.random.usize(..60),
            2 => 2 * 1150 + self.random.usize(..120),
            _ => self.random.usize(..30_000),
        };
        let mut out = head.to_vec();
        while out.len() < len.min(most) {
            out.push(self.random.u8(..));
        }
        out
    }

    fn frame(&mut self, keyframe: bool) -> Frame {
        let mut data = Vec::new();
        match self.codec {
            Codec::H264 => {
                if self.random.bool() {
                    push_length_prefixed(&mut data, &[6, 5, 3, 1, 2, 3, 0x80]);
                }
                let heads: [&[u8]; 2] = if keyframe {
                    [&[0x65, 0x88, 0x84], &[0x65, 0x48, 0x84]]
                } else {
                    [&[0x41, 0x9a, 0x23], &[0x41, 0x50, 0x23]]
                };
                for slice in 0..self.random.usize(1..4) {
                    let nal = self.bytes(heads[slice.min(1)], 30_000);
                    push_length_prefixed(&mut data, &nal);
                }
            }
            Codec::H265 => {
                if self.random.bool() {
                    push_length_prefixed(&mut data, &[0x4e, 0x01, 5, 3, 1, 2, 3, 0x80]);
                }
                let heads: [&[u8]; 2] = if keyframe {
                    [&[0x28, 0x01, 0xaf], &[0x28, 0x01, 0x2f]]
                } else {
                    [&[0x02, 0x01, 0xd0], &[0x02, 0x01, 0x50]]
                };
                for slice in 0..self.random.usize(1..4) {
                    let nal = self.bytes(heads[slice.min(1)], 30_000);
                    push_length_prefixed(&mut data, &nal);
                }
            }
            Codec::Av1 => {
                if keyframe {
                    data.extend_from_slice(&AV1_HEADER);
                }
                // One frame, or a hidden one and others behind it.
                for index in 0..self.random.usize(1..6) {
                    let first = if keyframe && index == 0 { 0x10 } else { 0x30 };
                    let body = self.bytes(&[first], 30_000);
                    crate::codec::av1::Obu {
                        header: 0x30,
                        extension: None,
                        body: &body,
                    }
                    .write(&mut data);
                }
            }
            Codec::Vp8 if keyframe => {
                let head = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];
                data = self.bytes(&head, 30_000);
            }
            Codec::Vp8 => data = self.bytes(&[0x11], 30_000),
            Codec::Vp9 if keyframe => {
                let head = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0b, 0x30, 0x00];
                data = self.bytes(&head, 30_000);
            }
            Codec::Vp9 => data = self.bytes(&[0x86], 30_000),
            Codec::Opus => data = self.bytes(&[0xfc], 1275),
            Codec::Aac => data = self.bytes(&[0x21], 8191),
        }
        Frame {
            config: self.config.clone(),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe: keyframe || self.codec.kind() == crate::Kind::Audio,
            data: Arc::from(data),
        }
    }
}

fn cut(packetizer: &mut Packetizer, frame: &Frame) -> Vec<Payload> {
    let mut out = Vec::new();
    packetizer.packetize(frame, &mut out).expect("a good frame");
    out
}

fn join(
    depacketizer: &mut Depacketizer,
    payloads: &[Payload],
    timestamp: u64,
    gap: bool,
) -> Vec<Depacketized> {
    let mut out = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        depacketizer.push(
            PayloadPacket {
                payload: &payload.bytes,
                marker: payload.marker,
                timestamp,
                gap: gap && index == 0,
            },
            &mut out,
        );
    }
    out
}
