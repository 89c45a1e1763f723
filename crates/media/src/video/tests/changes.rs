//! Streams that change, jump, or begin in the middle.

use super::*;
use crate::codec::records;
use crate::video::Error;

#[test]
fn a_stream_that_is_joined_in_the_middle_begins_at_a_keyframe() {
    for sample in [B_FRAMES, OPEN_GROUPS, OPEN_GROUPS_CAVLC] {
        let frames = source(sample);
        let all = sorted_times(&frames);
        let originals = decoded(&frames);
        for from in [1, 4, 9, 14, 24] {
            let mut reencoder = reencoder();
            let out = push_all(&mut reencoder, &frames[from..]);
            let key = frames[from..]
                .iter()
                .find(|frame| frame.keyframe)
                .expect("another group");
            let first = all.iter().position(|pts| *pts == key.pts).expect("there");
            assert_eq!(times(&out), all[first..][..out.len()]);
            let statistics = reencoder.statistics();
            assert_eq!(statistics.corrupt, 0);
            assert_eq!(
                statistics.pictures_out + waiting(&statistics),
                (all.len() - first) as u64,
                "what is shown before the keyframe cannot be decoded, all behind it can"
            );
            assert!(waiting(&statistics) <= 2);
            let pictures = decoded(&out);
            assert_eq!(pictures.len(), out.len());
            for (picture, original) in pictures.iter().zip(&originals[first..]) {
                assert!(likeness(picture, original) > 28.0);
                assert!((brightness(picture) - brightness(original)).abs() < 0.8);
            }
        }
    }
}

#[test]
fn the_size_may_change() {
    let first = source(B_FRAMES);
    let second = later(&source(OPEN_GROUPS), 10_000_000_000);
    let third = later(&first, 20_000_000_000);
    let mut reencoder = reencoder();
    let mut out = push_all(&mut reencoder, &first);
    out.extend(push_all(&mut reencoder, &second));
    out.extend(push_all(&mut reencoder, &third));
    let mut expected = sorted_times(&first);
    expected.extend(sorted_times(&second));
    expected.extend(sorted_times(&third));
    assert_eq!(times(&out), expected[..out.len()]);
    assert!(out.len() >= expected.len() - 2);
    let of = |from: MediaTime, to: MediaTime| {
        out.iter()
            .filter(|frame| (from..to).contains(&frame.pts))
            .collect::<Vec<_>>()
    };
    let end = MediaTime(i64::MAX);
    for (part, size) in [
        (of(first[0].pts, second[0].pts), (192, 108)),
        (of(second[0].pts, third[0].pts), (128, 96)),
        (of(third[0].pts, end), (192, 108)),
    ] {
        assert!(part[0].keyframe);
        assert!(
            part.iter()
                .all(|frame| records::size(&frame.config) == Some(size))
        );
    }
    assert_eq!(reencoder.statistics().dropped, 0);
}

#[test]
fn a_changed_picture_parameter_set_needs_no_keyframe() {
    for (sample, from) in [(B_FRAMES, 0), (OPEN_GROUPS, 25)] {
        let mut frames = source(sample).split_off(from);
        frames.truncate(40);
        // Of the second sample without those that are shown before the keyframe.
        let begin = frames[0].pts;
        frames.retain(|frame| frame.pts >= begin);
        let (sps, pps) = sets(&frames[0]);
        let other = with_id_one(&pps);
        for frame in &mut frames[10..] {
            *frame = with_sets(frame, &[&sps], &[&pps, &other]);
        }
        let mut reencoder = reencoder();
        let out = push_all(&mut reencoder, &frames);
        assert_eq!(times(&out), sorted_times(&frames)[..out.len()]);
        assert_eq!(reencoder.statistics().dropped, 0);
    }
}

/// The picture parameter set with the id 1 ("010") in place of 0 ("1").
fn with_id_one(set: &[u8]) -> Vec<u8> {
    let bits: String = set[1..].iter().map(|byte| format!("{byte:08b}")).collect();
    let bits = format!("010{}000000", bits.strip_prefix('1').expect("id 0"));
    let bytes = bits.as_bytes().chunks_exact(8).map(|byte| {
        let byte = str::from_utf8(byte).expect("digits");
        u8::from_str_radix(byte, 2).expect("binary")
    });
    std::iter::once(set[0]).chain(bytes).collect()
}

#[test]
fn times_that_go_back_begin_anew() {
    let frames = source(B_FRAMES);
    let mut reencoder = reencoder();
    let mut out = push_all(&mut reencoder, &later(&frames, 3_600_000_000_000));
    let first = out.len();
    out.extend(push_all(&mut reencoder, &frames));
    let split = out
        .iter()
        .position(|frame| frame.pts == frames[0].pts)
        .expect("begins anew");
    assert!(split > first, "what waited comes first");
    assert_eq!(split, 75);
    assert!(out[split].keyframe);
    assert_eq!(reencoder.statistics().dropped, 0);
}

#[test]
fn equal_times_are_told_apart_by_dropping_one() {
    let mut frames = source(B_FRAMES);
    let last = frames.len() - 1;
    frames[last].pts = frames[last - 1].pts;
    let mut reencoder = reencoder();
    let out = push_all(&mut reencoder, &frames);
    assert!(times(&out).windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn more_than_the_budget_is_refused_in_words() {
    let frames = source(B_FRAMES);
    let settings = Settings {
        budget: 192 * 108 * 20,
        ..Settings::default()
    };
    let mut reencoder = Reencoder::new(settings).expect("good settings");
    let results: Vec<_> = frames.iter().map(|frame| reencoder.push(frame)).collect();
    assert!(results[..4].iter().all(Result::is_ok) || results[3].is_err());
    let refused = results
        .last()
        .expect("some")
        .clone()
        .expect_err("too large");
    assert_eq!(
        refused,
        Error::TooLarge {
            width: 192,
            height: 108,
            rate: 25,
            budget: 192 * 108 * 20,
        }
    );
    assert!(refused.to_string().contains("192x108 with 25 pictures"));
    let statistics = reencoder.statistics();
    assert_eq!(waiting(&statistics), 0);
    assert_eq!(statistics.pictures_out + statistics.dropped, 75);
    // Slower, the same pictures are within it.
    let mut slow = later(&frames, 100_000_000_000);
    for (at, frame) in (0_i64..).zip(&mut slow) {
        frame.dts = frame.dts.shifted(at * 40_000_000);
        frame.pts = frame.dts.shifted(1_000_000_000);
    }
    let good = slow.iter().filter(|frame| reencoder.push(frame).is_ok());
    assert!(good.count() > 60);
}

#[test]
fn frames_without_time_between_them_are_beyond_any_budget() {
    let mut frames = source(B_FRAMES);
    for frame in &mut frames {
        frame.dts = MediaTime::ZERO;
    }
    let mut reencoder = reencoder();
    let refused = frames.iter().filter(|frame| reencoder.push(frame).is_err());
    assert_eq!(refused.count(), 72);
}

#[test]
fn settings_out_of_range_are_refused() {
    let follow = |least, most| Settings {
        bitrate: Bitrate::FollowSource { least, most },
        ..Settings::default()
    };
    for settings in [
        follow(0, 1_000_000),
        follow(2_000_000, 1_000_000),
        follow(300_000, u32::MAX),
        Settings {
            keyframe_interval: std::time::Duration::ZERO,
            ..Settings::default()
        },
    ] {
        assert!(matches!(Reencoder::new(settings), Err(Error::Settings(_))));
    }
}
