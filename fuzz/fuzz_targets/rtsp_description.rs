//! Descriptions of RTSP publishers: what is understood is understood again once it is written.
#![cfg_attr(fuzzing, no_main)]

use inver_protocols::rtsp::sdp::{Format, format_of, parse, write};
use inver_protocols::rtsp::{Authorization, rtp};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let _ = rtp::packet(data);
    let _ = rtp::sender_report(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Authorization::parse(text);
    }
    let Ok(tracks) = parse(data) else {
        return;
    };
    assert!(tracks.len() <= 8);
    let formats: Vec<Format> = tracks
        .iter()
        .filter_map(|track| track.format.as_ref().ok())
        .map(|format| format_of(&format.config, format.payload_type))
        .collect();
    if formats.is_empty() {
        return;
    }
    let text = write(&formats, 1);
    let again = parse(text.as_bytes()).expect("what is written is a description");
    assert_eq!(again.len(), formats.len());
}
