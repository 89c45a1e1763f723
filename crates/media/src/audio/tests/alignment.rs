//! A burst is heard at its own time, within a fraction of a millisecond.

use super::*;

/// When the burst is heard, in seconds on the track's timeline.
const AT: f64 = 0.7;

/// Twenty milliseconds of sound that no delay of itself resembles, for a sample at `seconds` from
/// its middle: a sweep from 500 Hz to 5 kHz under a raised cosine.
fn burst(seconds: f64) -> f64 {
    let half = 0.01;
    if seconds.abs() >= half {
        return 0.0;
    }
    let envelope = 0.5 + 0.5 * (std::f64::consts::PI * seconds / half).cos();
    let phase = std::f64::consts::TAU * (2_750.0 * seconds + 112_500.0 * seconds * seconds);
    0.6 * envelope * phase.sin()
}

fn track_with_burst(rate: u32) -> Vec<f32> {
    (0..rate * 3 / 2)
        .map(|at| burst(f64::from(at) / f64::from(rate) - AT) as f32)
        .collect()
}

/// By how many samples at [`RATE`] the burst in `sound` is late, by the best correlation.
fn lateness(sound: &[f32]) -> i64 {
    let expected = (AT * f64::from(RATE)) as i64;
    let template: Vec<f64> = (-480..480)
        .map(|at| burst(f64::from(at) / f64::from(RATE)))
        .collect();
    let correlation = |lag: i64| -> f64 {
        let first = usize::try_from(expected + lag - 480).expect("after zero");
        let part = sound.iter().skip(first);
        part.zip(&template)
            .map(|(sample, expected)| f64::from(*sample) * expected)
            .sum()
    };
    (-4_800..=4_800)
        .map(|lag| (correlation(lag), lag))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("not empty")
        .1
}

fn assert_in_time(track: &[Frame], start: MediaTime, what: &str) {
    for mut bridge in Bridge::both() {
        let mut out = bridge.run(track);
        for frame in &mut out {
            frame.pts = frame.pts.shifted(-start.0);
        }
        let late = lateness(&heard(&out).left);
        // 0.1 ms.
        assert!(late.abs() <= 5, "{what}: late by {late} samples");
    }
}

#[test]
fn aac_is_in_time_whatever_its_rate_and_layout() {
    let odd = MediaTime(1_234_567_891);
    for (rate, channels) in [
        (44_100, 1),
        (48_000, 2),
        (48_000, 6),
        (22_050, 2),
        (96_000, 2),
    ] {
        let mut planes = vec![track_with_burst(rate); channels];
        if let Some(bass) = planes.get_mut(3) {
            bass.fill(0.0);
        }
        for start in [MediaTime::ZERO, odd] {
            let track = aac_track(rate, &planes, start);
            assert_in_time(&track, start, &format!("{rate} Hz, {channels} channels"));
        }
    }
}

#[test]
fn opus_is_in_time() {
    let burst = track_with_burst(RATE);
    let track = opus_track(&burst, &burst, MediaTime::ZERO);
    assert_in_time(&track, MediaTime::ZERO, "opus");
}

#[test]
fn a_hole_before_the_burst_does_not_move_it() {
    let burst = track_with_burst(44_100);
    let mut track = aac_track(44_100, &[burst.clone(), burst], MediaTime::ZERO);
    track.drain(10..13);
    assert_in_time(&track, MediaTime::ZERO, "with a hole");
}

#[test]
fn whole_milliseconds_move_it_by_less_than_one() {
    let burst = track_with_burst(44_100);
    let mut track = aac_track(44_100, &[burst], MediaTime::ZERO);
    for frame in &mut track {
        frame.pts = MediaTime(frame.pts.0.div_euclid(1_000_000) * 1_000_000);
    }
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_even(&out, bridge.unit());
        let late = lateness(&heard(&out).left);
        assert!(late.abs() <= 48, "late by {late} samples");
        assert_eq!(bridge.stats().correction_ppm, 0.0);
    }
}
