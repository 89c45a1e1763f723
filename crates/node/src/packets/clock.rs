//! RTP times of one publisher's streams on one time line.

use std::time::{Duration, Instant, SystemTime};

use inver_media::{MediaTime, Packet, SenderClock};

/// Reports that place a packet further than this from its arrival are not believed: the sender
/// set its clock meanwhile. Less would distrust slow ways, more lets times jump further.
const MOST_ASTRAY: Duration = Duration::from_secs(10);

/// The publisher's clock, tied once to the time line; common to all of its streams.
#[derive(Debug, Default)]
pub(super) struct Tie(Option<(SystemTime, MediaTime)>);

/// One stream's way from RTP times to the time line.
#[derive(Debug, Default)]
pub(super) struct StreamClock {
    /// An RTP time and the moment that it stands for.
    known: Option<(u64, MediaTime)>,
    report: Option<SenderClock>,
    rate: u32,
}

impl StreamClock {
    /// Learns from a packet that arrived at this moment of the time line.
    pub(super) fn observe(&mut self, tie: &mut Tie, packet: &Packet, arrival: MediaTime) {
        self.rate = packet.format.codec.clock_rate();
        if self.known.is_none() {
            self.known = Some((packet.timestamp, arrival));
        }
        let Some(report) = packet.clock else {
            return;
        };
        if self.report == Some(report) {
            return;
        }
        self.report = Some(report);
        // Until now's packet was captured, by the publisher's clock.
        let since = self.between(report.rtp, packet.timestamp);
        let before = self.at(packet.timestamp);
        let placed = match tie.0 {
            Some((ntp, moment)) => moment.shifted(distance(ntp, report.ntp)).shifted(since),
            None => before,
        };
        let astray = MOST_ASTRAY.as_nanos() as i64;
        let placed = if placed.0.saturating_sub(arrival.0).saturating_abs() > astray {
            tie.0 = None;
            before
        } else {
            placed
        };
        if tie.0.is_none() {
            tie.0 = Some((report.ntp, placed.shifted(since.saturating_neg())));
        }
        self.known = Some((packet.timestamp, placed));
    }

    /// The moment of an RTP time.
    pub(super) fn at(&self, timestamp: u64) -> MediaTime {
        match self.known {
            Some((rtp, moment)) => moment.shifted(self.between(rtp, timestamp)),
            None => MediaTime::ZERO,
        }
    }

    /// Nanoseconds from one RTP time to another.
    fn between(&self, from: u64, to: u64) -> i64 {
        let ticks = i128::from(to) - i128::from(from);
        let ticks = i64::try_from(ticks).unwrap_or(0);
        MediaTime::from_ticks(ticks, self.rate).0
    }
}

/// Nanoseconds from one time of day to another.
fn distance(from: SystemTime, to: SystemTime) -> i64 {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(ahead) => nanos(ahead),
        Err(behind) => -nanos(behind.duration()),
    }
}

/// A moment as the time line counts it.
pub(super) fn moment(origin: Instant, at: Instant) -> MediaTime {
    let after = at.saturating_duration_since(origin);
    MediaTime(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX))
}
