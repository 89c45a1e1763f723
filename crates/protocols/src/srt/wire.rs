//! Packets of SRT: the header, data, and every control packet but the insides of handshakes and
//! key material (draft-sharabayko-srt, section 3). Reads only what the datagram holds, copies
//! nothing, and never keeps state.

use thiserror::Error;

/// Bytes of the header that every packet begins with.
pub(super) const HEADER: usize = 16;

/// Loss reports hold at most this many words: a datagram of 1472 bytes cannot hold more.
pub(super) const MAX_REPORT_WORDS: usize = 360;

const CONTROL: u32 = 0x8000_0000;
const RANGE: u32 = 0x8000_0000;

/// Why a datagram is not a packet of SRT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum WireError {
    #[error("a packet needs {needed} bytes, there are {length}")]
    Short { needed: usize, length: usize },
}

/// Which key a payload is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFlag {
    /// Not encrypted.
    Clear,
    /// With the even key.
    Even,
    /// With the odd key.
    Odd,
    /// Both bits: only key material says this, a payload that does cannot be read.
    Both,
}

impl KeyFlag {
    pub(super) fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Clear,
            1 => Self::Even,
            2 => Self::Odd,
            _ => Self::Both,
        }
    }

    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Clear => 0,
            Self::Even => 1,
            Self::Odd => 2,
            Self::Both => 3,
        }
    }
}

/// A packet as read from a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// The sender's clock in microseconds since its start, 32 bits that wrap.
    pub(super) timestamp: u32,
    /// The socket that it is for, 0 for a handshake with a listener.
    pub(super) destination: u32,
    pub(super) body: Body<'a>,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Data(Data<'a>),
    /// The handshake's own bytes, see `handshake`.
    Handshake(&'a [u8]),
    KeepAlive,
    Ack(Ack),
    Nak(LossList<'a>),
    Shutdown,
    AckAck {
        number: u32,
    },
    /// The sender will not send these again: first and last, both inclusive.
    DropRequest {
        message: u32,
        first: u32,
        last: u32,
    },
    /// New keys in mid-stream, see `key_material`.
    KeyRequest(&'a [u8]),
    KeyResponse(&'a [u8]),
    /// A control packet that has no meaning here.
    Other,
}

/// A data packet without its timestamp and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data<'a> {
    pub(super) sequence: u32,
    pub(super) message: u32,
    pub(super) key: KeyFlag,
    pub(super) retransmitted: bool,
    pub(super) payload: &'a [u8],
}

/// An acknowledgement; a light one has no number and no details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) number: u32,
    /// The first sequence number that is not acknowledged.
    pub(super) sequence: u32,
    pub(super) details: Option<AckDetails>,
}

/// What a full acknowledgement tells besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AckDetails {
    /// Microseconds.
    pub(super) rtt: u32,
    /// Microseconds.
    pub(super) variance: u32,
    /// Packets for which the receiver has room.
    pub(super) available: u32,
    /// Packets per second.
    pub(super) packet_rate: u32,
    /// Bytes per second.
    pub(super) byte_rate: u32,
}

/// The words of a loss report; reading it yields inclusive ranges of wire sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LossList<'a>(&'a [u8]);

impl Iterator for LossList<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        let first = u32::from_be_bytes(*word);
        if first & RANGE == 0 {
            return Some((first, first));
        }
        // A range without its end names one packet at least.
        let first = first & !RANGE;
        let Some((word, rest)) = self.0.split_first_chunk::<4>() else {
            return Some((first, first));
        };
        self.0 = rest;
        Some((first, u32::from_be_bytes(*word) & !RANGE))
    }
}

/// The big-endian word at a byte offset.
pub(super) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The socket that a datagram is for; 0 asks a listener for a connection.
///
/// `None` for what is too short to be a packet. A shell that serves many connections on one UDP
/// socket finds the connection by this and by the source address.
#[must_use]
pub fn destination(datagram: &[u8]) -> Option<u32> {
    word(datagram, 12)
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Unknown control packets are [`Body::Other`], not errors.
    pub(super) fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let short = |needed| WireError::Short {
            needed,
            length: datagram.len(),
        };
        let field = |offset| word(datagram, offset).ok_or(short(HEADER));
        let (first, second) = (field(0)?, field(4)?);
        let (timestamp, destination) = (field(8)?, field(12)?);
        let rest = datagram.get(HEADER..).ok_or(short(HEADER))?;
        let body = if first & CONTROL == 0 {
            Body::Data(Data {
                sequence: first,
                message: second & 0x03ff_ffff,
                key: KeyFlag::from_bits(second >> 27),
                retransmitted: second & 0x0400_0000 != 0,
                payload: rest,
            })
        } else {
            let kind = (first >> 16) & 0x7fff;
            let inside = |offset| word(rest, offset).ok_or(short(HEADER + offset + 4));
            match (kind, first & 0xffff) {
                (0, _) => Body::Handshake(rest),
                (1, _) => Body::KeepAlive,
                (2, _) => Body::Ack(Ack {
                    number: second,
                    sequence: inside(0)? & !CONTROL,
                    details: ack_details(rest),
                }),
                (3, _) => Body::Nak(LossList(rest)),
                (5, _) => Body::Shutdown,
                (6, _) => Body::AckAck { number: second },
                (7, _) => Body::DropRequest {
                    message: second,
                    first: inside(0)? & !CONTROL,
                    last: inside(4)? & !CONTROL,
                },
                (0x7fff, 3) => Body::KeyRequest(rest),
                (0x7fff, 4) => Body::KeyResponse(rest),
                _ => Body::Other,
            }
        };
        Ok(Self {
            timestamp,
            destination,
            body,
        })
    }

    /// The datagram of this packet.
    pub(super) fn write(&self) -> Vec<u8> {
        let (first, second) = match self.body {
            Body::Data(data) => (
                data.sequence & !CONTROL,
                // One packet is one message: both boundary bits.
                0xc000_0000
                    | data.key.bits() << 27
                    | u32::from(data.retransmitted) << 26
                    | data.message & 0x03ff_ffff,
            ),
            Body::Handshake(_) => (CONTROL, 0),
            Body::KeepAlive => (CONTROL | 1 << 16, 0),
            Body::Ack(ack) => (CONTROL | 2 << 16, ack.number),
            Body::Nak(_) => (CONTROL | 3 << 16, 0),
            Body::Shutdown => (CONTROL | 5 << 16, 0),
            Body::AckAck { number } => (CONTROL | 6 << 16, number),
            Body::DropRequest { message, .. } => (CONTROL | 7 << 16, message),
            Body::KeyRequest(_) => (CONTROL | 0x7fff << 16 | 3, 0),
            Body::KeyResponse(_) => (CONTROL | 0x7fff << 16 | 4, 0),
            // A congestion warning, the one kind that nobody acts on.
            Body::Other => (CONTROL | 4 << 16, 0),
        };
        let payload = match self.body {
            Body::Data(data) => data.payload,
            Body::Handshake(bytes) | Body::KeyRequest(bytes) | Body::KeyResponse(bytes) => bytes,
            Body::Nak(list) => list.0,
            _ => &[],
        };
        let mut out = Vec::with_capacity(HEADER + payload.len().max(28));
        for value in [first, second, self.timestamp, self.destination] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        out.extend_from_slice(payload);
        let mut push = |value: u32| out.extend_from_slice(&value.to_be_bytes());
        match self.body {
            Body::Ack(ack) => {
                push(ack.sequence);
                if let Some(details) = ack.details {
                    push(details.rtt);
                    push(details.variance);
                    push(details.available);
                    push(details.packet_rate);
                    // The link's capacity, which is not probed.
                    push(0);
                    push(details.byte_rate);
                }
            }
            Body::DropRequest { first, last, .. } => {
                push(first);
                push(last);
            }
            // Such packets carry one unused word: some receivers take no packet without content.
            Body::KeepAlive | Body::Shutdown | Body::AckAck { .. } => push(0),
            _ => {}
        }
        out
    }
}

/// Everything from the round-trip time to the buffer; rates came later and may be absent.
fn ack_details(content: &[u8]) -> Option<AckDetails> {
    Some(AckDetails {
        rtt: word(content, 4)?,
        variance: word(content, 8)?,
        available: word(content, 12)?,
        packet_rate: word(content, 16).unwrap_or(0),
        byte_rate: word(content, 24).unwrap_or(0),
    })
}

/// The words of a loss report for inclusive ranges of wire sequence numbers, at most
/// [`MAX_REPORT_WORDS`]; says how many ranges it took.
pub(super) fn loss_words(ranges: &[(u32, u32)]) -> (Vec<u8>, usize) {
    let mut words = Vec::new();
    let mut taken = 0;
    for (first, last) in ranges {
        if words.len() / 4 + 2 > MAX_REPORT_WORDS {
            break;
        }
        if first == last {
            words.extend_from_slice(&first.to_be_bytes());
        } else {
            words.extend_from_slice(&(first | RANGE).to_be_bytes());
            words.extend_from_slice(&last.to_be_bytes());
        }
        taken += 1;
    }
    (words, taken)
}

/// A loss report over words made by [`loss_words`].
pub(super) fn loss_list(words: &[u8]) -> LossList<'_> {
    LossList(words)
}

/// Marks a finished data packet as sent again.
pub(super) fn mark_retransmitted(datagram: &mut [u8]) {
    if let Some(byte) = datagram.get_mut(4) {
        *byte |= 0x04;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: Body<'_>) -> Packet<'_> {
        Packet {
            timestamp: 0x0102_0304,
            destination: 77,
            body,
        }
    }

    #[test]
    fn every_packet_is_read_as_it_was_written() {
        let (words, taken) = loss_words(&[(5, 5), (7, 9), (0x7fff_ffff, 2)]);
        assert_eq!(taken, 3);
        let bodies = [
            Body::Data(Data {
                sequence: 0x7fff_ffff,
                message: 0x03ff_ffff,
                key: KeyFlag::Odd,
                retransmitted: true,
                payload: b"payload",
            }),
            Body::Handshake(&[1; 48]),
            Body::KeepAlive,
            Body::Ack(Ack {
                number: 0,
                sequence: 9,
                details: None,
            }),
            Body::Ack(Ack {
                number: 3,
                sequence: 9,
                details: Some(AckDetails {
                    rtt: 1,
                    variance: 2,
                    available: 3,
                    packet_rate: 4,
                    byte_rate: 5,
                }),
            }),
            Body::Nak(loss_list(&words)),
            Body::Shutdown,
            Body::AckAck { number: 8 },
            Body::DropRequest {
                message: 1,
                first: 2,
                last: 3,
            },
            Body::KeyRequest(&[2; 8]),
            Body::KeyResponse(&[3; 8]),
            Body::Other,
        ];
        for body in bodies {
            let datagram = packet(body).write();
            assert_eq!(Packet::parse(&datagram), Ok(packet(body)));
            assert_eq!(destination(&datagram), Some(77));
        }
    }

    #[test]
    fn bytes_stand_where_the_draft_puts_them() {
        let datagram = packet(Body::Data(Data {
            sequence: 5,
            message: 1,
            key: KeyFlag::Even,
            retransmitted: false,
            payload: &[0x47],
        }))
        .write();
        let expected = [0, 0, 0, 5, 0xc8, 0, 0, 1, 1, 2, 3, 4, 0, 0, 0, 77, 0x47];
        assert_eq!(datagram, expected);
        let mut again = datagram;
        mark_retransmitted(&mut again);
        assert_eq!(again[4], 0xcc);
    }

    #[test]
    fn loss_ranges_are_read_with_and_without_their_end() {
        let (words, _) = loss_words(&[(1, 1), (3, 6)]);
        assert_eq!(words, [0, 0, 0, 1, 0x80, 0, 0, 3, 0, 0, 0, 6]);
        let read: Vec<_> = loss_list(&words).collect();
        assert_eq!(read, [(1, 1), (3, 6)]);
        let read: Vec<_> = loss_list(&[0x80, 0, 0, 3, 9, 9]).collect();
        assert_eq!(read, [(3, 3)]);
    }

    #[test]
    fn a_report_is_no_larger_than_a_datagram() {
        let ranges: Vec<_> = (0..1000).map(|n| (n * 4, n * 4 + 1)).collect();
        let (words, taken) = loss_words(&ranges);
        assert_eq!(
            (words.len() / 4, taken),
            (MAX_REPORT_WORDS, MAX_REPORT_WORDS / 2)
        );
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let whole = packet(Body::DropRequest {
            message: 1,
            first: 2,
            last: 3,
        })
        .write();
        for length in 0..whole.len() {
            assert!(Packet::parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
