//! Damage and streams that are not decoded.

use super::*;
use crate::video::Error;
use crate::video::source::{Refused, Sets, Source};

/// Pushes frames, of which some may be damaged; gives what came out and what was refused.
fn survive(frames: &[Frame]) -> (Vec<Frame>, Vec<Error>, Statistics) {
    let mut reencoder = reencoder();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    for frame in frames {
        match reencoder.push(frame) {
            Ok(frames) => out.extend(frames),
            Err(error) => errors.push(error),
        }
    }
    let statistics = reencoder.statistics();
    assert_eq!(statistics.pictures_in, frames.len() as u64);
    assert_eq!(statistics.pictures_out, out.len() as u64);
    assert!(waiting(&statistics) <= 17, "{statistics:?}");
    assert!(times(&out).windows(2).all(|pair| pair[0] < pair[1]));
    (out, errors, statistics)
}

#[test]
fn after_damage_it_goes_on_at_the_next_keyframe() {
    let mut frames = source(B_FRAMES);
    let whole = frames[8].data.to_vec();
    frames[8] = with_data(&frames[8], whole[..whole.len() / 2].to_vec());
    let (out, errors, statistics) = survive(&frames);
    assert_eq!(errors, []);
    assert_eq!(statistics.corrupt, 1);
    let key = frames[25].pts;
    let expected: Vec<_> = sorted_times(&frames)
        .into_iter()
        .filter(|pts| *pts >= key)
        .collect();
    let behind: Vec<_> = out
        .iter()
        .filter(|frame| frame.pts >= key)
        .cloned()
        .collect();
    assert_eq!(times(&behind), expected[..behind.len()]);
    assert!(behind.len() >= 48);
    assert!(statistics.dropped >= 15);
}

#[test]
fn a_lost_frame_puts_no_picture_at_a_wrong_time() {
    let frames = source(B_FRAMES);
    let originals = decoded(&frames);
    let of: std::collections::BTreeMap<_, _> =
        sorted_times(&frames).into_iter().zip(&originals).collect();
    for lost in 1..25 {
        let mut damaged = frames.clone();
        damaged.remove(lost);
        let (out, errors, _) = survive(&damaged);
        assert_eq!(errors, []);
        let pictures = decoded(&out);
        assert_eq!(pictures.len(), out.len());
        for (frame, picture) in out.iter().zip(&pictures) {
            let off = brightness(picture) - brightness(of[&frame.pts]);
            assert!(off.abs() < 0.8, "{lost}: {off} at {:?}", frame.pts);
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    let frames = source(B_FRAMES);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..12 {
        let damaged: Vec<_> = frames
            .iter()
            .map(|frame| {
                let mut data = frame.data.to_vec();
                match random.u8(0..6) {
                    0 => random.fill(&mut data[4..]),
                    1 => {
                        let at = random.usize(4..data.len());
                        data[at] ^= 1 << random.u8(0..8);
                    }
                    2 => data.truncate(random.usize(0..data.len())),
                    3 => {
                        let at = random.usize(5..data.len());
                        random.fill(&mut data[at..]);
                    }
                    _ => {}
                }
                with_data(frame, data)
            })
            .collect();
        let (_, errors, statistics) = survive(&damaged);
        assert_eq!(errors, []);
        assert!(statistics.corrupt > 0);
    }
}

#[test]
fn random_parameter_sets_never_panic() {
    let frames = source(B_FRAMES);
    let (sps, pps) = sets(&frames[0]);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..150 {
        let (mut sps, mut pps) = (sps.clone(), pps.clone());
        for set in [&mut sps, &mut pps] {
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..set.len());
                set[at] ^= 1 << random.u8(0..8);
            }
        }
        let changed: Vec<_> = frames[..8]
            .iter()
            .map(|frame| with_sets(frame, &[&sps], &[&pps]))
            .collect();
        survive(&changed);
    }
}

#[test]
fn a_unit_inside_a_unit_is_not_let_through() {
    let frames = source(B_FRAMES);
    let (sps, _) = sets(&frames[0]);
    let mut nal = vec![0x41, 0x9a, 0x00, 0x00, 0x01];
    nal.extend_from_slice(&sps);
    let mut data = Vec::new();
    nal::push_length_prefixed(&mut data, &nal);
    let hidden = with_data(&frames[1], data);
    let (_, errors, statistics) = survive(&[frames[0].clone(), hidden]);
    assert_eq!((errors.len(), statistics.corrupt), (0, 1));
}

#[test]
fn frames_without_pictures_are_counted() {
    let mut frames = source(B_FRAMES);
    frames[3] = with_data(&frames[3], vec![0, 0, 0, 2, 0x06, 0x80]);
    frames.truncate(4);
    let (_, errors, statistics) = survive(&frames);
    assert_eq!(errors, []);
    assert_eq!((statistics.dropped, statistics.corrupt), (1, 0));
}

/// x264's: 192x112 interlaced, 4:2:2, 10 bits.
const REFUSED: [(&[u8], &str); 3] = [
    (
        &[
            0x67, 0xf4, 0x00, 0x15, 0x91, 0x9b, 0x28, 0x61, 0x1f, 0x89, 0xc0, 0x44, 0x00, 0x00,
            0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x7c, 0x50, 0xa6, 0x58,
        ],
        "its profile is 244",
    ),
    (
        &[
            0x67, 0x7a, 0x00, 0x0b, 0xbc, 0xd9, 0x43, 0x0f, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00,
            0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x14, 0x29, 0x96,
        ],
        "its profile is 122",
    ),
    (
        &[
            0x67, 0x6e, 0x00, 0x0b, 0xa6, 0xcd, 0x94, 0x30, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03,
            0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x42, 0x99, 0x60,
        ],
        "its profile is 110",
    ),
];

#[test]
fn what_is_not_decoded_is_refused_in_words() {
    let frame = source(B_FRAMES).remove(0);
    let (sps, pps) = sets(&frame);
    for (set, cause) in REFUSED {
        let (_, errors, statistics) = survive(&[with_sets(&frame, &[set], &[&pps])]);
        assert_eq!(errors, [Error::Unsupported(cause.to_owned())]);
        assert_eq!(statistics.dropped, 1);
    }
    // Two slice groups: id 0, set 0, two flags, one group more than one.
    let groups = [0x68, 0b1100_0100, 0xff, 0x80];
    let (_, errors, _) = survive(&[with_sets(&frame, &[&sps], &[&groups])]);
    assert!(errors[0].to_string().contains("slice groups"));
    let (_, errors, _) = survive(&[with_sets(&frame, &[&sps[..6]], &[&pps])]);
    assert!(errors[0].to_string().contains("cannot be read"));
    let mut other = frame;
    other.config = Arc::new(Config::Vp8);
    let (_, errors, _) = survive(&[other]);
    assert!(matches!(errors[..], [Error::NotH264(_)]));
}

#[test]
fn orders_that_the_decoder_would_mistake_are_refused() {
    let frames = source(B_FRAMES);
    let slice = |referenced: bool, slice_type: &str, order: u32| {
        // First macroblock and parameter set 0, frame number 1, and bits enough behind.
        let bits = format!("1{slice_type}10001{order:06b}");
        let value = u32::from_str_radix(&format!("{bits:1<32}"), 2).expect("binary");
        let mut nal = vec![if referenced { 0x41 } else { 0x01 }];
        nal.extend_from_slice(&value.to_be_bytes());
        let mut data = Vec::new();
        nal::push_length_prefixed(&mut data, &nal);
        with_data(&frames[1], data)
    };
    let mut known = Source::new(&frames[0].config)
        .expect("taken")
        .expect("sets");
    let mut told = |group: &[Frame], times: usize| {
        known.forget();
        let results = group
            .iter()
            .cycle()
            .take(group.len() * times)
            .map(|one| known.unit(one, Sets::None, false));
        let refused: Vec<_> = results.filter_map(Result::err).collect();
        assert!(
            refused
                .iter()
                .all(|one| matches!(one, Refused::Unsupported(_)))
        );
        refused.len()
    };
    let (b, p) = ("010", "1");
    // P4 B2 b1 b3, three times: steps of one, and the order among the B pictures is not theirs.
    let pyramid = [
        slice(true, p, 4),
        slice(true, b, 2),
        slice(false, b, 1),
        slice(false, b, 3),
    ];
    assert!(told(&pyramid, 3) > 0);
    assert_eq!(told(&pyramid, 1), 0, "one group may be damage");
    // Steps of two, or B pictures in their own order, are told apart.
    let even = [slice(true, p, 8), slice(true, b, 4), slice(false, b, 2)];
    assert_eq!(told(&even, 9), 0);
    let flat = [slice(true, p, 3), slice(false, b, 1), slice(false, b, 2)];
    assert_eq!(told(&flat, 9), 0);
}

#[test]
fn a_stream_that_becomes_decodable_goes_on() {
    let frames = source(B_FRAMES);
    let (_, pps) = sets(&frames[0]);
    let mut stream: Vec<_> = frames[..25]
        .iter()
        .map(|frame| with_sets(frame, &[REFUSED[0].0], &[&pps]))
        .collect();
    stream.extend_from_slice(&frames[25..]);
    let (out, errors, _) = survive(&stream);
    assert_eq!(errors.len(), 25);
    assert_eq!(out[0].pts, frames[25].pts);
    assert!(out.len() >= 48);
}

#[test]
fn frames_before_any_parameter_set_wait() {
    let mut frames = source(B_FRAMES);
    for frame in &mut frames[..25] {
        *frame = with_sets(frame, &[], &[]);
    }
    let (out, errors, statistics) = survive(&frames);
    assert_eq!(errors, []);
    assert_eq!(statistics.dropped, 25);
    assert_eq!(out[0].pts, frames[25].pts);
}
