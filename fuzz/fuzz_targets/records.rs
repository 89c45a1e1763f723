//! Configuration records of containers: read, written, read again.
//!
//! The first byte chooses the record.
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::Input;
use inver_media::codec::nal::{MAX_SET_LEN, parameter_sets};
use inver_media::codec::records;
use inver_media::{Codec, Config};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte() % 6;
    let record = input.rest();
    let read = |record: &[u8]| match choice {
        0 => records::avc(record).map(|read| read.config),
        1 => records::hevc(record).map(|read| read.config),
        2 => records::av1(record),
        3 => records::vpc(record),
        4 => records::opus_head(record),
        _ => records::dops(record),
    };
    let Ok(config) = read(record) else {
        return;
    };
    let (codec, written) = match choice {
        0 => (Codec::H264, records::write_avc(&config)),
        1 => (Codec::H265, records::write_hevc(&config)),
        2 => (Codec::Av1, records::write_av1(&config)),
        3 => (Codec::Vp9, records::write_vpc(&config, Some((1280, 720)))),
        4 => (Codec::Opus, records::write_opus_head(&config)),
        _ => (Codec::Opus, records::write_dops(&config)),
    };
    assert_eq!(config.codec(), codec);
    check(&config, record.len());
    // Sets that cannot be read make no record; the others survive.
    if let Some(written) = written {
        assert_eq!(read(&written).as_ref(), Ok(&config));
    }
}

fn check(config: &Config, len: usize) {
    for set in parameter_sets(config) {
        assert!((1..=MAX_SET_LEN).contains(&set.len()));
    }
    let sum: usize = parameter_sets(config).map(<[u8]>::len).sum();
    assert!(sum <= len);
    if let Config::Opus { channels, .. } = config {
        assert!((1..=2).contains(channels));
    }
    let codecs = records::codecs(config, Some((640, 360)));
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    };
    assert!(codecs.is_none_or(|text| text.len() < 64 && plain(&text)));
    assert!(records::profile_level_id(config).is_none_or(|id| id < 1 << 24));
    let _ = records::size(config);
    let _ = records::reorder_depth(config);
}
