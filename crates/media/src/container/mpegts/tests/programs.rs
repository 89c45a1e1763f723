//! Several programs, streams that are not carried, data that is.

use super::*;
use crate::container::mpegts::crc::checksum;
use crate::container::mpegts::packet::{Adaptation, write};
use crate::container::mpegts::pes::{Times, write_header};
use crate::container::mpegts::psi::{Listed, write_pat, write_pmt};
use crate::container::mpegts::{DataKind, Warning};

/// A PAT that lists several programs.
fn pat(programs: &[(u16, u16)]) -> Vec<u8> {
    let mut out = write_pat(0, 0, Pid(0));
    out.truncate(9);
    for (number, pid) in programs {
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&(0xe000 | pid).to_be_bytes());
    }
    out[3] = u8::try_from(out.len() + 4 - 4).expect("short");
    let crc = checksum(&out[1..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn packet(out: &mut Vec<u8>, pid: u16, counter: u8, payload: &[u8]) {
    let rest = write(out, Pid(pid), true, counter, Adaptation::default(), payload);
    assert!(rest.is_empty());
}

fn table(out: &mut Vec<u8>, pid: u16, counter: u8, table: &[u8]) {
    let mut payload = table.to_vec();
    payload.resize(184, 0xff);
    packet(out, pid, counter, &payload);
}

fn listed(stream_type: u8, pid: u16, descriptors: &[u8]) -> Listed {
    (stream_type, Pid(pid), descriptors.to_vec())
}

fn read_program(bytes: &[u8], program: Option<u16>) -> Vec<Item> {
    let mut reader = Reader::new(program);
    reader.push(bytes);
    reader.finish();
    std::iter::from_fn(|| reader.poll()).collect()
}

fn tracks(items: &[Item]) -> Vec<u16> {
    let tracks = items.iter().rev().find_map(|item| match item {
        Item::Tracks(tracks) => Some(tracks.iter().map(|track| track.pid.0).collect()),
        _ => None,
    });
    tracks.unwrap_or_default()
}

/// Three programs: teletext only, then two with H.264.
fn three() -> Vec<u8> {
    let mut out = Vec::new();
    table(&mut out, 0, 0, &pat(&[(1, 0x20), (2, 0x21), (3, 0x22)]));
    // The tables come in another order than the list's.
    table(
        &mut out,
        0x22,
        0,
        &write_pmt(0, 3, Pid(0x301), &[listed(0x1b, 0x301, &[])]),
    );
    table(
        &mut out,
        0x21,
        0,
        &write_pmt(0, 2, Pid(0x201), &[listed(0x1b, 0x201, &[])]),
    );
    let teletext = listed(0x06, 0x101, &[0x56, 0]);
    table(&mut out, 0x20, 0, &write_pmt(0, 1, Pid(0x101), &[teletext]));
    out
}

#[test]
fn the_first_program_that_plays_is_read_and_the_others_are_named() {
    let items = read_program(&three(), None);
    assert_eq!(tracks(&items), [0x201]);
    let skipped = [1, 3].map(|number| Item::ProgramSkipped { number });
    assert!(skipped.iter().all(|item| items.contains(item)));
    assert_eq!(tracks(&read_program(&three(), Some(3))), [0x301]);
    let items = read_program(&three(), Some(9));
    assert!(items.contains(&Item::Warning(Warning::NoSuchProgram {
        wanted: 9,
        available: vec![1, 2, 3],
    })));
    assert_eq!(tracks(&items), []);
}

#[test]
fn a_program_whose_table_never_comes_is_not_waited_for() {
    let mut once = Vec::new();
    table(&mut once, 0, 0, &pat(&[(1, 0x20), (2, 0x21)]));
    let pmt = write_pmt(0, 2, Pid(0x201), &[listed(0x0f, 0x201, &[])]);
    table(&mut once, 0x21, 0, &pmt);
    assert_eq!(tracks(&read_program(&once, None)), []);
    let mut twice = once;
    table(&mut twice, 0x21, 1, &pmt);
    assert_eq!(tracks(&read_program(&twice, None)), [0x201]);
}

#[test]
fn what_is_not_carried_is_named() {
    let streams = [
        listed(0x1b, 0x101, &[]),
        listed(0x03, 0x102, &[]),
        listed(0x81, 0x103, &[]),
        listed(0x06, 0x104, b"\x05\x04AV01"),
        listed(0x06, 0x105, b"\x05\x04Opus\x7f\x02\x80\x06"),
        listed(0x02, 0x106, &[]),
    ];
    let mut out = Vec::new();
    table(&mut out, 0, 0, &pat(&[(1, 0x20)]));
    table(&mut out, 0x20, 0, &write_pmt(0, 1, Pid(0x101), &streams));
    let items = read_program(&out, None);
    assert_eq!(tracks(&items), [0x101]);
    let names: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Unsupported { pid, name } => Some((pid.0, name.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        [
            (0x102, "MPEG audio (MP2, MP3)"),
            (0x103, "AC-3"),
            (0x104, "AV1"),
            (
                0x105,
                "Opus with channel configuration 0x06 (mono and stereo are carried)"
            ),
            (0x106, "MPEG-1 or MPEG-2 video"),
        ]
    );

    let mut out = Vec::new();
    table(&mut out, 0, 0, &pat(&[(1, 0x20)]));
    table(
        &mut out,
        0x20,
        0,
        &write_pmt(0, 1, Pid(0x102), &streams[1..2]),
    );
    let items = read_program(&out, None);
    assert!(items.contains(&Item::Warning(Warning::NothingPlayable)));
    assert!(
        items
            .iter()
            .any(|item| matches!(item, Item::Unsupported { .. }))
    );
}

#[test]
fn tracks_follow_the_table() {
    let (video, more) = (listed(0x1b, 0x101, &[]), listed(0x0f, 0x102, &[]));
    let mut out = Vec::new();
    table(&mut out, 0, 0, &pat(&[(1, 0x20)]));
    let both = [video.clone(), more];
    table(&mut out, 0x20, 0, &write_pmt(0, 1, Pid(0x101), &both));
    assert_eq!(tracks(&read_program(&out, None)), [0x101, 0x102]);
    table(&mut out, 0x20, 1, &write_pmt(1, 1, Pid(0x101), &[video]));
    assert_eq!(tracks(&read_program(&out, None)), [0x101]);
    table(&mut out, 0, 1, &pat(&[(2, 0x30)]));
    let items = read_program(&out, None);
    assert_eq!(tracks(&items), []);
    let damaged: Vec<u8> = out
        .iter()
        .map(|byte| if *byte == 0x20 { 0x2f } else { *byte })
        .collect();
    let items = read_program(&damaged, None);
    assert!(items.contains(&Item::Warning(Warning::DamagedTable(Pid(0)))));
}

#[test]
fn timed_metadata_and_splices_are_carried() {
    let id3 = listed(0x15, 0x102, b"\x26\x0d\xff\xffID3 \xffID3 \x00\x0f");
    let streams = [listed(0x0f, 0x101, &[]), id3, listed(0x86, 0x103, &[])];
    let mut out = Vec::new();
    table(&mut out, 0, 0, &pat(&[(1, 0x20)]));
    table(&mut out, 0x20, 0, &write_pmt(0, 1, Pid(0x101), &streams));
    let at = |pts| Times { pts, dts: pts };
    let config = AudioSpecificConfig::lc(48_000, 2).expect("valid");
    let mut adts = crate::codec::aac::adts::header(&config, 20)
        .expect("fits")
        .to_vec();
    adts.resize(27, 1);
    let mut pes = Vec::new();
    write_header(&mut pes, 0xc0, at(90_000), adts.len());
    pes.extend_from_slice(&adts);
    packet(&mut out, 0x101, 0, &pes);

    let mut pes = Vec::new();
    write_header(&mut pes, 0xbd, at(180_000), 13);
    pes.extend_from_slice(b"ID3\x04\0\0\0\0\0\x03abc");
    packet(&mut out, 0x102, 0, &pes);

    let mut splice = vec![
        0xfc, 0x30, 0x11, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xf0, 0, 0, 0,
    ];
    let crc = checksum(&splice);
    splice.extend_from_slice(&crc.to_be_bytes());
    table(&mut out, 0x103, 0, &[&[0], &splice[..]].concat());

    let items = read_program(&out, None);
    assert_eq!(tracks(&items), [0x101]);
    assert_eq!(frames(&items, Pid(0x101)).len(), 1);
    assert!(items.contains(&Item::Data {
        pid: Pid(0x102),
        kind: DataKind::Id3,
        pts: Some(MediaTime(2_000_000_000)),
        bytes: b"ID3\x04\0\0\0\0\0\x03abc".to_vec(),
    }));
    assert!(items.contains(&Item::Data {
        pid: Pid(0x103),
        kind: DataKind::Scte35,
        pts: Some(MediaTime(1_000_000_000)),
        bytes: splice,
    }));
}
