//! Shapes that other senders use, and frames that cannot be sent.

use super::*;

#[test]
fn spatial_layers_of_vp9_become_a_superframe() {
    let mut depacketizer = Depacketizer::new(Codec::Vp9);
    // I P L F B E V Z; id; layer indices; TL0PICIDX; then the frame.
    let base = [
        0xae, 0x01, 0x00, 0x05, 0x10, 1, 64, 0, 180, 0x82, 0x49, 0x83, 0x42, 0x00,
    ];
    let base = [&base[..], &[0x13, 0xf0, 0x0b, 0x30, 0x00]].concat();
    let upper = [0xac, 0x01, 0x03, 0x05, 0x86, 0xaa, 0xbb];
    let mut out = Vec::new();
    for (payload, marker) in [(base.as_slice(), false), (&upper, true)] {
        let packet = PayloadPacket {
            payload,
            marker,
            timestamp: 7,
            gap: false,
        };
        depacketizer.push(packet, &mut out);
    }
    let [Depacketized::Frame(unit)] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert!(unit.keyframe);
    let (frames, index) = unit.data.split_at(10 + 3);
    assert_eq!(frames[10..], [0x86, 0xaa, 0xbb]);
    assert_eq!(index, [0xd9, 10, 0, 0, 0, 3, 0, 0, 0, 0xd9]);
}

#[test]
fn several_access_units_of_aac_come_apart() {
    let mut depacketizer = Depacketizer::with_config(Arc::new(Config::Aac {
        // AAC-LC, 44.1 kHz, two channels.
        asc: vec![0x12, 0x10],
    }));
    let payload = [0, 32, 0, 2 << 3, 0, 3 << 3, 0xa1, 0xa2, 0xb1, 0xb2, 0xb3];
    let packet = PayloadPacket {
        payload: &payload,
        marker: true,
        timestamp: 1000,
        gap: true,
    };
    let mut out = Vec::new();
    depacketizer.push(packet, &mut out);
    let units: Vec<(u64, Vec<u8>, bool)> = out
        .iter()
        .map(|event| match event {
            Depacketized::Frame(unit) => (unit.timestamp, unit.data.to_vec(), unit.after_gap),
            Depacketized::Damaged { .. } => panic!("whole"),
        })
        .collect();
    assert_eq!(
        units,
        [
            (1000, vec![0xa1, 0xa2], true),
            (1000 + 1024 * 48_000 / 44_100, vec![0xb1, 0xb2, 0xb3], false)
        ]
    );
}

#[test]
fn frames_that_do_not_fit_are_refused_and_leave_nothing() {
    let frame = |codec, data: &[u8]| Frame {
        config: config(codec),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: true,
        data: Arc::from(data),
    };
    let mut out = Vec::new();
    let mut attempt = |codec, frame: &Frame| {
        let result = Packetizer::new(codec, MAX_PAYLOAD, 0).packetize(frame, &mut out);
        assert!(out.is_empty());
        result.expect_err("refused")
    };
    assert!(matches!(
        attempt(Codec::Vp8, &frame(Codec::Opus, &[1])),
        PacketizeError::Codec { .. }
    ));
    assert_eq!(
        attempt(Codec::Vp8, &frame(Codec::Vp8, &[])),
        PacketizeError::Empty
    );
    assert_eq!(
        attempt(Codec::H264, &frame(Codec::H264, &[0, 0, 0, 9, 0x65, 0x88])),
        PacketizeError::Broken(Codec::H264)
    );
    assert_eq!(
        attempt(Codec::Av1, &frame(Codec::Av1, &[0x32, 9, 0x10])),
        PacketizeError::Broken(Codec::Av1)
    );
    for (codec, size) in [
        (Codec::Opus, 1276),
        (Codec::Aac, 8192),
        (Codec::Vp8, (8 << 20) + 1),
    ] {
        assert!(matches!(
            attempt(codec, &frame(codec, &vec![1; size])),
            PacketizeError::TooLarge { .. }
        ));
    }
}
