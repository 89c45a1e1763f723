//! RTP headers of what we send (RFC 3550, 5.1; RFC 8285, one-byte form).

use inver_media::Extensions;
use str0m::rtp::{Extension, ExtensionMap};

use super::rtcp;

/// Ids that one-byte elements can have.
const IDS: std::ops::RangeInclusive<u8> = 1..=14;

/// Ids of the header extensions that the receiver of a track takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ids {
    pub(crate) mid: Option<u8>,
    pub(crate) audio_level: Option<u8>,
    pub(crate) rotation: Option<u8>,
    pub(crate) capture_time: Option<u8>,
    pub(crate) transport: Option<u8>,
}

impl Ids {
    pub(crate) fn negotiated(map: &ExtensionMap) -> Self {
        let id = |extension| map.id_of(extension).filter(|id| IDS.contains(id));
        Self {
            mid: id(Extension::RtpMid),
            audio_level: id(Extension::AudioLevel),
            rotation: id(Extension::VideoOrientation),
            capture_time: id(Extension::AbsoluteCaptureTime),
            transport: id(Extension::TransportSequenceNumber),
        }
    }
}

/// One header.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) marker_and_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) padded: bool,
    /// Names the track until its stream is known by its source.
    pub(crate) mid: Option<&'a str>,
    pub(crate) transport: Option<u16>,
    pub(crate) extensions: &'a Extensions,
}

impl Header<'_> {
    /// Appends the header.
    pub(crate) fn write(&self, ids: &Ids, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0x80 | u8::from(self.padded) << 5, self.marker_and_type]);
        buffer.extend_from_slice(&self.sequence.to_be_bytes());
        buffer.extend_from_slice(&self.timestamp.to_be_bytes());
        buffer.extend_from_slice(&self.ssrc.to_be_bytes());
        let extension = buffer.len();
        buffer.extend_from_slice(&[0xbe, 0xde, 0, 0]);
        if let (Some(id), Some(number)) = (ids.transport, self.transport) {
            element(buffer, id, &number.to_be_bytes());
        }
        if let (Some(id), Some(mid)) = (ids.mid, self.mid) {
            element(buffer, id, mid.as_bytes());
        }
        if let (Some(id), Some(level)) = (ids.audio_level, self.extensions.audio_level) {
            let speech = u8::from(self.extensions.voice_activity.unwrap_or(false)) << 7;
            element(buffer, id, &[speech | level.unsigned_abs() & 0x7f]);
        }
        if let (Some(id), Some(turns)) = (ids.rotation, self.extensions.rotation) {
            element(buffer, id, &[turns & 3]);
        }
        if let (Some(id), Some(capture)) = (ids.capture_time, self.extensions.capture_time) {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&rtcp::ntp(capture.ntp).to_be_bytes());
            match capture.offset {
                Some(offset) => {
                    value[8..].copy_from_slice(&offset.to_be_bytes());
                    element(buffer, id, &value);
                }
                None => element(buffer, id, &value[..8]),
            }
        }
        let length = buffer.len() - extension - 4;
        if length == 0 {
            buffer.truncate(extension);
            return;
        }
        let words = length.div_ceil(4);
        buffer.resize(extension + 4 + words * 4, 0);
        buffer[extension + 3] = words as u8;
        buffer[start] |= 0x10;
    }
}

fn element(buffer: &mut Vec<u8>, id: u8, value: &[u8]) {
    if (1..=16).contains(&value.len()) {
        buffer.push(id << 4 | (value.len() - 1) as u8);
        buffer.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_fill_whole_words_and_none_leaves_no_block() {
        let mut map = ExtensionMap::empty();
        map.set(3, Extension::TransportSequenceNumber);
        map.set(4, Extension::RtpMid);
        map.set(13, Extension::VideoOrientation);
        let ids = Ids::negotiated(&map);
        let extensions = Extensions {
            rotation: Some(1),
            audio_level: Some(-20),
            ..Extensions::default()
        };
        let mut header = Header {
            marker_and_type: 0x80 | 96,
            sequence: 0x0102,
            timestamp: 5,
            ssrc: 9,
            padded: true,
            mid: Some("0"),
            transport: Some(7),
            extensions: &extensions,
        };
        let mut buffer = Vec::new();
        header.write(&ids, &mut buffer);
        assert_eq!(buffer[..4], [0xb0, 0xe0, 1, 2]);
        assert_eq!(
            buffer[12..],
            [0xbe, 0xde, 0, 2, 0x31, 0, 7, 0x40, b'0', 0xd0, 1, 0],
            "the level has no id and is left out"
        );
        let none = Extensions::default();
        header.mid = None;
        header.transport = None;
        header.padded = false;
        header.extensions = &none;
        buffer.clear();
        header.write(&ids, &mut buffer);
        assert_eq!((buffer.len(), buffer[0]), (12, 0x80));
    }
}
