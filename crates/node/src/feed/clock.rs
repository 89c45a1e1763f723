//! An encoder's time line as RTP times and as a clock that all tracks share.

use std::time::{Duration, Instant, SystemTime};

use inver_media::{MediaTime, SenderClock};

/// Where the first frame stands on the RTP time line: frames that are shown before it have room.
const LEAD: i64 = 60_000_000_000;

/// A step forward beyond the time that has passed is a jump of the encoder's clock. Smaller ones
/// are pauses, and bursts behind them.
const JUMP_AHEAD: i64 = 10_000_000_000;

/// A step back is a jump; less is the order of coded pictures and of interleaved tracks.
const JUMP_BACK: i64 = 2_000_000_000;

/// Time over which the encoder's clock is compared with ours.
const COMPARED_AFTER: Duration = Duration::from_secs(60);

/// Parts per million that a clock may be apart before anybody needs to know.
const TOLERATED: f64 = 500.0;

/// Maps one publication's media time. Pure; time is an argument.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// What is added to a media time, so that the time line goes on over jumps.
    offset: Option<i64>,
    /// The latest decode time, shifted, and when it came.
    last: Option<(i64, Instant)>,
    /// The first one after the last jump.
    first: Option<(i64, Instant)>,
    /// NTP time of the start of the RTP time line: any value, the same for all tracks.
    ntp: SystemTime,
    begun: Instant,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            offset: None,
            last: None,
            first: None,
            ntp: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            begun: now,
        }
    }

    /// Notes the decode time of a frame that comes now, before its times are asked for.
    pub(super) fn observe(&mut self, dts: MediaTime, now: Instant) {
        let offset = *self.offset.get_or_insert(LEAD.saturating_sub(dts.0));
        let shifted = dts.0.saturating_add(offset);
        let Some((last, at)) = self.last else {
            self.last = Some((shifted, now));
            self.first = Some((shifted, now));
            return;
        };
        let passed = i64::try_from(now.saturating_duration_since(at).as_nanos()).unwrap_or(0);
        let step = shifted.saturating_sub(last);
        if step < -JUMP_BACK || step > JUMP_AHEAD.saturating_add(passed) {
            let goes_on = last.saturating_add(passed);
            self.offset = Some(offset.saturating_add(goes_on.saturating_sub(shifted)));
            self.last = Some((goes_on, now));
            self.first = self.last;
        } else if shifted > last {
            self.last = Some((shifted, now));
        }
    }

    /// The RTP time of a media time at `rate` hertz, extended.
    pub(super) fn rtp(&self, time: MediaTime, rate: u32) -> u64 {
        let shifted = time.0.saturating_add(self.offset.unwrap_or(0));
        u64::try_from(MediaTime(shifted.max(0)).ticks(rate)).unwrap_or(0)
    }

    /// What ties a track's RTP times to the clock of all tracks.
    pub(super) fn sender(&self, rate: u32) -> SenderClock {
        SenderClock {
            ntp: self.ntp + Duration::from_nanos(LEAD.unsigned_abs()),
            rtp: u64::try_from(MediaTime(LEAD).ticks(rate)).unwrap_or(0),
        }
    }

    /// How far the encoder's clock is apart from ours, in parts per million, where that is more
    /// than a player can ignore.
    pub(super) fn drift(&self) -> Option<f64> {
        let (first, from) = self.first?;
        let (last, to) = self.last?;
        let ours = to.saturating_duration_since(from);
        if ours < COMPARED_AFTER || to.saturating_duration_since(self.begun) < COMPARED_AFTER {
            return None;
        }
        let ours = ours.as_secs_f64();
        let theirs = Duration::from_nanos(u64::try_from(last.saturating_sub(first)).ok()?);
        // What waits on the way makes a second of difference at most.
        let apart = (theirs.as_secs_f64() - ours) / ours * 1e6;
        let uncertain = 1e6 / ours;
        (apart.abs() > TOLERATED + uncertain).then_some(apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: i64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn tracks_share_one_clock_to_the_tick() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.observe(millis(5000), start);
        let (video, audio) = (clock.sender(90_000), clock.sender(48_000));
        assert_eq!(video.ntp, audio.ntp);
        for ms in [4960, 5000, 6000, 3_600_000] {
            let picture = (clock.rtp(millis(ms), 90_000) as f64 - video.rtp as f64) / 90_000.0;
            let sound = (clock.rtp(millis(ms), 48_000) as f64 - audio.rtp as f64) / 48_000.0;
            assert!((picture - sound).abs() < 1e-4, "{ms}: {picture} {sound}");
            assert!((picture - (ms - 5000) as f64 / 1000.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_jump_of_the_encoders_clock_does_not_reach_viewers() {
        let start = Instant::now();
        for to in [0, 90_000_000] {
            let mut clock = Clock::new(start);
            clock.observe(millis(1_000_000), start);
            let before = clock.rtp(millis(1_000_000), 90_000);
            let now = start + Duration::from_millis(40);
            clock.observe(millis(to), now);
            assert_eq!(clock.rtp(millis(to), 90_000), before + 3600, "to {to}");
            clock.observe(millis(to + 40), now + Duration::from_millis(40));
            assert_eq!(clock.rtp(millis(to + 40), 90_000), before + 7200);
        }
    }

    #[test]
    fn a_pause_and_a_burst_are_no_jump() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.observe(millis(0), start);
        let late = start + Duration::from_secs(30);
        clock.observe(millis(30_000), late);
        clock.observe(millis(29_000), late);
        assert_eq!(
            clock.rtp(millis(30_000), 90_000) - clock.rtp(millis(0), 90_000),
            2_700_000
        );
    }

    #[test]
    fn a_clock_that_runs_apart_is_told_of_after_a_while() {
        for (ppm, told) in [(0, false), (100, false), (20_000, true), (-20_000, true)] {
            let start = Instant::now();
            let mut clock = Clock::new(start);
            for second in 0..120_i64 {
                let theirs = second * 1_000_000_000 + second * ppm * 1000;
                clock.observe(
                    MediaTime(theirs),
                    start + Duration::from_secs(second.unsigned_abs()),
                );
            }
            assert_eq!(clock.drift().is_some(), told, "{ppm}: {:?}", clock.drift());
        }
    }
}
