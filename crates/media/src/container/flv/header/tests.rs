//! Headers of every form, and cut ones.

use super::*;

fn frame(offset_ms: i32) -> Packet {
    Packet::Frame { offset_ms }
}

#[test]
fn plain_h264_with_a_composition_time() {
    let tag = parse(Kind::Video, &[0x17, 1, 0, 0, 80, 0xaa]).expect("a tag");
    assert!(tag.keyframe);
    assert_eq!(tag.parts[0].packet, frame(80));
    assert_eq!(tag.parts[0].data, [0xaa]);
    let tag = parse(Kind::Video, &[0x27, 1, 0xff, 0xff, 0xd8, 0xaa]).expect("a tag");
    assert!(!tag.keyframe);
    assert_eq!(tag.parts[0].packet, frame(-40));
}

#[test]
fn plain_aac_and_the_names_of_what_is_not() {
    let tag = parse(Kind::Audio, &[0xaf, 0, 0x12, 0x10]).expect("a tag");
    assert_eq!(tag.parts[0].packet, Packet::Config);
    for (kind, first, name) in [
        (Kind::Audio, 0x2f, "MP3"),
        (Kind::Audio, 0xb2, "Speex"),
        (Kind::Audio, 0x62, "Nellymoser"),
        (Kind::Video, 0x12, "Sorenson H.263"),
        (Kind::Video, 0x14, "VP6"),
    ] {
        let body = [first, 1, 2, 3];
        let tag = parse(kind, &body).expect("a tag");
        let unsupported = tag.parts[0].codec.clone().expect_err(name);
        assert_eq!(unsupported.name, name);
        assert!(unsupported.to_string().contains("send"), "{unsupported}");
    }
}

#[test]
fn h265_in_its_unofficial_numbering() {
    let tag = parse(Kind::Video, &[0x1c, 1, 0, 0, 40, 1, 2]).expect("a tag");
    assert_eq!(tag.parts[0].codec, Ok(Codec::H265));
    assert_eq!(tag.parts[0].packet, frame(40));
}

#[test]
fn enhanced_packets_of_each_type() {
    let body = |byte: u8, fourcc: &[u8; 4], rest: &[u8]| [&[byte][..], fourcc, rest].concat();
    let hevc = body(0x91, b"hvc1", &[0, 0, 33, 9]);
    let tag = parse(Kind::Video, &hevc).expect("a tag");
    assert!(tag.keyframe);
    assert_eq!(tag.parts[0].packet, frame(33));
    assert_eq!(tag.parts[0].data, [9]);
    let x = body(0xa3, b"hvc1", &[9]);
    let tag = parse(Kind::Video, &x).expect("a tag");
    assert!(!tag.keyframe);
    assert_eq!(tag.parts[0].packet, frame(0));
    let av1 = body(0x91, b"av01", &[0x12, 0]);
    let tag = parse(Kind::Video, &av1).expect("a tag");
    assert_eq!(tag.parts[0].data, [0x12, 0], "AV1 has no composition time");
    let opus = body(0x91, b"Opus", &[1]);
    let tag = parse(Kind::Audio, &opus).expect("a tag");
    assert_eq!(tag.parts[0].codec, Ok(Codec::Opus));
    let start = body(0x95, b"av01", &[]);
    assert_eq!(parse(Kind::Video, &start), Err(Error::MpegTs));
    let colours = body(0xd4, b"av01", &[2, 0, 1, b'x']);
    let tag = parse(Kind::Video, &colours).expect("a tag");
    assert_eq!(tag.parts[0].packet, Packet::Other);
    assert_eq!(
        parse(Kind::Video, &[0xd0, 0]).map(|tag| tag.parts),
        Ok(vec![])
    );
    let wrong = body(0x9f, b"Opus", &[]);
    assert_eq!(
        parse(Kind::Audio, &wrong),
        Err(Error::PacketType {
            kind: Kind::Audio,
            packet_type: 15
        })
    );
    let mixed = body(0x91, b"avc1", &[]);
    assert!(
        parse(Kind::Audio, &mixed).expect("a tag").parts[0]
            .codec
            .is_err()
    );
}

#[test]
fn extensions_are_passed_over_and_nanoseconds_count() {
    // An unknown extension of one byte, then the nanosecond offset, then coded frames.
    let body = [
        &[0x97, 0, 0xee, 0x57][..],
        &[2, 0x07, 0xa1, 0x20, 0x01],
        b"Opus",
        &[5],
    ]
    .concat();
    let tag = parse(Kind::Audio, &body).expect("a tag");
    assert_eq!(tag.nanos, 500_000);
    assert_eq!(tag.parts[0].packet, frame(0));
    assert_eq!(tag.parts[0].data, [5]);
    // A long one: 256 means that the length follows in two bytes.
    let long = [&[0x97, 255, 1, 43][..], &[0; 300], &[0x11], b"Opus", &[6]].concat();
    let tag = parse(Kind::Audio, &long).expect("a tag");
    assert_eq!(tag.parts[0].data, [6]);
    let endless = [&[0x97][..], &[0, 0, 0x17].repeat(20)].concat();
    assert_eq!(
        parse(Kind::Audio, &endless),
        Err(Error::ManyExtensions { kind: Kind::Audio })
    );
}

#[test]
fn multitrack_in_its_three_ways() {
    let one = [&[0x96, 0x01][..], b"avc1", &[3, 0, 0, 40, 7, 7]].concat();
    let tag = parse(Kind::Video, &one).expect("a tag");
    assert_eq!(tag.parts.len(), 1);
    assert_eq!((tag.parts[0].track, tag.parts[0].packet), (3, frame(40)));
    let many = [
        &[0x96, 0x13][..],
        b"hvc1",
        &[0, 0, 0, 2, 1, 2],
        &[1, 0, 0, 1, 3],
    ]
    .concat();
    let tag = parse(Kind::Video, &many).expect("a tag");
    let seen: Vec<_> = tag
        .parts
        .iter()
        .map(|part| (part.track, part.data))
        .collect();
    assert_eq!(seen, [(0, &[1, 2][..]), (1, &[3][..])]);
    let codecs = [
        &[0x95, 0x21][..],
        b"Opus",
        &[0, 0, 0, 1, 1],
        b"mp4a",
        &[1, 0, 0, 2, 2, 2],
        b".mp3",
        &[2, 0, 0, 0],
    ]
    .concat();
    let tag = parse(Kind::Audio, &codecs).expect("a tag");
    assert_eq!(tag.parts[0].codec, Ok(Codec::Opus));
    assert_eq!(tag.parts[1].codec, Ok(Codec::Aac));
    assert_eq!(tag.parts[1].data, [2, 2]);
    assert!(tag.parts[2].codec.is_err());
    let endless = [&[0x96, 0x13][..], b"avc1", &[0; 4 * 65]].concat();
    assert_eq!(
        parse(Kind::Video, &endless),
        Err(Error::Multitrack { kind: Kind::Video })
    );
    for body in [&[0x96, 0x31][..], &[0x96, 0x06], &[0x96, 0x07]] {
        assert_eq!(
            parse(Kind::Video, body),
            Err(Error::Multitrack { kind: Kind::Video })
        );
    }
}

#[test]
fn every_cut_of_a_header_is_an_error() {
    let many = [
        &[0x97, 2, 0, 0, 1, 0x06, 0x11][..],
        b"avc1",
        &[0, 0, 0, 3, 0, 0, 1],
    ]
    .concat();
    assert!(parse(Kind::Video, &many).is_ok());
    for end in 0..many.len() {
        assert!(parse(Kind::Video, &many[..end]).is_err(), "{end}");
    }
}
