//! Headers of RTP and the two reports of RTCP that matter here (RFC 3550).

use std::time::Instant;

pub use crate::ftl::{Received, Receiver, Rtp, SenderReport, Settings};

/// Packet type of a sender report.
const SENDER_REPORT: u8 = 200;

/// Packet type of a receiver report.
const RECEIVER_REPORT: u8 = 201;

/// Numbers that a packet may lie behind the last one without being a new beginning.
const MISORDER: u16 = 3000;

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
        name(self.ssrc, &mut out);
        out
    }
}

/// One chunk: CNAME "inver", and the end of the list.
fn name(ssrc: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x81, 202, 0, 3]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[1, 5]);
    out.extend_from_slice(b"inver\0");
}

/// Counts what comes of one track, for reports to its sender (RFC 3550, 6.4.2).
#[derive(Debug, Clone)]
pub struct Reception {
    /// Whose reports they are.
    own: u32,
    rate: u32,
    /// The sender, once a packet came.
    of: Option<Of>,
}

#[derive(Debug, Clone)]
struct Of {
    ssrc: u32,
    /// First and last number, extended.
    first: u32,
    last: u32,
    received: u32,
    /// Both at the last report.
    expected_before: u32,
    received_before: u32,
    /// In ticks, times 16.
    jitter: u32,
    /// Arrival and timestamp of the last packet.
    arrived: (Instant, u32),
    /// The middle of the last sender report's time, and when it came.
    heard: Option<(u32, Instant)>,
}

impl Reception {
    /// A track whose timestamps have `rate` ticks per second; `own` names us in reports.
    pub fn new(own: u32, rate: u32) -> Self {
        Self {
            own,
            rate,
            of: None,
        }
    }

    /// Counts a packet.
    pub fn packet(&mut self, rtp: &Rtp<'_>, now: Instant) {
        let Some(of) = self.of.as_mut().filter(|of| of.ssrc == rtp.ssrc) else {
            self.of = Some(Of::new(rtp, now));
            return;
        };
        let step = rtp.sequence.wrapping_sub(of.last as u16);
        if step < 0x8000 {
            of.last = of.last.wrapping_add(u32::from(step));
        } else if step < u16::MAX - MISORDER {
            self.of = Some(Of::new(rtp, now));
            return;
        }
        of.received = of.received.wrapping_add(1);
        let (before, timestamp) = of.arrived;
        let nanos = now.saturating_duration_since(before).as_nanos();
        let ticks = nanos * u128::from(self.rate) / 1_000_000_000;
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        let sent = rtp.timestamp.wrapping_sub(timestamp);
        #[expect(
            clippy::cast_possible_wrap,
            reason = "the upper half of the ring is the past"
        )]
        let difference = (ticks.wrapping_sub(sent) as i32).unsigned_abs();
        let settled = of.jitter - ((of.jitter + 8) >> 4);
        of.jitter = settled.saturating_add(difference.min(1 << 26));
        of.arrived = (now, rtp.timestamp);
    }

    /// Notes a report of the sender.
    pub fn sender(&mut self, report: &SenderReport, now: Instant) {
        if let Some(of) = self.of.as_mut().filter(|of| of.ssrc == report.ssrc) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the middle 32 bits are told"
            )]
            let middle = (report.ntp >> 16) as u32;
            of.heard = Some((middle, now));
        }
    }

    /// A report of what came until now, with the name that RTCP wants of everybody.
    pub fn report(&mut self, now: Instant) -> Vec<u8> {
        let Some(of) = &mut self.of else {
            let mut out = vec![0x80, RECEIVER_REPORT, 0, 1];
            out.extend_from_slice(&self.own.to_be_bytes());
            name(self.own, &mut out);
            return out;
        };
        let expected = of.last.wrapping_sub(of.first).wrapping_add(1);
        let lost = i64::from(expected) - i64::from(of.received);
        let expected_now = expected.wrapping_sub(of.expected_before);
        let received_now = of.received.wrapping_sub(of.received_before);
        let lost_now = expected_now.saturating_sub(received_now);
        let share = (u64::from(lost_now) << 8).checked_div(u64::from(expected_now));
        let share = u8::try_from(share.unwrap_or(0)).unwrap_or(u8::MAX);
        (of.expected_before, of.received_before) = (expected, of.received);
        let [.., a, b, c] = lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
        let (last, since) = of.heard.map_or((0, 0), |(middle, at)| {
            let since = now.saturating_duration_since(at).as_nanos() * 65_536 / 1_000_000_000;
            (middle, u32::try_from(since).unwrap_or(u32::MAX))
        });
        let mut out = vec![0x81, RECEIVER_REPORT, 0, 7];
        out.extend_from_slice(&self.own.to_be_bytes());
        out.extend_from_slice(&of.ssrc.to_be_bytes());
        out.extend_from_slice(&[share, a, b, c]);
        for word in [of.last, of.jitter >> 4, last, since] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        name(self.own, &mut out);
        out
    }
}

impl Of {
    fn new(rtp: &Rtp<'_>, now: Instant) -> Self {
        // Room below, so that an earlier packet has a number too.
        let first = 0x1_0000 + u32::from(rtp.sequence);
        Self {
            ssrc: rtp.ssrc,
            first,
            last: first,
            received: 1,
            expected_before: 0,
            received_before: 0,
            jitter: 0,
            arrived: (now, rtp.timestamp),
            heard: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_came_is_told_to_the_sender() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let mut sender = Sender::new(96, 7, 0xfffe);
        let mut reception = Reception::new(9, 90_000);
        let none = reception.report(start);
        assert_eq!((none.len(), none[1], none[3]), (24, RECEIVER_REPORT, 1));
        // One of five is lost, while numbers wrap; each comes just in time.
        for index in 0..5_u32 {
            let at = start + Duration::from_millis(u64::from(index) * 40);
            let bytes = sender.packet(b"x", true, index * 3600);
            if index != 2 {
                reception.packet(&packet(&bytes).expect("RTP"), at);
            }
        }
        let report = sender_report(&sender.report(0x1122_3344_5566_7788, 0)).expect("a report");
        reception.sender(&report, start + Duration::from_secs(1));
        let told = reception.report(start + Duration::from_secs(2));
        let word = |at: usize| u32::from_be_bytes(told[at..at + 4].try_into().expect("a word"));
        assert_eq!((told[0], told[1], word(4), word(8)), (0x81, 201, 9, 7));
        assert_eq!(told[12], 51, "a fifth of 256");
        assert_eq!(word(12) & 0xff_ffff, 1, "one is lost");
        assert_eq!(word(16), 0x2_0002, "the last number, extended");
        assert_eq!(word(20), 0, "no jitter");
        assert_eq!((word(24), word(28)), (0x3344_5566, 65_536));
        // The next one tells of what came since.
        let told = reception.report(start + Duration::from_secs(3));
        assert_eq!(told[12], 0);
    }
}
