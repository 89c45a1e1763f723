//! NAL units: start codes, lengths, and what access units become.
//!
//! The first byte chooses the codec and the length before each unit; then access units, each
//! behind two bytes of length. Each is read with start codes and with lengths.
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::{Input, check_frame};
use inver_media::codec::nal::{
    MAX_NALS, NalLength, ParameterSets, annex_b, length_prefixed, push_annex_b,
    push_length_prefixed, to_annex_b,
};
use inver_media::{Codec, Frame, MediaTime};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let codec = if choice & 1 == 0 {
        Codec::H264
    } else {
        Codec::H265
    };
    let length = [NalLength::One, NalLength::Two, NalLength::Four][usize::from(choice >> 1) % 3];
    let mut sets = ParameterSets::new(codec).expect("a codec of NAL units");
    while !input.is_empty() {
        let bytes = input.block();
        let units: Vec<&[u8]> = annex_b(bytes).collect();
        for unit in &units {
            assert!(!unit.is_empty() && !unit.ends_with(&[0]));
            assert!(!unit.windows(3).any(|window| window == [0, 0, 1]));
        }
        let mut written = Vec::new();
        push_annex_b(&mut written, units.iter().copied());
        assert!(annex_b(&written).eq(units.iter().copied()));
        let lengths = length_prefixed(bytes, length);
        let long: Vec<&[u8]> = lengths.collect();
        let sum: usize = long.iter().map(|unit| unit.len() + length.bytes()).sum();
        assert!(sum <= bytes.len());
        access_unit(codec, &mut sets, &units);
        access_unit(codec, &mut sets, &long);
    }
}

fn access_unit(codec: Codec, sets: &mut ParameterSets, units: &[&[u8]]) {
    let unit = sets.access_unit(units.iter().copied());
    assert_eq!(unit.config.codec(), codec);
    assert_eq!(sets.config(), &unit.config);
    assert!(!unit.keyframe || unit.picture);
    if unit.data.is_empty() {
        return;
    }
    let frame = Frame {
        config: unit.config.clone(),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: unit.keyframe,
        data: unit.data.clone().into(),
    };
    check_frame(&frame);
    assert!(length_prefixed(&unit.data, NalLength::Four).count() <= MAX_NALS);
    // Once more, it stays what it is.
    let mut again = sets.clone();
    let second = again.access_unit(length_prefixed(&unit.data, NalLength::Four));
    assert_eq!((&second.data, second.keyframe), (&unit.data, unit.keyframe));
    assert_eq!(second.config, unit.config);
    // Start codes cannot tell zeros at a unit's end from those before the next.
    let mut plain = Vec::new();
    let mut told = true;
    for nal in length_prefixed(&unit.data, NalLength::Four) {
        push_length_prefixed(&mut plain, nal);
        told &= !nal.ends_with(&[0]) && !nal.windows(3).any(|window| window == [0, 0, 1]);
    }
    assert_eq!(plain, unit.data);
    if told {
        let stream = to_annex_b(&unit.config, false, &unit.data);
        let third = sets.clone().access_unit(annex_b(&stream));
        assert_eq!(third.data, unit.data);
    }
}
