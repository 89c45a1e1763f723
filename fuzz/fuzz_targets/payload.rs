//! RTP payloads of every codec: what is read out of them, and picture ids that are written in.
//!
//! The first byte chooses the codec by its place in [`Codec::ALL`].
#![cfg_attr(fuzzing, no_main)]

use inver_fuzz::Input;
use inver_media::Codec;
use inver_media::codec::{h264, inspect, vp8, vp9};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = Codec::ALL[usize::from(input.byte()) % Codec::ALL.len()];
    let payload = input.rest();
    let info = inspect(codec, payload);
    assert!(info.temporal < 8 && info.spatial < 8, "layers have 3 bits");
    match codec {
        Codec::Vp8 => {
            let mut written = payload.to_vec();
            vp8::rewrite(&mut written, 0x7abc, 0x5d);
            assert_eq!(written.len(), payload.len());
            assert_eq!(inspect(codec, &written), info, "ids tell nothing else");
            if let Some((id, _, wide)) = vp8::descriptor(&written).and_then(|d| d.picture_id) {
                assert_eq!(id, if wide { 0x7abc } else { 0x3c });
            }
        }
        Codec::Vp9 => {
            let mut written = payload.to_vec();
            vp9::rewrite(&mut written, 0x7abc);
            assert_eq!(written.len(), payload.len());
            assert_eq!(inspect(codec, &written), info, "ids tell nothing else");
            if let Some((id, _, wide)) = vp9::picture_id(&written) {
                assert_eq!(id, if wide { 0x7abc } else { 0x3c });
            }
        }
        Codec::H264 => {
            let _ = h264::sps(payload);
            h264::each_nal(payload, |nal, _| assert!(!nal.is_empty()));
        }
        Codec::Opus | Codec::Aac | Codec::H265 | Codec::Av1 => {}
    }
}
