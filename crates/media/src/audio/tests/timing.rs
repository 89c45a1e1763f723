//! What a bridge does where the source's timestamps do not simply go on.

use std::time::Duration;

use super::*;

/// Two seconds of a tone.
fn track() -> Vec<Frame> {
    let tone = sine(48_000, 1_000.0, 0.5, 2.0);
    aac_track(48_000, &[tone.clone(), tone], MediaTime::ZERO)
}

const MILLISECOND: i64 = 1_000_000;

#[test]
fn a_lost_unit_is_silence_of_its_length() {
    let mut track = track();
    track.remove(40);
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_even(&out, bridge.unit());
        assert_eq!(bridge.stats().concealed, Duration::from_nanos(21_333_333));
        let sound = heard(&out);
        // Unit 40 is heard from sample 39 * 1024; its middle is silent, and around it all is well.
        let quiet = &sound.left[39 * 1024 + 300..40 * 1024 - 100];
        assert!(quiet.iter().all(|sample| sample.abs() < 0.02));
        let (amplitude, phase, _) = measure(&sound.left[43 * 1024..80 * 1024], 43 * 1024, 1_000.0);
        assert!(
            (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.132,
            "{amplitude} {phase}"
        );
    }
}

#[test]
fn no_click_where_something_is_missing_or_repeated() {
    let whole = track();
    let mut torn = whole.clone();
    torn.drain(30..34);
    let mut repeated = whole.clone();
    repeated.insert(30, whole[29].clone());
    for (track, what) in [(torn, "missing"), (repeated, "repeated")] {
        for mut bridge in Bridge::both() {
            let out = bridge.run(&track);
            assert_even(&out, bridge.unit());
            let sound = heard(&out);
            let jump = sound.left[4_800..90_000]
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).abs())
                .fold(0.0, f32::max);
            // The tone itself moves by 0.065 from one sample to the next.
            assert!(jump < 0.1, "{what}: {jump}");
        }
    }
}

#[test]
fn a_repeated_unit_is_heard_once() {
    let mut track = track();
    track.insert(40, track[39].clone());
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_even(&out, bridge.unit());
        assert_eq!(bridge.stats().dropped, Duration::from_nanos(21_333_333));
        let (amplitude, phase, _) =
            measure(&heard(&out).left[60 * 1024..80 * 1024], 60 * 1024, 1_000.0);
        assert!(
            (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.132,
            "{amplitude} {phase}"
        );
    }
}

#[test]
fn a_pause_moves_the_timeline_and_loses_no_sound() {
    let mut track = track();
    for frame in &mut track[50..] {
        frame.pts = frame.pts.shifted(5_000 * MILLISECOND);
        frame.dts = frame.pts;
    }
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        let jumps: Vec<usize> = (1..out.len())
            .filter(|at| out[*at].pts.ticks(RATE) - out[*at - 1].pts.ticks(RATE) != bridge.unit())
            .collect();
        assert_eq!((jumps.len(), bridge.stats().restarts), (1, 1));
        let (before, after) = out.split_at(jumps[0]);
        let resumed = track[50].pts.ticks(RATE);
        let first = after[0].pts.ticks(RATE);
        // The encoder's delay and the resampler's before it.
        assert!(
            (first - resumed).abs() < 1_200,
            "{first} instead of {resumed}"
        );
        let old = heard(before);
        let (amplitude, ..) = measure(&old.left[46 * 1024..48 * 1024], 46 * 1024, 1_000.0);
        assert!((amplitude - 0.5).abs() < 0.02, "{amplitude}");
        let new = heard(after);
        let from = usize::try_from(resumed).expect("after zero") + 4 * 1024;
        let shifted = from - 5 * 48_000;
        let (amplitude, phase, _) = measure(&new.left[from..from + 20_000], shifted, 1_000.0);
        assert!(
            (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.132,
            "{amplitude} {phase}"
        );
    }
}

#[test]
fn a_jump_back_is_followed() {
    let mut track = track();
    for frame in &mut track[50..] {
        frame.pts = frame.pts.shifted(-900 * MILLISECOND);
    }
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_eq!(bridge.stats().restarts, 1);
        let last = out.last().expect("frames came").pts.ticks(RATE);
        let end = track.last().expect("frames went").pts.ticks(RATE);
        assert!((last - end).abs() < 4_800, "{last} instead of {end}");
    }
}

#[test]
fn a_change_of_rate_and_layout_leaves_the_timeline_alone() {
    let first = sine(44_100, 1_000.0, 0.5, 1.0);
    let second = sine(48_000, 1_000.0, 0.5, 1.0);
    let mut track = aac_track(44_100, &[first], MediaTime::ZERO);
    track.truncate(40);
    // The source goes on where its last unit of the old kind ended.
    let end = track[39].pts.ticks(44_100) + 1024;
    let end = MediaTime::from_ticks(end, 44_100);
    let mut next = aac_track(48_000, &[second.clone(), second.clone()], end);
    for frame in &mut next {
        frame.pts = MediaTime::from_ticks(frame.pts.ticks(48_000) + 1024, 48_000);
    }
    let origin = usize::try_from(end.ticks(RATE)).expect("after zero") + 1024;
    track.extend(next);
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_even(&out, bridge.unit());
        assert_eq!(bridge.stats().restarts, 0);
        let sound = heard(&out);
        let (amplitude, phase, _) = measure(&sound.left[20_000..40_000], 20_000, 1_000.0);
        assert!(
            (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.132,
            "{amplitude} {phase}"
        );
        let from = origin + 4_000;
        let (amplitude, phase, _) = measure(&sound.left[from..from + 30_000], 4_000, 1_000.0);
        assert!(
            (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.132,
            "{amplitude} {phase}"
        );
    }
}

#[test]
fn drift_is_followed_without_a_step() {
    // A source whose samples run 200 ppm faster than its timestamps, for a minute.
    let tone = sine(48_000, 1_000.0, 0.5, 60.0);
    let mut track = aac_track(48_000, &[tone], MediaTime::ZERO);
    for frame in &mut track {
        frame.pts = MediaTime((frame.pts.0 as f64 / 1.0002) as i64);
    }
    for mut bridge in Bridge::both() {
        let mut out = Vec::new();
        for frame in &track {
            out.extend(bridge.push(frame).expect("a good frame"));
        }
        assert_even(&out, bridge.unit());
        let stats = bridge.stats();
        assert_eq!(
            (stats.concealed, stats.dropped),
            (Duration::ZERO, Duration::ZERO)
        );
        assert!((stats.correction_ppm + 200.0).abs() < 60.0, "{stats:?}");
        let sound = heard(&out);
        let off = sound.left.len() as f64 / 48.0 - 60_000.0 / 1.0002;
        assert!(off.abs() < 60.0, "{off} ms");
        // The tone is as much higher, and clean.
        let (_, _, ratio) = measure(
            &sound.left[56 * 48_000..58 * 48_000],
            0,
            1_000.0 * (1.0 - stats.correction_ppm * 1e-6),
        );
        assert!(ratio > 30.0, "{ratio} dB");
    }
}

#[test]
fn nothing_is_left_after_finishing() {
    let track = track();
    for mut bridge in Bridge::both() {
        let once = bridge.run(&track);
        assert!(bridge.finish().is_empty());
        let again = bridge.run(&track);
        assert_eq!(once.len(), again.len());
        assert_eq!(once[0].pts, again[0].pts);
    }
}
