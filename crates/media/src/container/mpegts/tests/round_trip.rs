//! What a writer writes, a reader reads: to the bit and to the tick.

use super::*;
use crate::Codec;
use crate::container::mpegts::packet::Packet;
use crate::container::mpegts::{DATAGRAM, Error};

const VIDEO: Pid = Pid(0x100);
const AUDIO: Pid = Pid(0x101);

fn opus() -> Arc<Config> {
    Arc::new(Config::Opus {
        channels: 2,
        pre_skip: 312,
    })
}

#[test]
fn h264_with_b_frames_and_aac_come_back_as_they_were() {
    let video = video(&h264(), 900_000, 100, 25, true);
    let sound = sound(&aac(48_000), 900_100, 190, 1024, 48_000);
    let bytes = written(&[&video, &sound]);
    for step in [1, 188, 500, 1316, bytes.len()] {
        let items = read(&bytes, step);
        assert_eq!(remarks(&items), Vec::<&Item>::new());
        assert_eq!(frames(&items, VIDEO), video, "pieces of {step}");
        // 1024 samples at 48 kHz are 1920 ticks, so nothing is rounded.
        let heard = frames(&items, AUDIO);
        assert_eq!(heard.len(), sound.len());
        for (read, wrote) in heard.iter().zip(&sound) {
            assert!(read.pts.0.abs_diff(wrote.pts.0) <= 1, "{read:?} {wrote:?}");
            assert_eq!((&read.data, &read.config), (&wrote.data, &wrote.config));
        }
    }
}

#[test]
fn h265_and_opus_come_back_as_they_were() {
    let video = video(&h265(), 900_000, 60, 30, true);
    let sound = sound(&opus(), 900_000, 120, 960, 48_000);
    let items = read(&written(&[&video, &sound]), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    assert_eq!(frames(&items, VIDEO), video);
    assert_eq!(frames(&items, AUDIO), sound);
    let Some(Item::Tracks(tracks)) = items.first() else {
        panic!("tracks come first, not {:?}", items.first());
    };
    let codecs: Vec<_> = tracks.iter().map(|track| track.codec).collect();
    assert_eq!(codecs, [Codec::H265, Codec::Opus]);
}

#[test]
fn equal_configurations_are_the_same_value() {
    let items = read(&written(&[&video(&h264(), 900_000, 60, 10, false)]), 1316);
    let frames = frames(&items, VIDEO);
    assert_eq!(frames.len(), 60);
    for frame in &frames {
        assert!(Arc::ptr_eq(&frame.config, &frames[0].config));
    }
}

#[test]
fn sound_at_44_100_hz_keeps_its_steps_whatever_ticks_round_to() {
    let sound = sound(&aac(44_100), 900_000, 500, 1024, 44_100);
    let items = read(&written(&[&sound]), 1316);
    let heard = frames(&items, VIDEO);
    assert_eq!(heard.len(), sound.len());
    for (read, wrote) in heard.iter().zip(&sound) {
        assert_eq!(read.pts, wrote.pts);
    }
}

#[test]
fn times_go_on_over_the_edge_of_33_bits() {
    let edge = 1_i64 << 33;
    let video = video(&h264(), edge - 20 * 3_600 - 77, 60, 20, true);
    let sound = sound(&aac(48_000), edge - 40_000, 100, 1024, 48_000);
    let items = read(&written(&[&video, &sound]), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    assert_eq!(frames(&items, VIDEO), video);
    let heard = frames(&items, AUDIO);
    assert_eq!(heard.len(), sound.len());
    for (read, wrote) in heard.iter().zip(&sound) {
        assert!(read.pts.0.abs_diff(wrote.pts.0) <= 12_000);
    }
}

#[test]
fn a_stream_that_begins_at_or_below_zero_is_moved_as_a_whole() {
    let video = video(&h264(), -7_200, 50, 25, true);
    let sound = sound(&aac(48_000), -3_600, 90, 1024, 48_000);
    let items = read(&written(&[&video, &sound]), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    let (seen, heard) = (frames(&items, VIDEO), frames(&items, AUDIO));
    let shift = seen[0].dts.ticks(90_000) + 7_200;
    assert!(shift > 90_000);
    for (read, wrote) in seen.iter().zip(&video).chain(heard.iter().zip(&sound)) {
        assert_eq!(read.pts.ticks(90_000), wrote.pts.ticks(90_000) + shift);
        assert_eq!(read.dts.ticks(90_000), wrote.dts.ticks(90_000) + shift);
    }
}

#[test]
fn frames_come_out_without_their_successor() {
    let video = video(&h264(), 900_000, 20, 100, false);
    let mut writer = Writer::new(&[TrackConfig {
        config: h264(),
        language: Some("gle".to_owned()),
    }])
    .expect("carried");
    let mut reader = Reader::default();
    let mut frames = 0;
    for (number, frame) in video.iter().enumerate() {
        writer.write(0, frame).expect("good");
        let mut bytes = Vec::new();
        drain(&mut writer, &mut bytes);
        reader.push(&bytes);
        while let Some(item) = reader.poll() {
            match item {
                Item::Tracks(tracks) => assert_eq!(tracks[0].language.as_deref(), Some("gle")),
                Item::Frame { .. } => frames += 1,
                other => panic!("{other:?}"),
            }
        }
        // The second packet shows that packets are frames; from then on nothing waits.
        assert_eq!(frames, if number == 0 { 0 } else { number + 1 });
    }
}

#[test]
fn clock_and_tables_come_often_enough_and_counters_count() {
    let video = video(&h264(), 900_000, 100, 50, true);
    let sound = sound(&aac(48_000), 900_000, 180, 1024, 48_000);
    let bytes = written(&[&video, &sound]);
    let mut counters = std::collections::BTreeMap::new();
    let (mut clock, mut tables) = (None, 0);
    for packet in bytes.as_chunks::<188>().0 {
        let packet = Packet::parse(packet).expect("whole");
        let counter = counters.entry(packet.pid).or_insert(packet.counter);
        if packet.payload.is_some() {
            assert_eq!(packet.counter, *counter, "{}", packet.pid);
            *counter = (*counter + 1) & 0x0f;
        }
        tables += u32::from(packet.pid == Pid(0));
        if let Some(pcr) = packet.pcr {
            assert_eq!(packet.pid, VIDEO);
            if let Some(last) = clock.replace(pcr) {
                assert!((1..=3_600).contains(&(pcr - last)), "{last} to {pcr}");
            }
        }
    }
    assert_eq!(clock, Some(900_000 + 99 * 3_600 - 18_000));
    assert!((40..=55).contains(&tables), "{tables} in 4 s");
}

#[test]
fn a_clock_that_is_set_back_is_announced() {
    let (first, second) = (
        video(&h264(), 9_000_000, 30, 10, false),
        video(&h264(), 900_000, 30, 10, false),
    );
    let mut writer = Writer::new(&[TrackConfig {
        config: h264(),
        language: None,
    }])
    .expect("carried");
    let mut bytes = Vec::new();
    for frame in first.iter().chain(&second) {
        writer.write(0, frame).expect("good");
        drain(&mut writer, &mut bytes);
    }
    let announced: Vec<_> = bytes
        .as_chunks::<188>()
        .0
        .iter()
        .filter_map(Packet::parse)
        .filter(|packet| packet.discontinuity)
        .map(|packet| packet.pcr)
        .collect();
    assert_eq!(announced, [Some(900_000 - 18_000)]);
    let items = read(&bytes, 1316);
    let seen = frames(&items, VIDEO);
    assert_eq!(seen.len(), 60);
    assert!(seen.iter().zip(&seen[1..]).all(|(a, b)| a.dts < b.dts));
    assert!(matches!(remarks(&items)[..], [Item::Discontinuity { .. }]));
}

#[test]
fn a_new_configuration_is_told_at_once_and_a_new_codec_in_the_tables() {
    let first = video(&h264(), 900_000, 10, 5, false);
    let other = Arc::new(Config::H264 {
        sps: vec![vec![0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9]],
        pps: vec![vec![0x68, 0xeb, 0xe3, 0xcb]],
    });
    let second = video(&other, 936_000, 10, 5, false);
    let third = video(&h265(), 972_000, 10, 5, false);
    let all = [first, second, third].concat();
    let items = read(&written(&[&all]), 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    assert_eq!(frames(&items, VIDEO), all);
    let tracks = items.iter().filter(|item| matches!(item, Item::Tracks(_)));
    assert_eq!(tracks.count(), 2);
}

#[test]
fn what_transport_streams_do_not_carry_is_refused() {
    let refused = |config: Config| {
        let track = TrackConfig {
            config: Arc::new(config),
            language: None,
        };
        Writer::new(&[track]).expect_err("refused")
    };
    assert_eq!(refused(Config::Vp8), Error::Codec(Codec::Vp8));
    assert_eq!(
        refused(Config::Vp9 { profile: 0 }).to_string(),
        "MPEG transport streams do not carry VP9; H264, H265, AAC and Opus are carried"
    );
    let av1 = Config::Av1 {
        sequence_header: Vec::new(),
    };
    assert_eq!(refused(av1), Error::Codec(Codec::Av1));
    let odd = AudioSpecificConfig::lc(37_800, 2).expect("valid");
    let asc = odd.write().expect("valid");
    assert!(matches!(refused(Config::Aac { asc }), Error::Aac(_)));
    assert_eq!(Writer::new(&[]).expect_err("refused"), Error::TrackCount(0));

    let good = video(&h264(), 0, 1, 1, false).remove(0);
    let track = TrackConfig {
        config: h264(),
        language: None,
    };
    let mut writer = Writer::new(&[track]).expect("carried");
    assert_eq!(writer.write(1, &good), Err(Error::NoSuchTrack(1)));
    let mut broken = good;
    broken.data = broken.data[..broken.data.len() - 1].into();
    assert_eq!(writer.write(0, &broken), Err(Error::Malformed));
    assert!(writer.datagram().is_none() && writer.rest().is_none());
    assert_eq!(DATAGRAM, 1316);
}
