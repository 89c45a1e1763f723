//! Records as encoders write them, there and back, and what is cut short.

use super::*;

/// x264 High 1.3, 320x180, two B-frames.
const AVCC: &str = "0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f14299600100\
                    0668ebe3cb22c0fdf8f800";
/// x265 Main 10, 320x180; the record's SEI array taken out.
const HVCC: &str = "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff0220\
                    0000030090000003000003003c959009a10001002a420101022000000300900000030000\
                    03003ca00a080b9f6d96564924caf0168080000003008000000f04a2000100074401c172\
                    b46240";
/// libaom, 320x180, ten bits.
const AV1C: &str = "81004c000a0b000000043cfeccdaf94040";
/// libvpx, profile 0.
const VPCC: &str = "01000000000b820202020000";
const DOPS: &str = "000201380000bb80000000";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn an_avc_record_survives_the_way_there_and_back() {
    let bytes = hex(AVCC);
    let record = avc(&bytes).expect("parses");
    assert_eq!(record.length, NalLength::Four);
    assert_eq!(write_avc(&record.config), Some(bytes));
    assert_eq!(size(&record.config), Some((320, 180)));
    assert_eq!(reorder_depth(&record.config), Some(2));
    assert_eq!(codecs(&record.config, None).as_deref(), Some("avc1.64000d"));
}

#[test]
fn an_avc_record_of_the_baseline_profile_ends_behind_its_sets() {
    let config = Config::H264 {
        sps: vec![hex("6742c01ed900a047fe8400000fa40003a980c58ba8")],
        pps: vec![hex("68ce3c80")],
    };
    let bytes = write_avc(&config).expect("writes");
    assert_eq!(bytes.len(), 6 + 2 + 21 + 1 + 2 + 4);
    assert_eq!(avc(&bytes).expect("parses").config, config);
}

#[test]
fn the_length_of_nal_units_is_told_and_three_is_refused() {
    let mut bytes = hex(AVCC);
    bytes[4] = 0xfd;
    assert_eq!(avc(&bytes).expect("parses").length, NalLength::Two);
    bytes[4] = 0xfc;
    assert_eq!(avc(&bytes).expect("parses").length, NalLength::One);
    bytes[4] = 0xfe;
    assert_eq!(avc(&bytes), Err(RecordError::LengthSize(3)));
}

#[test]
fn an_hevc_record_survives_the_way_there_and_back() {
    let bytes = hex(HVCC);
    let record = hevc(&bytes).expect("parses");
    assert_eq!(write_hevc(&record.config), Some(bytes));
    assert_eq!(size(&record.config), Some((320, 180)));
    assert_eq!(reorder_depth(&record.config), Some(2));
    assert_eq!(
        codecs(&record.config, None).as_deref(),
        Some("hvc1.2.4.L60.90")
    );
}

#[test]
fn an_av1_record_survives_the_way_there_and_back() {
    let bytes = hex(AV1C);
    let config = av1(&bytes).expect("parses");
    assert_eq!(write_av1(&config), Some(bytes));
    assert_eq!(size(&config), Some((320, 180)));
    assert_eq!(codecs(&config, None).as_deref(), Some("av01.0.00M.10"));
    let unsized_header = av1(&hex("81004c0008000000043cfeccdaf94040"));
    assert_eq!(unsized_header, Ok(config));
    let eight = av1(&hex("81000c000a0b000000043cfeccdaf90040")).expect("parses");
    assert_eq!(codecs(&eight, None).as_deref(), Some("av01.0.00M.08"));
}

#[test]
fn a_vp9_record_is_read_with_and_without_version() {
    let bytes = hex(VPCC);
    let config = vpc(&bytes).expect("parses");
    assert_eq!(config, Config::Vp9 { profile: 0 });
    assert_eq!(vpc(&bytes[4..]), Ok(Config::Vp9 { profile: 0 }));
    assert_eq!(
        vpc(&hex("010a820202020000")),
        Ok(Config::Vp9 { profile: 1 })
    );
    let written = write_vpc(&config, Some((320, 180))).expect("writes");
    assert_eq!(vpc(&written), Ok(config.clone()));
    assert_eq!(written[4..7], [0, 11, 0x82]);
    assert_eq!(
        codecs(&config, Some((1920, 1080))).as_deref(),
        Some("vp09.00.41.08")
    );
}

#[test]
fn opus_records_survive_the_way_there_and_back() {
    let bytes = hex(DOPS);
    let config = dops(&bytes).expect("parses");
    assert_eq!(
        config,
        Config::Opus {
            channels: 2,
            pre_skip: 312
        }
    );
    assert_eq!(write_dops(&config), Some(bytes));
    let head = write_opus_head(&config).expect("writes");
    assert_eq!(head.len(), 19);
    assert_eq!(opus_head(&head), Ok(config));
    let mut six = head;
    six[9] = 6;
    assert_eq!(opus_head(&six), Err(RecordError::Channels(6)));
}

#[test]
fn sound_is_named() {
    let name = |asc: &[u8]| codecs(&Config::Aac { asc: asc.to_vec() }, None);
    assert_eq!(name(&[0x12, 0x10]).as_deref(), Some("mp4a.40.2"));
    assert_eq!(name(&[0x2b, 0x92]).as_deref(), Some("mp4a.40.5"));
    assert_eq!(name(&[0xf9, 0x40]).as_deref(), Some("mp4a.40.42"));
    assert_eq!(name(&[]), None);
}

#[test]
fn records_that_end_early_or_are_garbled_are_errors_and_never_panic() {
    type Read = fn(&[u8]) -> bool;
    let records: [(&str, Read); 5] = [
        (AVCC, |bytes| avc(bytes).is_ok()),
        (HVCC, |bytes| hevc(bytes).is_ok()),
        (AV1C, |bytes| av1(bytes).is_ok()),
        (VPCC, |bytes| vpc(bytes).is_ok()),
        (DOPS, |bytes| dops(bytes).is_ok()),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for (text, read) in records {
        let whole = hex(text);
        assert!(read(&whole));
        assert!(!read(&whole[..3]));
        for len in 0..whole.len() {
            let _ = read(&whole[..len]);
        }
        for _ in 0..5_000 {
            let mut garbled = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..garbled.len());
                garbled[at] = random.u8(..);
            }
            let _ = read(&garbled);
            for config in [avc(&garbled), hevc(&garbled)]
                .into_iter()
                .flatten()
                .map(|record| record.config)
                .chain(av1(&garbled))
            {
                let _ = (write_avc(&config), write_hevc(&config), write_av1(&config));
                let _ = (size(&config), reorder_depth(&config), codecs(&config, None));
            }
        }
    }
}
