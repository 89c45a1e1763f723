//! The protocol as a client lives it, in virtual time, and as an attacker tries it.

mod control;
mod datagrams;
mod scenario;

use aws_lc_rs::hmac;

const CHALLENGE: [u8; 128] = {
    let mut bytes = [0; 128];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at * 7 + 3) as u8;
        at += 1;
    }
    bytes
};

/// What a client answers.
fn answer(key: &[u8], challenge: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key);
    hex(hmac::sign(&key, challenge).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ATTRIBUTES: &str = "ProtocolVersion: 0.9\r\n\r\nVendorName: app\r\n\r\nVendorVersion: 1.2\r\n\r\n\
    Video: true\r\n\r\nVideoCodec: H264\r\n\r\nVideoHeight: 720\r\n\r\nVideoWidth: 1280\r\n\r\n\
    VideoPayloadType: 96\r\n\r\nVideoIngestSSRC: 1235\r\n\r\nAudio: true\r\n\r\n\
    AudioCodec: OPUS\r\n\r\nAudioPayloadType: 97\r\n\r\nAudioIngestSSRC: 1234\r\n\r\n";
