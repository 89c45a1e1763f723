//! FTL's datagrams: what clients send, cut and mixed up.

use super::super::*;

fn rtp_bytes() -> Vec<u8> {
    vec![
        0x80, 0xe0, 0x12, 0x34, 0, 0, 1, 0, 0, 0, 4, 0xd3, 0x41, 0x9a, 0x01,
    ]
}

#[test]
fn pings_reports_and_media_are_told_apart() {
    let mut ping = vec![0x81, 250, 0, 24];
    ping.resize(24, 9);
    assert_eq!(classify(&ping), Some(Datagram::Ping));

    let mut report = vec![0x80, 200, 0, 6, 0, 0, 4, 0xd3];
    report.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
    assert_eq!(
        classify(&report),
        Some(Datagram::SenderReport(SenderReport {
            ssrc: 1235,
            ntp: (1 << 32) | 2,
            timestamp: 3,
            packets: 4,
            octets: 5,
        }))
    );
    report.push(0);
    assert_eq!(classify(&report), None);

    assert_eq!(
        classify(&rtp_bytes()),
        Some(Datagram::Rtp(Rtp {
            payload_type: 96,
            marker: true,
            sequence: 0x1234,
            timestamp: 256,
            ssrc: 1235,
            payload: &[0x41, 0x9a, 0x01],
        }))
    );
}

#[test]
fn sources_extensions_and_padding_are_passed_over() {
    let mut bytes = vec![0xb1, 0x61, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend_from_slice(&[9, 9, 9, 9]);
    bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    bytes.extend_from_slice(&[0xaa, 0xbb, 0, 0, 3]);
    let Some(Datagram::Rtp(rtp)) = classify(&bytes) else {
        panic!("media");
    };
    assert_eq!(rtp.payload, [0xaa, 0xbb]);
    assert!(!rtp.marker);
    for len in 0..bytes.len() {
        let _ = classify(&bytes[..len]);
    }
}

#[test]
fn anything_else_is_nothing() {
    assert_eq!(classify(&[]), None);
    assert_eq!(classify(&[0x40, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    // A ping as long as a datagram would be an invitation to use us against others.
    let mut ping = vec![0x81, 250];
    ping.resize(1200, 0);
    assert_eq!(classify(&ping), None);
    // More padding than there are bytes.
    let mut bytes = rtp_bytes();
    bytes[0] |= 0x20;
    bytes[14] = 200;
    assert_eq!(classify(&bytes), None);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
        let _ = classify(&bytes);
    }
}
