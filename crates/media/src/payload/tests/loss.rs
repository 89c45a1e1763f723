//! Loss and garbage.

use super::*;

#[test]
fn a_loss_damages_its_frame_and_flags_those_up_to_the_next_keyframe() {
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp8, Codec::Vp9] {
        let mut source = Source::new(codec, 5);
        let mut random = fastrand::Rng::with_seed(6);
        let mut packetizer = Packetizer::new(codec, 300, 0);
        let mut depacketizer = Depacketizer::new(codec);
        let mut sent = Vec::new();
        let mut out = Vec::new();
        let mut gap = false;
        let mut lost_frames = std::collections::BTreeSet::new();
        for index in 0..400_u64 {
            let frame = source.frame(index % 20 == 0);
            for payload in cut(&mut packetizer, &frame) {
                if random.u32(..400) == 0 {
                    gap = true;
                    lost_frames.insert(index);
                    continue;
                }
                depacketizer.push(
                    PayloadPacket {
                        payload: &payload.bytes,
                        marker: payload.marker,
                        timestamp: index,
                        gap: std::mem::take(&mut gap),
                    },
                    &mut out,
                );
            }
            sent.push(frame);
        }
        assert!(lost_frames.len() > 10, "{codec} lost too little");
        let mut whole = 0;
        let mut damaged_keyframes = std::collections::BTreeSet::new();
        for event in out {
            let unit = match event {
                Depacketized::Frame(unit) => unit,
                Depacketized::Damaged { timestamp } => {
                    assert!(
                        lost_frames.contains(&timestamp),
                        "{codec} frame {timestamp}"
                    );
                    damaged_keyframes.insert(timestamp);
                    continue;
                }
            };
            let index = unit.timestamp;
            let keyframe = index / 20 * 20;
            // The loss of the parameter sets of a keyframe alone leaves its picture whole, since
            // those from before hold.
            let same = unit.data == sent[index as usize].data;
            if lost_frames.contains(&index) {
                assert!(
                    !unit.decodable || (unit.keyframe && same),
                    "{codec} frame {index} lacks a packet"
                );
            } else {
                assert!(same, "{codec} frame {index}");
            }
            if unit.decodable {
                whole += 1;
                assert!(
                    !damaged_keyframes.contains(&keyframe),
                    "{codec} frame {index}"
                );
                let lost = lost_frames
                    .range(keyframe..index)
                    .find(|lost| **lost != keyframe);
                assert_eq!(lost, None, "{codec} frame {index} cannot be decodable");
            }
        }
        assert!(whole > 50, "{codec} has {whole} decodable frames");
    }
}

#[test]
fn a_stream_that_begins_midway_waits_for_its_keyframe() {
    let mut source = Source::new(Codec::H264, 2);
    let mut packetizer = Packetizer::new(Codec::H264, MAX_PAYLOAD, 0);
    let mut depacketizer = Depacketizer::new(Codec::H264);
    let frames = [source.frame(false), source.frame(true), source.frame(false)];
    let mut seen = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let payloads = cut(&mut packetizer, frame);
        seen.extend(join(&mut depacketizer, &payloads, index as u64, false));
    }
    let decodable: Vec<bool> = seen
        .iter()
        .map(|event| matches!(event, Depacketized::Frame(unit) if unit.decodable))
        .collect();
    assert_eq!(decodable, [false, true, true]);
}

#[test]
fn hostile_payloads_never_panic_and_stay_bounded() {
    for codec in CODECS {
        let mut source = Source::new(codec, 13);
        let mut random = fastrand::Rng::with_seed(14);
        let mut packetizer = Packetizer::new(codec, 200, 0);
        let mut depacketizer = Depacketizer::new(codec);
        let mut out = Vec::new();
        for index in 0..1_000_u64 {
            let frame = source.frame(random.bool());
            for payload in cut(&mut packetizer, &frame).iter().take(20) {
                let mut bytes = payload.bytes.to_vec();
                match random.u8(..4) {
                    0 => bytes.truncate(random.usize(..=bytes.len())),
                    1 => bytes
                        .iter_mut()
                        .take(12)
                        .for_each(|byte| *byte = random.u8(..)),
                    2 if !bytes.is_empty() => {
                        let at = random.usize(..bytes.len());
                        bytes[at] ^= 1 << random.u8(..8);
                    }
                    _ => {}
                }
                let packet = PayloadPacket {
                    payload: &bytes,
                    marker: random.u8(..8) == 0,
                    timestamp: index / 2,
                    gap: random.u8(..16) == 0,
                };
                depacketizer.push(packet, &mut out);
            }
            out.clear();
        }
    }
}

#[test]
fn a_frame_without_end_is_given_up() {
    for (codec, head) in [
        (Codec::H264, &[0x7c, 0x05][..]),
        (Codec::Vp8, &[0x00]),
        (Codec::Av1, &[0xd0]),
        (Codec::Vp9, &[0x40]),
    ] {
        let mut depacketizer = Depacketizer::new(codec);
        let mut out = Vec::new();
        let start = match codec {
            Codec::H264 => vec![0x7c, 0x85, 0x88],
            Codec::Vp8 => vec![0x10, 0x10],
            Codec::Av1 => vec![0x50, 0x30, 0x10],
            _ => vec![0x08, 0x82],
        };
        let long = [head, &[0xaa; 60_000]].concat();
        for index in 0..300 {
            let packet = PayloadPacket {
                payload: if index == 0 { &start } else { &long },
                marker: false,
                timestamp: 0,
                gap: false,
            };
            depacketizer.push(packet, &mut out);
        }
        assert!(out.is_empty(), "{codec}");
        depacketizer.flush(&mut out);
        assert_eq!(out, [Depacketized::Damaged { timestamp: 0 }], "{codec}");
    }
}
