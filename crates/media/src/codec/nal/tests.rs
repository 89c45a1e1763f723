//! Parameter sets and units as encoders write them, and what is cut short.

use super::*;

const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
];
/// The same with another width.
const WIDER_SPS: [u8; 24] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83,
];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const IDR: [u8; 8] = [0x65, 0x88, 0x84, 0x00, 0x47, 0xda, 0xe3, 0x98];
const P: [u8; 6] = [0x41, 0x9a, 0x23, 0x6c, 0x45, 0x7f];
const B: [u8; 6] = [0x41, 0x9e, 0x41, 0x78, 0x85, 0x3f];

fn list(units: AnnexB<'_>) -> Vec<Vec<u8>> {
    units.map(<[u8]>::to_vec).collect()
}

#[test]
fn start_codes_of_both_lengths_split_units() {
    let stream = [
        0xff, 0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 0, 0, 3, 0, 0, 0, 1, 0, 0, 1, 0x41, 2, 0, 0,
    ];
    assert_eq!(
        list(annex_b(&stream)),
        [vec![9, 0xf0], vec![0x65, 0, 0, 3], vec![0x41, 2]]
    );
    assert!(list(annex_b(&[0, 0, 2, 7])).is_empty());
    assert!(list(annex_b(&[0, 0, 1])).is_empty());
}

#[test]
fn random_units_survive_start_codes_and_lengths() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..500 {
        // Bytes of 4 and above only, so that no unit holds a start code or ends in zeros; then
        // a few single zeros inside.
        let units: Vec<Vec<u8>> = (0..random.usize(1..8))
            .map(|_| {
                let mut unit: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(4..)).collect();
                if unit.len() > 3 {
                    unit[1] = 0;
                }
                unit
            })
            .collect();
        let mut stream = Vec::new();
        push_annex_b(&mut stream, units.iter().map(Vec::as_slice));
        assert_eq!(list(annex_b(&stream)), units);
        let mut data = Vec::new();
        for unit in &units {
            push_length_prefixed(&mut data, unit);
        }
        let mut back = length_prefixed(&data, NalLength::Four);
        assert!(back.by_ref().map(<[u8]>::to_vec).eq(units));
        assert!(!back.broken());
    }
}

#[test]
fn a_length_past_the_end_ends_the_iteration_and_is_told() {
    let mut units = length_prefixed(&[0, 2, 5, 6, 0, 9, 1], NalLength::Two);
    assert_eq!(units.next(), Some(&[5, 6][..]));
    assert_eq!(units.next(), None);
    assert!(units.broken());
    let mut units = length_prefixed(&[1, 7, 0, 1, 8], NalLength::One);
    assert_eq!(units.next(), Some(&[7][..]));
    assert_eq!(units.next(), Some(&[8][..]));
    assert_eq!(units.next(), None);
    assert!(!units.broken());
}

fn unit(sets: &mut ParameterSets, nals: &[&[u8]]) -> AccessUnit {
    sets.access_unit(nals.iter().copied())
}

#[test]
fn parameter_sets_leave_the_data_and_enter_the_configuration() {
    let mut sets = ParameterSets::new(Codec::H264).expect("has NAL units");
    assert!(!sets.complete());
    let key = unit(&mut sets, &[&[9, 0xf0], &SPS, &PPS, &IDR, &[12, 0xff]]);
    assert!(key.keyframe && key.picture && !key.b_slices);
    assert_eq!(key.data, [&[0, 0, 0, 8][..], &IDR].concat());
    let expected = Config::H264 {
        sps: vec![SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    };
    assert_eq!(*key.config, expected);
    assert!(sets.complete());
    let p = unit(&mut sets, &[&P]);
    assert!(!p.keyframe && !p.b_slices && !p.reordered);
    assert!(Arc::ptr_eq(&p.config, &key.config));
    let again = unit(&mut sets, &[&SPS, &PPS, &IDR]);
    assert!(Arc::ptr_eq(&again.config, &key.config));
    let b = unit(&mut sets, &[&B]);
    assert!(b.b_slices && b.reordered);
}

#[test]
fn a_changed_picture_replaces_the_sets() {
    let mut sets = ParameterSets::new(Codec::H264).expect("has NAL units");
    let other_pps = [0x68, 0x4b, 0xe3, 0xcb, 0x22, 0xc0];
    unit(&mut sets, &[&SPS, &PPS, &other_pps, &IDR]);
    let Config::H264 { pps, .. } = &**sets.config() else {
        unreachable!("H.264 stays H.264");
    };
    assert_eq!(pps.len(), 2);
    let wider = unit(&mut sets, &[&WIDER_SPS, &PPS, &IDR]);
    let expected = Config::H264 {
        sps: vec![WIDER_SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    };
    assert_eq!(*wider.config, expected);
}

#[test]
fn sets_alone_make_no_picture() {
    let mut sets = ParameterSets::new(Codec::H264).expect("has NAL units");
    let unit = unit(&mut sets, &[&SPS, &PPS]);
    assert!(!unit.picture && !unit.keyframe && unit.data.is_empty());
    assert!(sets.complete());
}

#[test]
fn an_exact_recovery_point_is_a_keyframe_and_a_gradual_one_is_not() {
    let mut sets = ParameterSets::new(Codec::H264).expect("has NAL units");
    // Recovery point SEI with recovery_frame_cnt 0 ("1") behind another message.
    let exact = [6, 5, 2, 0xaa, 0xbb, 6, 1, 0xc4, 0x80];
    assert!(unit(&mut sets, &[&exact, &P]).keyframe);
    // recovery_frame_cnt 3 ("00100").
    let gradual = [6, 6, 1, 0x24, 0x80];
    assert!(!unit(&mut sets, &[&gradual, &P]).keyframe);
}

#[test]
fn pictures_of_h265_tell_their_order() {
    let mut sets = ParameterSets::new(Codec::H265).expect("has NAL units");
    let pps = [0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];
    let key = unit(&mut sets, &[&pps, &[0x28, 0x01, 0xaf, 0x08, 0x58]]);
    assert!(key.keyframe && !key.b_slices);
    let p = unit(&mut sets, &[&[0x02, 0x01, 0xd0, 0x19, 0x5f]]);
    assert!(p.picture && !p.keyframe && !p.b_slices);
    let b = unit(&mut sets, &[&[0x02, 0x01, 0xe0, 0x44, 0x97]]);
    assert!(b.b_slices && !b.reordered);
    let leading = unit(&mut sets, &[&[0x10, 0x01, 0xe0, 0x44, 0x97]]);
    assert!(leading.reordered);
}

#[test]
fn floods_of_sets_stay_bounded() {
    let mut sets = ParameterSets::new(Codec::H264).expect("has NAL units");
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let nals: Vec<Vec<u8>> = (0..50)
            .map(|_| {
                let mut nal: Vec<u8> = (0..random.usize(1..6000)).map(|_| random.u8(..)).collect();
                nal[0] = [0x67, 0x68, 0x65][random.usize(..3)];
                nal
            })
            .collect();
        sets.access_unit(nals.iter().map(Vec::as_slice));
        let Config::H264 { sps, pps } = &**sets.config() else {
            unreachable!("H.264 stays H.264");
        };
        assert!(sps.len() <= MAX_SETS && pps.len() <= MAX_SETS);
        assert!(sps.iter().chain(pps).all(|set| set.len() <= MAX_SET_LEN));
    }
}

#[test]
fn a_transport_stream_gets_delimiters_and_parameter_sets() {
    let config = Config::H264 {
        sps: vec![SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    };
    let mut data = Vec::new();
    push_length_prefixed(&mut data, &IDR);
    let stream = to_annex_b(&config, true, &data);
    let expected: [&[u8]; 4] = [&[9, 0xf0], &SPS, &PPS, &IDR];
    assert!(annex_b(&stream).eq(expected));
    assert_eq!(annex_b(&to_annex_b(&config, false, &data)).count(), 2);
}
