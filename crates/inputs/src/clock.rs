//! RTP timestamps of both streams on one clock.
//!
//! Sender reports say how the streams' timestamps belong together. Until both have come, the
//! arrival of each stream's first packet stands in; the picture's place then stays and the sound
//! moves, once, by what the reports say.

use std::time::Instant;

use inver_media::{Codec, Kind, MediaTime};
use inver_protocols::ftl::SenderReport;

/// Corrections below this are noise of the reports: 5 ms, far below what anybody notices.
const NOISE: i128 = 5_000_000;

/// Corrections beyond this are not believed: the streams would have begun two seconds apart, and
/// some clients send reports without sense.
const MOST: i128 = 2_000_000_000;

/// Places the timestamps of one client's streams.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    video: Lane,
    audio: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    rate: u32,
    /// The stream's time in nanoseconds minus its timestamp in nanoseconds.
    offset: Option<i128>,
    /// Wall time minus timestamp, in nanoseconds, of the last report.
    wall: Option<i128>,
    /// The last extended timestamp, which the reports' 32 bits are extended by.
    last: u64,
}

impl Lane {
    fn new(kind: Kind) -> Self {
        let rate = match kind {
            Kind::Video => Codec::H264.clock_rate(),
            Kind::Audio => Codec::Opus.clock_rate(),
        };
        Self {
            rate,
            ..Self::default()
        }
    }

    fn nanos(&self, timestamp: u64) -> i128 {
        i128::from(timestamp) * 1_000_000_000 / i128::from(self.rate.max(1))
    }
}

impl Clock {
    /// Time zero is `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            video: Lane::new(Kind::Video),
            audio: Lane::new(Kind::Audio),
        }
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// Notes a packet, before its frame is placed; `timestamp` is extended.
    pub(crate) fn packet(&mut self, kind: Kind, timestamp: u64, arrival: Instant) {
        let since = arrival.saturating_duration_since(self.origin).as_nanos();
        let since = i128::try_from(since).unwrap_or(i128::MAX / 2);
        let lane = self.lane(kind);
        lane.last = timestamp;
        if lane.offset.is_none() {
            lane.offset = Some(since - lane.nanos(timestamp));
            self.align();
        }
    }

    /// Notes what the client says about its clocks.
    pub(crate) fn report(&mut self, kind: Kind, report: &SenderReport) {
        let lane = self.lane(kind);
        if lane.offset.is_none() {
            return;
        }
        // The extended timestamp nearest to the last one.
        let low = u32::try_from(lane.last & u64::from(u32::MAX)).unwrap_or(0);
        #[expect(
            clippy::cast_possible_wrap,
            reason = "the upper half of the ring is the past"
        )]
        let step = i64::from(report.timestamp.wrapping_sub(low) as i32);
        let Some(timestamp) = lane.last.checked_add_signed(step) else {
            return;
        };
        self.mark(kind, report.ntp, timestamp);
    }

    /// Notes that an extended timestamp was at an NTP time (Q32.32) of the client.
    pub(crate) fn mark(&mut self, kind: Kind, ntp: u64, timestamp: u64) {
        let lane = self.lane(kind);
        let wall = i128::from(ntp) * 1_000_000_000 / (1 << 32);
        lane.wall = Some(wall - lane.nanos(timestamp));
        self.align();
    }

    /// Moves the sound to where the reports put it.
    fn align(&mut self) {
        let (Some(video), Some(audio)) = (self.video.offset, self.audio.offset) else {
            return;
        };
        let (Some(video_wall), Some(audio_wall)) = (self.video.wall, self.audio.wall) else {
            return;
        };
        let right = video + audio_wall - video_wall;
        if (NOISE..=MOST).contains(&(right - audio).abs()) {
            self.audio.offset = Some(right);
        }
    }

    /// When a frame with this extended timestamp is seen or heard.
    pub(crate) fn time(&mut self, kind: Kind, timestamp: u64) -> MediaTime {
        let lane = self.lane(kind);
        let time = lane.nanos(timestamp) + lane.offset.unwrap_or(0);
        MediaTime(i64::try_from(time).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(ntp_ms: u64, timestamp: u32) -> SenderReport {
        SenderReport {
            ssrc: 1,
            ntp: (3_900_000_000 << 32) + (ntp_ms << 32) / 1000,
            timestamp,
            packets: 0,
            octets: 0,
        }
    }

    fn started() -> (Clock, Instant) {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let ms = Duration::from_millis;
        clock.packet(Kind::Video, (1 << 32) + 90_000, start + ms(100));
        clock.packet(Kind::Audio, (1 << 32) + 48_000, start + ms(140));
        (clock, start)
    }

    fn ms(time: MediaTime) -> i64 {
        MediaTime::ticks(time, 1000)
    }

    #[test]
    fn without_reports_arrival_counts() {
        let (mut clock, _) = started();
        assert_eq!(ms(clock.time(Kind::Video, (1 << 32) + 90_000)), 100);
        assert_eq!(ms(clock.time(Kind::Audio, (1 << 32) + 96_000)), 1140);
    }

    #[test]
    fn reports_bring_the_streams_together() {
        let (mut clock, _) = started();
        // Both timestamps of one second belong to the same moment: the sound came 40 ms late.
        clock.report(Kind::Video, &report(5000, 90_000));
        assert_eq!(ms(clock.time(Kind::Audio, (1 << 32) + 48_000)), 140);
        clock.report(Kind::Audio, &report(5000, 48_000));
        assert_eq!(ms(clock.time(Kind::Audio, (1 << 32) + 48_000)), 100);
        assert_eq!(ms(clock.time(Kind::Video, (1 << 32) + 90_000)), 100);
    }

    #[test]
    fn clocks_that_run_apart_for_a_day_stay_together() {
        const DAY: u64 = 24 * 60 * 60;
        for ppm in [-100.0, 100.0] {
            let start = Instant::now();
            let mut clock = Clock::new(start);
            for second in 0..DAY {
                let now = start + Duration::from_secs(second);
                let video = 90_000 * second;
                let audio = (48_000.0 * second as f64 * (1.0 + ppm * 1e-6)).round() as u64;
                clock.packet(Kind::Video, video, now);
                clock.packet(Kind::Audio, audio, now);
                let low = |timestamp: u64| (timestamp & u64::from(u32::MAX)) as u32;
                if second % 5 == 0 {
                    clock.report(Kind::Video, &report(second * 1000, low(video)));
                    clock.report(Kind::Audio, &report(second * 1000, low(audio)));
                }
                let apart = clock.time(Kind::Video, video).0 - clock.time(Kind::Audio, audio).0;
                assert!(
                    apart.abs() < 20_000_000,
                    "{apart} ns apart after {second} s"
                );
            }
        }
    }

    #[test]
    fn nonsense_in_reports_is_not_believed() {
        let (mut clock, _) = started();
        clock.report(Kind::Video, &report(5000, 90_000));
        clock.report(Kind::Audio, &report(9000, 48_000));
        assert_eq!(ms(clock.time(Kind::Audio, (1 << 32) + 48_000)), 140);
        clock.report(Kind::Audio, &report(5000, 0x8000_0000));
        assert_eq!(ms(clock.time(Kind::Audio, (1 << 32) + 48_000)), 140);
    }
}
