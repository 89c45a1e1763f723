//! What comes out is what went in, in the order in which it is shown.

use std::time::Instant;

use super::*;
use crate::codec::records;

/// All pictures of a stream: what comes out, and at the end what a second, later round of the
/// stream pushes out of the decoder.
fn whole(frames: &[Frame]) -> Vec<Frame> {
    let mut reencoder = reencoder();
    let mut out = push_all(&mut reencoder, frames);
    let begin = later(frames, 60_000_000_000);
    out.extend(push_all(&mut reencoder, &begin[..1]));
    out.retain(|frame| frame.pts < begin[0].pts);
    out
}

#[test]
fn every_picture_comes_once_and_in_order() {
    for sample in [B_FRAMES, OPEN_GROUPS] {
        let frames = source(sample);
        assert_eq!(frames.len(), 75);
        assert!(b_slices(&frames) > 30);
        assert!(frames.iter().any(|frame| frame.pts != frame.dts));
        let out = whole(&frames);
        assert_eq!(times(&out), sorted_times(&frames));
        assert_eq!(b_slices(&out), 0);
        assert!(out.iter().all(|frame| frame.pts == frame.dts));
        assert!(out[0].keyframe);
    }
}

#[test]
fn pictures_are_those_of_their_time() {
    for sample in [B_FRAMES, OPEN_GROUPS] {
        let frames = source(sample);
        let out = whole(&frames);
        let pictures = decoded(&out);
        let originals = decoded(&frames);
        assert_eq!(pictures.len(), originals.len());
        for (at, (picture, original)) in pictures.iter().zip(&originals).enumerate() {
            let likeness = likeness(picture, original);
            assert!(likeness > 28.0, "{at}: {likeness} dB");
        }
        // The originals were decoded by the same library, so the order is seen from the pictures.
        for pair in pictures.windows(2) {
            assert!(brightness(&pair[1]) > brightness(&pair[0]) + 0.5);
        }
    }
}

#[test]
fn what_comes_out_can_be_sent_to_a_browser() {
    let mut reencoder = Reencoder::new(Settings::default()).expect("good settings");
    let out = push_all(&mut reencoder, &source(B_FRAMES));
    let id = records::profile_level_id(&out[0].config).expect("parses");
    // Constrained Baseline (66 with the second constraint), level 1.1 to 1.3 at this size.
    assert_eq!(id >> 16, 66);
    assert_eq!(id >> 14 & 1, 1);
    assert!((11..=13).contains(&(id & 0xff)), "{id:06x}");
    assert_eq!(records::size(&out[0].config), Some((192, 108)));
    assert_eq!(records::reorder_depth(&out[0].config), Some(0));
    let (sps, _) = sets(&out[0]);
    let colour = h264::sps(&sps).expect("parses").colour.expect("kept");
    assert_eq!((colour.primaries, colour.full_range), (1, false));
    for frame in &out {
        assert!(Arc::ptr_eq(&frame.config, &out[0].config));
        let idr =
            nal::length_prefixed(&frame.data, nal::NalLength::Four).any(|nal| nal[0] & 0x1f == 5);
        assert_eq!(idr, frame.keyframe);
    }
}

#[test]
fn pictures_are_late_by_what_is_coded_ahead() {
    let mut reencoder = reencoder();
    for frame in source(B_FRAMES) {
        reencoder.push(&frame).expect("coded again");
        // x264 codes two pictures ahead at most: one after the B-frames, one between them.
        assert!(waiting(&reencoder.statistics()) <= 2);
    }
}

#[test]
fn keyframes_come_when_due_and_when_asked_for() {
    let frames = source(B_FRAMES);
    let out = push_all(&mut reencoder(), &frames);
    let keys: Vec<_> = (0..out.len()).filter(|at| out[*at].keyframe).collect();
    assert_eq!(keys, [0, 50]);

    let mut reencoder = reencoder();
    push_all(&mut reencoder, &frames[..20]);
    reencoder.request_keyframe();
    let out = push_all(&mut reencoder, &frames[20..30]);
    assert!(out[..2].iter().any(|frame| frame.keyframe));
    assert_eq!(out.iter().filter(|frame| frame.keyframe).count(), 1);
    assert_eq!(reencoder.statistics().keyframes_out, 2);
    // Decoding can begin there.
    let from = out.iter().position(|frame| frame.keyframe).expect("asked");
    assert_eq!(decoded(&out[from..]).len(), out.len() - from);
}

#[test]
fn the_bitrate_follows_the_source() {
    let frames = source(B_FRAMES);
    let mut long = Vec::new();
    for round in 0..4 {
        long.extend(later(&frames, round * 3_000_000_000));
    }
    let kbits = |bitrate| {
        let settings = Settings {
            bitrate,
            ..Settings::default()
        };
        let mut reencoder = Reencoder::new(settings).expect("good settings");
        push_all(&mut reencoder, &long);
        let statistics = reencoder.statistics();
        (statistics.source_bitrate / 1000, statistics.bitrate / 1000)
    };
    let follow = |least, most| Bitrate::FollowSource { least, most };
    let (source, own) = kbits(follow(10_000, 8_000_000));
    assert!((40..140).contains(&source), "{source}");
    assert!(
        (source * 4 / 5..source * 3 / 2).contains(&own),
        "{own} of {source}"
    );
    let (_, least) = kbits(follow(300_000, 8_000_000));
    assert!((200..=330).contains(&least), "{least}");
    let (_, fixed) = kbits(Bitrate::Fixed(60_000));
    assert!((30..=80).contains(&fixed), "{fixed}");
}

#[test]
fn statistics_count_all_of_it() {
    let frames = source(B_FRAMES);
    let mut reencoder = Reencoder::new(Settings {
        clock: Some(clock),
        ..Settings::default()
    })
    .expect("good settings");
    let out = push_all(&mut reencoder, &frames);
    let statistics = reencoder.statistics();
    assert_eq!(statistics.pictures_in, 75);
    assert_eq!(statistics.pictures_out, out.len() as u64);
    assert_eq!((statistics.dropped, statistics.corrupt), (0, 0));
    assert_eq!(statistics.size, Some((192, 108)));
    assert!(!statistics.decode_time.is_zero() && !statistics.encode_time.is_zero());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock that a program would give"
)]
fn clock() -> Instant {
    Instant::now()
}

#[test]
fn it_can_go_to_another_thread() {
    fn sent<T: Send>(_: &T) {}
    sent(&reencoder());
}
