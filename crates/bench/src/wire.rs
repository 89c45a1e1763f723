//! What RTP headers (RFC 3550, 5.1) tell without decryption.

use inver_media::Unwrapper;

use crate::sequence::{Arrival, Arrivals};

/// Streams counted per viewer at most: sound, picture, and a few after the server changed SSRC.
const MAX_STREAMS: usize = 8;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A media packet.
    Media {
        /// Its stream.
        ssrc: u32,
        /// Its number.
        sequence: u16,
    },
    /// A retransmission (RFC 4588).
    Retransmission,
    /// Padding that finds out what the way carries.
    Probe,
    /// STUN, DTLS, RTCP.
    Other,
}

/// Payload types that carry retransmissions, from a session description.
#[derive(Debug, Clone)]
pub(crate) struct PayloadTypes {
    retransmission: [bool; 128],
}

impl PayloadTypes {
    pub(crate) fn of(sdp: &str) -> Self {
        let mut retransmission = [false; 128];
        for line in sdp.lines() {
            let Some((number, name)) = line
                .strip_prefix("a=rtpmap:")
                .and_then(|map| map.split_once(' '))
            else {
                continue;
            };
            let is_rtx = name
                .get(..4)
                .is_some_and(|n| n.eq_ignore_ascii_case("rtx/"));
            if let (true, Ok(number)) = (is_rtx, number.parse::<usize>())
                && let Some(entry) = retransmission.get_mut(number)
            {
                *entry = true;
            }
        }
        Self { retransmission }
    }

    /// Tells what a datagram is (RFC 7983, RFC 5761).
    pub(crate) fn classify(&self, datagram: &[u8]) -> Wire {
        let [first, second, high, low, _, _, _, _, s0, s1, s2, s3, ..] = *datagram else {
            return Wire::Other;
        };
        if !(128..192).contains(&first) || (192..224).contains(&second) {
            return Wire::Other;
        }
        let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
        let padded = first & 0x20 != 0;
        match (self.retransmission[usize::from(second & 0x7f)], padded) {
            (true, false) => Wire::Retransmission,
            (true, true) => Wire::Probe,
            (false, true) if ssrc == 0 => Wire::Probe,
            (false, _) => Wire::Media {
                ssrc,
                sequence: u16::from_be_bytes([high, low]),
            },
        }
    }
}

/// Media packets as they came, before anything was recovered.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: Vec<(u32, Unwrapper<16>, Arrivals)>,
}

impl Streams {
    pub(crate) fn note(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        let at = match self.streams.iter().position(|(known, ..)| *known == ssrc) {
            Some(at) => at,
            None if self.streams.len() == MAX_STREAMS => return Arrival::Old,
            None => {
                self.streams
                    .push((ssrc, Unwrapper::default(), Arrivals::default()));
                self.streams.len() - 1
            }
        };
        let (_, unwrapper, arrivals) = &mut self.streams[at];
        arrivals.note(unwrapper.extend(u64::from(sequence)))
    }

    pub(crate) fn expected(&self) -> u64 {
        self.streams.iter().map(|(.., a)| a.expected()).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.streams.iter().map(|(.., a)| a.lost()).sum()
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.streams.iter().map(|(.., a)| a.duplicates()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
                       a=rtpmap:111 opus/48000/2\r\n";

    fn packet(first: u8, payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![first, payload_type];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[7; 30]);
        packet
    }

    #[test]
    fn datagrams_are_told_apart() {
        let types = PayloadTypes::of(SDP);
        let media = Wire::Media {
            ssrc: 9,
            sequence: 500,
        };
        assert_eq!(types.classify(&packet(0x90, 0x80 | 96, 500, 9)), media);
        assert_eq!(types.classify(&packet(0x80, 111, 500, 9)), media);
        let retransmission = packet(0x90, 97, 1, 2);
        assert_eq!(types.classify(&retransmission), Wire::Retransmission);
        assert_eq!(types.classify(&packet(0xb0, 97, 1, 2)), Wire::Probe);
        assert_eq!(types.classify(&packet(0xa0, 96, 1, 0)), Wire::Probe);
        assert_eq!(
            types.classify(&packet(0x81, 205, 1, 2)),
            Wire::Other,
            "RTCP"
        );
        assert_eq!(types.classify(&packet(0, 1, 1, 2)), Wire::Other, "STUN");
        assert_eq!(types.classify(&packet(23, 254, 1, 2)), Wire::Other, "DTLS");
        assert_eq!(types.classify(&[0x80, 96, 0]), Wire::Other);
    }

    #[test]
    fn streams_are_counted_apart_and_over_the_wrap() {
        let mut streams = Streams::default();
        for sequence in (65_500..65_536).chain(0..50) {
            if sequence != 65_510 && sequence != 20 {
                streams.note(1, sequence as u16);
            }
            streams.note(2, sequence as u16);
        }
        assert_eq!((streams.expected(), streams.lost()), (172, 2));
        for ssrc in 100..200 {
            streams.note(ssrc, 1);
        }
        assert_eq!(streams.expected(), 172 + MAX_STREAMS as u64 - 2);
    }
}
