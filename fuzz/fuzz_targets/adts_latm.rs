//! Framings and configurations of AAC.
//!
//! The first byte chooses: an `AudioSpecificConfig`, ADTS frames, or LATM elements behind their
//! `AudioSyncStream` headers.
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::Input;
use inver_media::codec::aac::{AudioSpecificConfig, adts, latm};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => {
            if let Ok(config) = AudioSpecificConfig::parse(input.rest()) {
                check(&config);
            }
        }
        1 => frames(input.rest()),
        _ => elements(input.rest()),
    }
}

/// What was read means the same when it is written and read again.
fn check(config: &AudioSpecificConfig) {
    assert!(config.sample_rate > 0 && config.output_rate() > 0);
    assert!((480..=1024).contains(&config.samples_per_unit()));
    assert!(config.output_channels() >= config.channels);
    if let Ok(written) = config.write() {
        assert_eq!(AudioSpecificConfig::parse(&written), Ok(*config));
    }
    if let Ok(header) = adts::header(config, 300) {
        let read = adts::Header::parse(&header).expect("our own header is readable");
        assert_eq!((read.frame_len, read.header_len, read.units), (307, 7, 1));
        assert_eq!(read.object_type, config.object_type);
        assert_eq!(read.sample_rate, config.sample_rate);
        assert_eq!(read.channel_config, config.channel_config);
    }
}

fn frames(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let Some(header) = adts::Header::parse(bytes) else {
            bytes = &bytes[1..];
            continue;
        };
        assert!((7..=9).contains(&header.header_len));
        assert!(header.frame_len >= header.header_len && header.frame_len <= adts::MAX_FRAME);
        assert!((1..=4).contains(&header.units));
        if let Ok(config) = header.config() {
            check(&config);
        }
        bytes = bytes.get(header.frame_len..).unwrap_or(&[]);
    }
}

fn elements(mut bytes: &[u8]) {
    let mut reader = latm::Reader::default();
    while !bytes.is_empty() {
        let Some(len) = latm::frame_len(bytes) else {
            bytes = &bytes[1..];
            continue;
        };
        assert!((3..=latm::MAX_ELEMENT).contains(&len));
        let element = &bytes[3.min(bytes.len())..len.min(bytes.len())];
        if let Ok(units) = reader.element(element) {
            let sum: usize = units.iter().map(Vec::len).sum();
            assert!(sum <= element.len(), "{sum} of {}", element.len());
            let (config, asc) = reader.config().expect("units have a configuration");
            assert!(asc.len() <= latm::MAX_ELEMENT);
            check(config);
        }
        bytes = bytes.get(len..).unwrap_or(&[]);
    }
}
