//! What is announced and described.

use std::sync::Arc;

use inver_media::{Codec, Config};

use super::ANNOUNCED;
use crate::rtsp::sdp::{PAYLOAD_TYPE, SdpError, format_of, parse, write};

#[test]
fn what_ffmpeg_announces_is_understood() {
    let tracks = parse(ANNOUNCED.as_bytes()).expect("a description");
    let controls: Vec<_> = tracks.iter().map(|track| track.control.as_str()).collect();
    assert_eq!(controls, ["streamid=0", "streamid=1"]);
    let video = tracks[0].format.as_ref().expect("H264");
    let Config::H264 { sps, pps } = &*video.config else {
        panic!("{:?}", video.config);
    };
    assert_eq!((sps.len(), pps.len()), (1, 1));
    let audio = tracks[1].format.as_ref().expect("AAC");
    assert_eq!((audio.rate, audio.payload_type), (44_100, 97));
    assert_eq!(audio.config.codec(), Codec::Aac);
}

#[test]
fn what_is_described_is_understood() {
    let configs = [
        Config::H264 {
            sps: vec![vec![0x67, 0x42, 0xc0, 0x1e]],
            pps: vec![vec![0x68, 0xcb]],
        },
        Config::H265 {
            vps: vec![vec![0x40, 1]],
            sps: vec![vec![0x42, 1]],
            pps: vec![vec![0x44, 1]],
        },
        Config::Vp8,
        Config::Vp9 { profile: 2 },
        Config::Av1 {
            sequence_header: Vec::new(),
        },
        Config::Aac {
            asc: vec![0x12, 0x10],
        },
        Config::Opus {
            channels: 2,
            pre_skip: 312,
        },
    ];
    let formats = configs.map(|config| format_of(&Arc::new(config), PAYLOAD_TYPE));
    let text = write(&formats, 1);
    let read = parse(text.as_bytes()).expect("a description");
    for (index, (read, written)) in read.iter().zip(&formats).enumerate() {
        assert_eq!(read.format.as_ref(), Ok(written));
        assert_eq!(read.control, format!("trackID={index}"));
    }
}

#[test]
fn what_is_not_carried_is_said() {
    let refused = [
        ("m=audio 0 RTP/AVP 0\r\n", "payload type 0"),
        ("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 PCMU/8000\r\n", "PCMU"),
        ("m=video 0 RTP/AVP 300\r\n", "no payload type"),
        (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/1\r\n",
            "clock rate",
        ),
        (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/48000\r\n",
            "48000 Hz",
        ),
        (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=2\r\n",
            "interleaved",
        ),
        (
            "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\n",
            "sizelength=13",
        ),
    ];
    for (text, said) in refused {
        let tracks = parse(text.as_bytes()).expect("a description");
        let why = tracks[0].format.as_ref().expect_err(text);
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(parse(b"v=0\r\n"), Err(SdpError::NoMedia));
    assert_eq!(parse(&[0xff]), Err(SdpError::NoText));
    assert_eq!(
        parse("m=x\r\n".repeat(9).as_bytes()),
        Err(SdpError::TooLong)
    );
}
