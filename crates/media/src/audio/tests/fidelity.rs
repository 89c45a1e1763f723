//! A tone keeps its frequency, level and phase through a bridge.

use super::*;

const TONE: f64 = 1_000.0;

/// Asserts that what is heard of `frames` is the tone at `level` on both sides, in phase.
fn assert_tone(frames: &[Frame], level: (f64, f64), what: &str) {
    let sound = heard(frames);
    for (side, level) in [(&sound.left, level.0), (&sound.right, level.1)] {
        // The beginning is the codecs' own.
        let part = &side[24_000..72_000];
        let (amplitude, phase, ratio) = measure(part, 24_000, TONE);
        if level == 0.0 {
            assert!(amplitude < 0.003, "{what}: {amplitude} on the silent side");
            continue;
        }
        assert!(
            (amplitude / level - 1.0).abs() < 0.03,
            "{what}: {amplitude} not {level}"
        );
        assert!(ratio > 30.0, "{what}: {ratio} dB");
        // One sample, to which times are rounded; one millisecond would be a whole turn.
        assert!(phase.abs() < 0.132, "{what}: {phase} rad");
    }
}

#[test]
fn aac_of_any_rate_and_layout_becomes_the_same_sound() {
    for rate in [16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
        let tone = sine(rate, TONE, 0.5, 2.0);
        let silence = vec![0.0; tone.len()];
        let mono = [tone.clone()];
        let left_only = [tone.clone(), silence.clone()];
        for (planes, level) in [(&mono[..], (0.5, 0.5)), (&left_only[..], (0.5, 0.0))] {
            let track = aac_track(rate, planes, MediaTime::ZERO);
            for mut bridge in Bridge::both() {
                let out = bridge.run(&track);
                assert_even(&out, bridge.unit());
                assert_tone(
                    &out,
                    level,
                    &format!("{rate} Hz, {} channels", planes.len()),
                );
            }
        }
    }
}

#[test]
fn five_one_is_mixed_down_in_proportion() {
    let tone = sine(48_000, TONE, 0.5, 2.0);
    let silence = vec![0.0; tone.len()];
    // Front left is one part of 2.414, the centre 0.707 parts on both sides.
    for (place, level) in [(0, (0.2071, 0.0)), (2, (0.1464, 0.1464)), (3, (0.0, 0.0))] {
        let planes: Vec<Vec<f32>> = (0..6)
            .map(|at| {
                if at == place {
                    tone.clone()
                } else {
                    silence.clone()
                }
            })
            .collect();
        let track = aac_track(48_000, &planes, MediaTime::ZERO);
        for mut bridge in Bridge::both() {
            assert_tone(&bridge.run(&track), level, &format!("channel {place}"));
        }
    }
}

#[test]
fn opus_becomes_the_same_sound() {
    let tone = sine(RATE, TONE, 0.5, 2.0);
    let silence = vec![0.0; tone.len()];
    let track = opus_track(&tone, &silence, MediaTime::ZERO);
    for mut bridge in Bridge::both() {
        let out = bridge.run(&track);
        assert_even(&out, bridge.unit());
        assert_tone(&out, (0.5, 0.0), "opus");
    }
}

#[test]
fn full_level_does_not_end_a_bridge() {
    for rate in [44_100, 48_000] {
        let square: Vec<f32> = (0..2 * rate)
            .map(|at| if at / 50 % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let track = aac_track(rate, &[square.clone(), square], MediaTime::ZERO);
        for mut bridge in Bridge::both() {
            let out = bridge.run(&track);
            assert!(out.len() as i64 * bridge.unit() > 96_000);
        }
    }
}

#[test]
fn high_efficiency_aac_is_read() {
    for v2 in [false, true] {
        let mut options = syom::EncodeOptions::raw()
            .with_bitrate_bps(48_000)
            .with_he(true);
        if v2 {
            options = options.with_he_v2(true);
        }
        let mut encoder = syom::Encoder::new(44_100, 2, &options).expect("settings of HE-AAC");
        let config = Arc::new(Config::Aac {
            asc: encoder.asc().to_vec(),
        });
        let tone = sine(44_100, TONE, 0.5, 2.0);
        let mut track = Vec::new();
        encoder
            .feed(&[&tone, &tone], |frame| {
                // 3018 samples of priming, and 2048 in a unit.
                let pts = MediaTime::from_ticks(track.len() as i64 * 2048 - 3018, 44_100);
                let data = Arc::from(frame.payload);
                let config = Arc::clone(&config);
                track.push(Frame {
                    config,
                    pts,
                    dts: pts,
                    keyframe: true,
                    data,
                });
                Ok(())
            })
            .expect("sound within bounds");
        for mut bridge in Bridge::both() {
            let out = bridge.run(&track);
            assert_even(&out, bridge.unit());
            let sound = heard(&out);
            let (amplitude, _, ratio) = measure(&sound.left[24_000..72_000], 24_000, TONE);
            assert!((amplitude / 0.5 - 1.0).abs() < 0.1, "{v2}: {amplitude}");
            assert!(ratio > 20.0, "{v2}: {ratio} dB");
        }
    }
}
