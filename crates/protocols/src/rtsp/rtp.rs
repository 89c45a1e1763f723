//! Headers of RTP and the two reports of RTCP that matter here (RFC 3550).

pub use crate::ftl::{Received, Receiver, Rtp, SenderReport, Settings};

/// Packet type of a sender report.
const SENDER_REPORT: u8 = 200;

/// Reads a packet of media; `None` for anything else.
pub fn packet(data: &[u8]) -> Option<Rtp<'_>> {
    if *data.first()? >> 6 != 2 {
        return None;
    }
    crate::ftl::rtp(data)
}

/// The sender report that a compound packet begins with.
pub fn sender_report(data: &[u8]) -> Option<SenderReport> {
    // Reception reports may stand inside it, and descriptions behind it.
    let first = *data.first()?;
    if first >> 6 != 2 || *data.get(1)? != SENDER_REPORT || data.len() < 28 {
        return None;
    }
    let word = |at: usize| {
        let bytes = data.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    Some(SenderReport {
        ssrc: word(4)?,
        ntp: u64::from(word(8)?) << 32 | u64::from(word(12)?),
        timestamp: word(16)?,
        packets: word(20)?,
        octets: word(24)?,
    })
}

/// Numbers the packets of one track and counts them for its reports.
#[derive(Debug, Clone)]
pub struct Sender {
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    packets: u32,
    octets: u32,
}

impl Sender {
    /// A track; `sequence` is the number of its first packet.
    pub fn new(payload_type: u8, ssrc: u32, sequence: u16) -> Self {
        Self {
            payload_type: payload_type & 0x7f,
            ssrc,
            sequence,
            packets: 0,
            octets: 0,
        }
    }

    /// The number of the next packet.
    pub fn sequence(&self) -> u16 {
        self.sequence
    }

    /// Puts the header before a payload.
    pub fn packet(&mut self, payload: &[u8], marker: bool, timestamp: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + payload.len());
        out.extend_from_slice(&[0x80, u8::from(marker) << 7 | self.payload_type]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        let len = u32::try_from(payload.len()).unwrap_or(0);
        self.octets = self.octets.wrapping_add(len);
        out
    }

    /// A report that `timestamp` was at `ntp` (Q32.32), with the name that RTCP wants of everybody.
    pub fn report(&self, ntp: u64, timestamp: u32) -> Vec<u8> {
        let mut out = vec![0x80, SENDER_REPORT, 0, 6];
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&ntp.to_be_bytes());
        out.extend_from_slice(&timestamp.to_be_bytes());
        out.extend_from_slice(&self.packets.to_be_bytes());
        out.extend_from_slice(&self.octets.to_be_bytes());
        // One chunk: CNAME "inver", and the end of the list.
        out.extend_from_slice(&[0x81, 202, 0, 3]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&[1, 5]);
        out.extend_from_slice(b"inver\0");
        out
    }
}
