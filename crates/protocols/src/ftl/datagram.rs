//! What a datagram is: ping, sender report or RTP (RFC 3550).

/// Payload type with which clients ping, in the byte where RTP has marker and payload type.
const PING: u8 = 250;
/// RTCP packet type of a sender report.
const SENDER_REPORT: u8 = 200;
const SENDER_REPORT_LEN: usize = 28;
/// Longest ping that is echoed; clients send 24 bytes.
const MAX_PING: usize = 64;

/// A datagram of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// To be sent back as it is.
    Ping,
    /// The client's clocks.
    SenderReport(SenderReport),
    /// A packet of media.
    Rtp(Rtp<'a>),
}

/// A sender report (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Whose.
    pub ssrc: u32,
    /// NTP time, Q32.32.
    pub ntp: u64,
    /// The RTP timestamp of the same moment.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of payload sent so far.
    pub octets: u32,
}

/// A packet of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtp<'a> {
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp: of video the time of decoding, at 90 kHz.
    pub timestamp: u32,
    /// Synchronization source. Only together with the sender's address does it tell a stream:
    /// one channel's video has the SSRC of the next channel's audio.
    pub ssrc: u32,
    /// Payload without padding.
    pub payload: &'a [u8],
}

/// Tells what a datagram is; `None` for anything that is no such thing.
pub fn classify(datagram: &[u8]) -> Option<Datagram<'_>> {
    let (&first, &second) = (datagram.first()?, datagram.get(1)?);
    if first >> 6 != 2 {
        return None;
    }
    match second {
        PING => (datagram.len() <= MAX_PING).then_some(Datagram::Ping),
        SENDER_REPORT => sender_report(datagram).map(Datagram::SenderReport),
        _ => rtp(datagram).map(Datagram::Rtp),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn sender_report(bytes: &[u8]) -> Option<SenderReport> {
    if bytes.len() != SENDER_REPORT_LEN {
        return None;
    }
    Some(SenderReport {
        ssrc: u32_at(bytes, 4)?,
        ntp: u64::from(u32_at(bytes, 8)?) << 32 | u64::from(u32_at(bytes, 12)?),
        timestamp: u32_at(bytes, 16)?,
        packets: u32_at(bytes, 20)?,
        octets: u32_at(bytes, 24)?,
    })
}

pub(crate) fn rtp(bytes: &[u8]) -> Option<Rtp<'_>> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let sequence = bytes.get(2..)?.first_chunk()?;
    let mut payload = bytes.get(12 + 4 * usize::from(first & 0x0f)..)?;
    if first & 0x10 != 0 {
        let words = payload.get(2..)?.first_chunk()?;
        payload = payload.get(4 + 4 * usize::from(u16::from_be_bytes(*words))..)?;
    }
    if first & 0x20 != 0 {
        let padding = usize::from(*payload.last()?);
        payload = payload.get(..payload.len().checked_sub(padding.max(1))?)?;
    }
    Some(Rtp {
        payload_type: second & 0x7f,
        marker: second & 0x80 != 0,
        sequence: u16::from_be_bytes(*sequence),
        timestamp: u32_at(bytes, 4)?,
        ssrc: u32_at(bytes, 8)?,
        payload,
    })
}
