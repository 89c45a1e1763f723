//! RTP payloads of every codec into frames; the frames into payloads and back.
//!
//! The first byte chooses the codec by its place in `CODECS`. Each packet is a byte (bit 0:
//! marker, bit 1: lost packets before it, the rest: by how much time goes on) and a payload behind
//! two bytes of length.
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::{Input, check_frame};
use inver_media::codec::inspect;
use inver_media::payload::{Depacketized, Depacketizer, Packetizer, PayloadPacket, Unit};
use inver_media::{Codec, Frame, Kind, MediaTime};

inver_fuzz::target!(run);

/// Every codec that has payloads.
const CODECS: [Codec; 7] = [
    Codec::Opus,
    Codec::H264,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Av1,
    Codec::H265,
    Codec::Aac,
];

/// A frame at most, as documented.
const LARGEST: usize = 8 << 20;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = CODECS[usize::from(input.byte()) % CODECS.len()];
    let mut depacketizer = Depacketizer::new(codec);
    let mut packetizer = Packetizer::new(codec, 300, 0);
    let mut timestamp = 0;
    let mut out = Vec::new();
    let (mut given, mut taken) = (0, 0);
    let mut synced = codec.kind() == Kind::Audio;
    while !input.is_empty() {
        let flags = input.byte();
        timestamp += u64::from(flags >> 2) * 480;
        let payload = input.block();
        given += payload.len();
        depacketizer.push(
            PayloadPacket {
                payload,
                marker: flags & 1 != 0,
                timestamp,
                gap: flags & 2 != 0,
            },
            &mut out,
        );
        for one in out.drain(..) {
            match one {
                Depacketized::Frame(unit) => {
                    taken += unit.data.len();
                    synced |= unit.keyframe;
                    assert!(synced || !unit.decodable, "decodable before a keyframe");
                    check(codec, &unit, timestamp);
                    returns(&mut packetizer, &unit);
                }
                Depacketized::Damaged { timestamp: of } => assert!(of <= timestamp),
            }
        }
    }
    // Aggregates have lengths of one or two bytes where frames have four.
    assert!(taken <= given * 5, "{taken} of {given}");
}

fn check(codec: Codec, unit: &Unit, now: u64) {
    assert_eq!(unit.config.codec(), codec);
    assert!(unit.data.len() <= LARGEST);
    if codec.kind() == Kind::Audio {
        assert!(unit.decodable && unit.keyframe);
    } else {
        assert!(unit.timestamp <= now, "a frame of the future");
    }
    check_frame(&frame(unit));
}

fn frame(unit: &Unit) -> Frame {
    Frame {
        config: unit.config.clone(),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: unit.keyframe,
        data: unit.data.clone(),
    }
}

/// A frame that came survives our own payloads.
fn returns(packetizer: &mut Packetizer, unit: &Unit) {
    let mut payloads = Vec::new();
    if packetizer.packetize(&frame(unit), &mut payloads).is_err() {
        return;
    }
    // What a track begins with counts only where it begins a frame, which a lone slice may not.
    let first = payloads.first().expect("a frame has payloads");
    if !inspect(unit.config.codec(), &first.bytes).frame_start {
        return;
    }
    let mut second = Depacketizer::with_config(unit.config.clone());
    let mut out = Vec::new();
    for payload in &payloads {
        second.push(
            PayloadPacket {
                payload: &payload.bytes,
                marker: payload.marker,
                timestamp: 0,
                gap: false,
            },
            &mut out,
        );
    }
    let [Depacketized::Frame(again)] = out.as_slice() else {
        panic!("{} bytes became {out:?}", unit.data.len());
    };
    // Before a keyframe of AV1 that has no sequence header goes that of its configuration.
    let added = again.data.len().saturating_sub(unit.data.len());
    assert!(added == 0 || unit.config.codec() == Codec::Av1 && unit.keyframe);
    assert_eq!(again.data[added..], *unit.data);
    assert_eq!(again.keyframe, unit.keyframe);
}
