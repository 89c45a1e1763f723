//! Puts RTP timestamps of one publisher's tracks on one time line.

use std::time::{Duration, Instant, SystemTime};

use inver_media::{Packet, SenderClock};

/// One publisher's NTP clock, tied to ours at its first sender report.
///
/// The tie is common to all tracks, so what the publisher captured together is reported to
/// viewers as one moment, whatever the delays of the two tracks on the way here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SourceClock {
    tie: Option<(SystemTime, Instant)>,
}

/// One track's mapping from RTP timestamps to our time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TrackClock {
    report: Option<SenderClock>,
    /// Before the first report: the first packet's timestamp and arrival.
    first: Option<(u64, Instant)>,
}

impl TrackClock {
    /// The moment in our time at which the packet's content was captured, as far as is known.
    pub(crate) fn moment(&mut self, source: &mut SourceClock, packet: &Packet) -> Instant {
        let rate = u64::from(packet.format.codec.clock_rate());
        if packet.clock.is_some() {
            self.report = packet.clock;
        }
        if let Some(report) = self.report {
            let (ntp, instant) = *source.tie.get_or_insert((report.ntp, packet.arrival));
            let report_at = offset(instant, ntp, report.ntp);
            return shift(report_at, packet.timestamp, report.rtp, rate);
        }
        let (rtp, arrival) = *self.first.get_or_insert((packet.timestamp, packet.arrival));
        shift(arrival, packet.timestamp, rtp, rate)
    }
}

/// `instant` moved by the distance from `from` to `to`.
fn offset(instant: Instant, from: SystemTime, to: SystemTime) -> Instant {
    match to.duration_since(from) {
        Ok(ahead) => instant.checked_add(ahead).unwrap_or(instant),
        Err(behind) => instant.checked_sub(behind.duration()).unwrap_or(instant),
    }
}

/// `at` moved by the distance between two extended RTP timestamps.
fn shift(at: Instant, timestamp: u64, base: u64, rate: u64) -> Instant {
    if timestamp >= base {
        at.checked_add(ticks(timestamp - base, rate)).unwrap_or(at)
    } else {
        at.checked_sub(ticks(base - timestamp, rate)).unwrap_or(at)
    }
}

/// RTP ticks as a duration; absurd distances are capped at a day.
pub(crate) fn ticks(count: u64, rate: u64) -> Duration {
    let capped = count.min(rate * 86_400);
    Duration::from_nanos(
        capped * 1_000_000 / rate * 1_000 + (capped * 1_000_000 % rate) * 1_000 / rate,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use inver_media::{Codec, Extensions, Format};
    use std::sync::Arc;

    fn packet(
        codec: Codec,
        timestamp: u64,
        arrival: Instant,
        clock: Option<SenderClock>,
    ) -> Packet {
        Packet {
            payload: Arc::from([0_u8; 1].as_slice()),
            sequence: 1,
            timestamp,
            marker: false,
            arrival,
            format: Format::new(codec),
            info: inver_media::codec::PayloadInfo::default(),
            extensions: Extensions::default(),
            clock,
        }
    }

    #[test]
    fn what_was_captured_together_has_one_moment_whatever_the_delays() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let start = Instant::now();
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut source = SourceClock::default();
        let (mut audio, mut video) = (TrackClock::default(), TrackClock::default());
        let report = |rtp| Some(SenderClock { ntp, rtp });
        // Both reports speak of the same NTP time; the video packet is 80 ms late.
        let a = audio.moment(&mut source, &packet(Codec::Opus, 48_000, start, report(0)));
        let v = video.moment(
            &mut source,
            &packet(
                Codec::Vp8,
                90_000,
                start + Duration::from_millis(80),
                report(0),
            ),
        );
        assert_eq!(a, v);
        assert_eq!(a, start + Duration::from_secs(1));
    }

    #[test]
    fn ticks_are_exact_and_bounded() {
        assert_eq!(ticks(90_000, 90_000), Duration::from_secs(1));
        assert_eq!(ticks(48, 48_000), Duration::from_millis(1));
        assert_eq!(ticks(u64::MAX, 90_000), Duration::from_secs(86_400));
    }
}
