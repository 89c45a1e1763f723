//! What a stranger can send: corrupt units, random bytes, the wrong codec.

use super::*;

fn noise(random: &mut fastrand::Rng, longest: usize) -> Arc<[u8]> {
    (0..random.usize(0..longest))
        .map(|_| random.u8(..))
        .collect()
}

/// A second of a tone in each codec.
fn tracks() -> [Vec<Frame>; 2] {
    let tone = sine(48_000, 1_000.0, 0.5, 1.0);
    [
        aac_track(48_000, &[tone.clone(), tone.clone()], MediaTime::ZERO),
        opus_track(&tone, &tone, MediaTime::ZERO),
    ]
}

#[test]
fn a_corrupt_unit_is_counted_and_concealed() {
    for mut track in tracks() {
        track[20].data = Arc::from([]);
        track[30].data = Arc::from([0xff; 3].as_slice());
        for mut bridge in Bridge::both() {
            let out = bridge.run(&track);
            assert_even(&out, bridge.unit());
            let stats = bridge.stats();
            assert_eq!(stats.corrupt, 2);
            assert_eq!(stats.decoded as usize, track.len() - 2);
            assert!(stats.concealed.as_millis() >= 39, "{stats:?}");
            let (amplitude, phase, _) = measure(&heard(&out).left[36_000..46_000], 36_000, 1_000.0);
            assert!(
                (amplitude - 0.5).abs() < 0.02 && phase.abs() < 0.04,
                "{amplitude} {phase}"
            );
        }
    }
}

#[test]
fn a_source_that_stays_corrupt_is_reported_and_may_recover() {
    for track in tracks() {
        for mut bridge in Bridge::both() {
            let mut reports = 0;
            let mut out = Vec::new();
            for at in 0..140 {
                let mut frame = track[at % 40].clone();
                let length = track[1].pts.0 - track[0].pts.0;
                frame.pts = track[0].pts.shifted(length * at as i64);
                if (10..120).contains(&at) {
                    frame.data = Arc::from([0xff; 3].as_slice());
                }
                match bridge.push(&frame) {
                    Ok(frames) => out.extend(frames),
                    Err(Error::Corrupt { units: 50, .. }) => reports += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(reports, 2);
            assert_even(&out, bridge.unit());
        }
    }
}

#[test]
fn frames_made_before_a_report_are_not_lost() {
    for track in tracks() {
        for mut bridge in Bridge::both() {
            let mut out = Vec::new();
            let unit = track[1].pts.0 - track[0].pts.0;
            let mut late = 0;
            for at in 0..80 {
                let mut frame = track[at % 40].clone();
                if (10..60).contains(&at) {
                    frame.data = Arc::from([]);
                }
                // The unit that is reported comes after a hole of five, which is filled first.
                if at == 59 {
                    late = 5 * unit;
                }
                frame.pts = track[0].pts.shifted(unit * at as i64 + late);
                match bridge.push(&frame) {
                    Ok(frames) => out.extend(frames),
                    Err(error) => assert_eq!(at, 59, "{error}"),
                }
            }
            assert_even(&out, bridge.unit());
        }
    }
}

#[test]
fn corrupt_from_the_first_unit_on_is_no_beginning() {
    for mut track in tracks() {
        for frame in &mut track[..5] {
            frame.data = Arc::from([]);
        }
        for mut bridge in Bridge::both() {
            let out = bridge.run(&track);
            assert_even(&out, bridge.unit());
            let first = out[0].pts.ticks(RATE);
            let good = track[5].pts.ticks(RATE);
            assert!((good - 1_200..=good).contains(&first), "{first} for {good}");
        }
    }
}

#[test]
fn video_and_unknown_configurations_are_refused() {
    let good = &tracks()[0];
    for mut bridge in Bridge::both() {
        let mut frame = good[0].clone();
        frame.config = Arc::new(Config::Vp8);
        let refusal = bridge.push(&frame).expect_err("video is not sound");
        assert_eq!(refusal, Error::NotSound(crate::Codec::Vp8));
        for asc in [vec![], vec![0xff], vec![0xff; 8]] {
            frame.config = Arc::new(Config::Aac { asc });
            let refusal = bridge.push(&frame).expect_err("not a configuration");
            assert!(matches!(refusal, Error::Unsupported { .. }), "{refusal}");
        }
        frame.config = Arc::new(Config::Opus {
            channels: 6,
            pre_skip: 0,
        });
        let refusal = bridge.push(&frame).expect_err("too many channels");
        assert!(refusal.to_string().contains("6 channels"), "{refusal}");
        assert!(!bridge.run(good).is_empty());
    }
}

#[test]
fn bitrates_that_a_codec_does_not_have_are_refused() {
    assert!(ToOpus::new(0).is_err() && ToOpus::new(u32::MAX).is_err());
    assert!(ToAac::new(0).is_err() && ToAac::new(u32::MAX).is_err());
}

#[test]
fn random_bytes_end_nothing() {
    let mut random = fastrand::Rng::with_seed(11);
    let tracks = tracks();
    for _ in 0..20 {
        for mut bridge in Bridge::both() {
            for at in 0..60_i64 {
                let track = &tracks[random.usize(0..2)];
                let mut frame = track[random.usize(0..track.len())].clone();
                frame.pts = MediaTime(at * 20_000_000);
                match random.u8(0..8) {
                    0 => frame.data = noise(&mut random, 2_000),
                    1 => {
                        let mut bytes = frame.data.to_vec();
                        let place = random.usize(0..bytes.len());
                        bytes[place] ^= 1 << random.u8(0..8);
                        frame.data = Arc::from(bytes);
                    }
                    2 => frame.data = frame.data[..random.usize(0..frame.data.len())].into(),
                    3 => frame.pts = MediaTime(random.i64(..)),
                    4 => {
                        let asc = noise(&mut random, 12).to_vec();
                        frame.config = Arc::new(Config::Aac { asc });
                    }
                    _ => {}
                }
                let ended = matches!(bridge.push(&frame), Err(Error::Panicked | Error::Ended));
                assert!(!ended, "the codec panicked");
            }
        }
    }
}

#[test]
fn a_panic_ends_one_bridge_and_is_told() {
    struct Panics(Arc<Config>);
    impl Encoder for Panics {
        fn config(&self) -> &Arc<Config> {
            &self.0
        }
        fn unit_len(&self) -> usize {
            960
        }
        fn delay(&self) -> usize {
            0
        }
        fn encode(&mut self, _: &[f32], _: &[f32]) -> Result<Arc<[u8]>, Fault> {
            panic!("as a library does whose invariant broke")
        }
    }
    let config = Arc::new(Config::Opus {
        channels: 2,
        pre_skip: 0,
    });
    let mut bridge = crate::audio::to_opus::with_encoder(Box::new(Panics(config)));
    let track = &tracks()[1];
    let first = track.iter().find_map(|frame| bridge.push(frame).err());
    assert_eq!(first, Some(Error::Panicked));
    assert_eq!(bridge.push(&track[0]), Err(Error::Ended));
}
