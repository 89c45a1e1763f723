//! RTCP of a sender: reports out, feedback in.
//!
//! Reads compound packets without allocation, passing over what it does not know. RFC 3550 (6),
//! RFC 4585 (6), RFC 5104 (4.3.1), draft-alvestrand-rmcat-remb.

use std::time::{Duration, SystemTime};

/// Packets in one compound packet that are looked at. A browser sends fewer than ten.
const MAX_PACKETS: usize = 64;

/// Seconds between the epochs of NTP and Unix.
const NTP_OFFSET: u64 = 2_208_988_800;

/// A report about one stream that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceptionReport {
    pub(crate) ssrc: u32,
    /// Share lost since the last report, of 256.
    pub(crate) lost: u8,
    /// Middle bits of the NTP time of the last sender report that it got; 0: none.
    pub(crate) last_report: u32,
    /// Time since then in 1/65536 s.
    pub(crate) delay: u32,
}

/// Something that the receiver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feedback<'a> {
    Report(ReceptionReport),
    /// The stream, and pairs of packet id and bit mask in network order.
    Nack(u32, &'a [u8]),
    /// A keyframe of the stream is wanted (PLI or FIR).
    Keyframe(u32),
    /// Body of transport-wide feedback, from the base sequence number on.
    Transport(&'a [u8]),
    /// Estimated maximum bitrate in bits per second.
    Remb(u64),
}

/// Calls `take` for each piece of feedback in a compound packet. What is cut short or unknown is
/// passed over.
pub(crate) fn each(mut compound: &[u8], mut take: impl FnMut(Feedback<'_>)) {
    for _ in 0..MAX_PACKETS {
        let [first, kind, l0, l1, ..] = *compound else {
            return;
        };
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let Some(packet) = compound.get(..length) else {
            return;
        };
        compound = &compound[length..];
        if first >> 6 != 2 {
            return;
        }
        let count = first & 0x1f;
        match (kind, count) {
            (200, _) => reports(packet.get(28..), count, &mut take),
            (201, _) => reports(packet.get(8..), count, &mut take),
            (205, 1) => {
                if let (Some(ssrc), Some(pairs)) = (word(packet, 8), packet.get(12..)) {
                    take(Feedback::Nack(ssrc, pairs));
                }
            }
            (205, 15) => {
                if let Some(body) = packet.get(12..) {
                    take(Feedback::Transport(body));
                }
            }
            (206, 1) => {
                if let Some(ssrc) = word(packet, 8) {
                    take(Feedback::Keyframe(ssrc));
                }
            }
            (206, 4) => {
                // The streams stand in entries of eight bytes behind an unused field.
                for entry in packet.get(12..).unwrap_or_default().chunks_exact(8) {
                    if let Some(ssrc) = word(entry, 0) {
                        take(Feedback::Keyframe(ssrc));
                    }
                }
            }
            (206, 15) => {
                if packet.get(12..16) == Some(b"REMB")
                    && let Some(value) = word(packet, 16)
                {
                    let exponent = (value >> 18) & 0x3f;
                    let mantissa = u64::from(value & 0x3_ffff);
                    let fits = exponent <= mantissa.leading_zeros();
                    take(Feedback::Remb(if fits || mantissa == 0 {
                        mantissa.checked_shl(exponent).unwrap_or(0)
                    } else {
                        u64::MAX
                    }));
                }
            }
            _ => {}
        }
    }
}

fn reports(blocks: Option<&[u8]>, count: u8, take: &mut impl FnMut(Feedback<'_>)) {
    let blocks = blocks.unwrap_or_default().chunks_exact(24);
    for block in blocks.take(usize::from(count)) {
        if let (Some(ssrc), Some(last_report), Some(delay)) =
            (word(block, 0), word(block, 16), word(block, 20))
        {
            take(Feedback::Report(ReceptionReport {
                ssrc,
                lost: block[4],
                last_report,
                delay,
            }));
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The sequence numbers that a generic NACK asks for, in its order.
pub(crate) fn nacked(pairs: &[u8]) -> impl Iterator<Item = u16> + '_ {
    pairs.chunks_exact(4).flat_map(|pair| {
        let first = u16::from_be_bytes([pair[0], pair[1]]);
        let mask = u16::from_be_bytes([pair[2], pair[3]]);
        std::iter::once(first).chain(
            (0..16_u16)
                .filter(move |bit| mask & (1 << bit) != 0)
                .map(move |bit| first.wrapping_add(bit + 1)),
        )
    })
}

/// NTP time in units of 2^-32 s (RFC 3550, 4).
pub(crate) fn ntp(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(NTP_OFFSET) << 32 | fraction
}

/// Round-trip time from a report that came at `now`, in NTP time (RFC 3550, 6.4.1).
pub(crate) fn round_trip(report: &ReceptionReport, now: u64) -> Option<Duration> {
    if report.last_report == 0 {
        return None;
    }
    let middle = (now >> 16) as u32;
    let units = middle
        .wrapping_sub(report.last_report)
        .wrapping_sub(report.delay);
    // Clocks of different grain make a round trip on one host negative now and then.
    let units = if units > u32::MAX / 2 { 0 } else { units };
    Some(Duration::from_nanos(
        u64::from(units) * 1_000_000_000 / 65_536,
    ))
}

/// What a sender report says of one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// Appends sender reports and the name that they share (RFC 3550, 6.4.1 and 6.5).
pub(crate) fn write_reports(buffer: &mut Vec<u8>, reports: &[SenderReport], name: &str) {
    for report in reports {
        buffer.extend_from_slice(&[0x80, 200, 0, 6]);
        buffer.extend_from_slice(&report.ssrc.to_be_bytes());
        buffer.extend_from_slice(&report.ntp.to_be_bytes());
        buffer.extend_from_slice(&report.timestamp.to_be_bytes());
        buffer.extend_from_slice(&report.packets.to_be_bytes());
        buffer.extend_from_slice(&report.bytes.to_be_bytes());
    }
    let start = buffer.len();
    buffer.extend_from_slice(&[0x80 | reports.len() as u8, 202, 0, 0]);
    for report in reports {
        buffer.extend_from_slice(&report.ssrc.to_be_bytes());
        buffer.push(1);
        buffer.push(name.len() as u8);
        buffer.extend_from_slice(name.as_bytes());
        // At least one zero ends a chunk, which fills whole words.
        let length = 6 + name.len();
        buffer.resize(buffer.len() + 4 - length % 4, 0);
    }
    let words = ((buffer.len() - start) / 4 - 1) as u16;
    buffer[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(compound: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        each(compound, |feedback| found.push(format!("{feedback:?}")));
        found
    }

    #[test]
    fn feedback_is_read_from_a_compound_packet() {
        let mut compound = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        compound.extend([0, 0, 0, 9, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        compound.extend([0, 2, 0, 0, 0, 1, 0, 0]);
        compound.extend([0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0, 100, 0x80, 1]);
        compound.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]);
        compound.extend([
            0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0,
        ]);
        compound.extend([0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0]);
        compound.extend(b"REMB");
        compound.extend([1, 0x0b, 0xd0, 0x90, 0, 0, 0, 9]);
        let mut nacks = Vec::new();
        each(&compound, |feedback| {
            if let Feedback::Nack(9, pairs) = feedback {
                nacks.extend(nacked(pairs));
            }
        });
        assert_eq!(nacks, [100, 101, 116]);
        let found = all(&compound);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[0].contains("lost: 64"), "{found:?}");
        assert_eq!(found[2], "Keyframe(9)");
        assert_eq!(found[3], "Keyframe(8)");
        assert_eq!(found[4], format!("Remb({})", 0x3_d090 << 2));
    }

    #[test]
    fn an_absurd_bitrate_is_the_largest_one() {
        for (bits, told) in [
            ([0xfc, 0, 2], u64::MAX),
            ([0xff, 0xff, 0xff], u64::MAX),
            ([0, 0, 7], 7),
        ] {
            let mut packet = vec![0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0];
            packet.extend(b"REMB\x01");
            packet.extend(bits);
            packet[3] = 4;
            assert_eq!(all(&packet), [format!("Remb({told})")], "{bits:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_absurd_is_passed_over() {
        for length in 0..12 {
            assert!(all(&[0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9][..length]).is_empty());
        }
        assert!(all(&[0x1f, 200, 0, 0]).is_empty());
        assert!(all(&[0x9f, 200, 0, 0]).is_empty(), "31 reports in no bytes");
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let length = random.usize(..120);
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(length)
                .collect();
            if let Some(head) = bytes.get_mut(..4) {
                head.copy_from_slice(&[
                    0x80 | random.u8(..32),
                    random.u8(200..207),
                    0,
                    random.u8(..30),
                ]);
            }
            each(&bytes, |feedback| {
                if let Feedback::Nack(_, pairs) = feedback {
                    assert!(nacked(pairs).count() <= 17 * 30);
                }
            });
        }
    }

    #[test]
    fn reports_fill_whole_words_and_say_the_name_once_for_each() {
        for name in ["a", "ab", "abc", "abcd", "inver"] {
            let mut buffer = Vec::new();
            let report = SenderReport {
                ssrc: 7,
                ntp: ntp(SystemTime::UNIX_EPOCH),
                timestamp: 1,
                packets: 2,
                bytes: 3,
            };
            write_reports(
                &mut buffer,
                &[report, SenderReport { ssrc: 8, ..report }],
                name,
            );
            assert_eq!(buffer.len() % 4, 0);
            let description = &buffer[56..];
            assert_eq!(description[0], 0x82);
            let words = usize::from(u16::from_be_bytes([description[2], description[3]]));
            assert_eq!((words + 1) * 4, description.len());
            assert_eq!(
                description.iter().filter(|byte| **byte == b'a').count(),
                2 * name.matches('a').count()
            );
            assert_eq!(buffer[8..12], 2_208_988_800_u32.to_be_bytes());
        }
    }

    #[test]
    fn the_round_trip_is_what_remains_without_the_receivers_delay() {
        let sent = ntp(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let report = ReceptionReport {
            ssrc: 1,
            lost: 0,
            last_report: (sent >> 16) as u32,
            delay: 65_536 / 2,
        };
        let now = ntp(SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_580));
        let measured = round_trip(&report, now).expect("a report came before");
        assert!(measured.abs_diff(Duration::from_millis(80)) < Duration::from_millis(1));
        let early = round_trip(&report, sent).expect("a report came before");
        assert_eq!(early, Duration::ZERO);
        assert_eq!(
            round_trip(
                &ReceptionReport {
                    last_report: 0,
                    ..report
                },
                now
            ),
            None
        );
    }
}
