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

/// Tracks begin on one line of time where their times are no further apart than this; beyond it one
/// of them is wrong, and what comes at the same time belongs together.
const DISAGREEMENT: i64 = 10_000_000_000;

/// Which track of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Track {
    Audio,
    /// By layer.
    Video(u8),
}

/// How one track's time stands on the time line.
#[derive(Debug, Clone, Copy)]
struct Line {
    track: Track,
    /// What is added to a media time, so that the time line goes on over jumps.
    offset: i64,
    /// The latest decode time, shifted, and when it came.
    last: (i64, Instant),
    /// The first one after the last jump.
    first: (i64, Instant),
}

impl Line {
    /// How far the time line should have come by now.
    fn expected(&self, now: Instant) -> i64 {
        self.last.0.saturating_add(self.passed(now))
    }

    fn passed(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.last.1).as_nanos();
        i64::try_from(passed).unwrap_or(0)
    }

    /// Whether the track may go on to a shifted decode time without a jump.
    fn goes_on(&self, shifted: i64, now: Instant) -> bool {
        let step = shifted.saturating_sub(self.last.0);
        (-JUMP_BACK..=JUMP_AHEAD.saturating_add(self.passed(now))).contains(&step)
    }
}

/// Maps one publication's media time. Pure; time is an argument.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    lines: Vec<Line>,
    /// How far the times of two tracks were apart when the second one began, where that was too
    /// much to be believed.
    disagreement: Option<i64>,
    /// NTP time of the start of the RTP time line: any value, the same for all tracks.
    ntp: SystemTime,
    begun: Instant,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Vec::new(),
            disagreement: None,
            ntp: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            begun: now,
        }
    }

    /// Notes the decode time of a frame that comes now, before its times are asked for.
    pub(super) fn observe(&mut self, track: Track, dts: MediaTime, now: Instant) {
        let Some(at) = self.lines.iter().position(|line| line.track == track) else {
            return self.begin(track, dts, now);
        };
        let line = self.lines[at];
        let shifted = dts.0.saturating_add(line.offset);
        if line.goes_on(shifted, now) {
            if shifted > line.last.0 {
                self.lines[at].last = (shifted, now);
            }
            return;
        }
        // What jumped together goes on together, to the nanosecond.
        let others = self.lines.iter().map(|other| other.offset);
        let shared = others
            .filter(|offset| *offset != line.offset)
            .find(|offset| line.goes_on(dts.0.saturating_add(*offset), now));
        let offset = shared.unwrap_or_else(|| line.expected(now).saturating_sub(dts.0));
        let last = (dts.0.saturating_add(offset), now);
        self.lines[at] = Line {
            offset,
            last,
            first: last,
            ..line
        };
    }

    fn begin(&mut self, track: Track, dts: MediaTime, now: Instant) {
        let offset = match self.lines.iter().max_by_key(|line| line.last.0) {
            None => LEAD.saturating_sub(dts.0),
            Some(ahead) => {
                let apart = dts.0.saturating_add(ahead.offset) - ahead.expected(now);
                if apart.saturating_abs() <= DISAGREEMENT {
                    ahead.offset
                } else {
                    self.disagreement.get_or_insert(apart);
                    ahead.expected(now).saturating_sub(dts.0)
                }
            }
        };
        let last = (dts.0.saturating_add(offset), now);
        self.lines.push(Line {
            track,
            offset,
            last,
            first: last,
        });
    }

    /// The RTP time of a track's media time at `rate` hertz, extended.
    pub(super) fn rtp(&self, track: Track, time: MediaTime, rate: u32) -> u64 {
        let line = self.lines.iter().find(|line| line.track == track);
        let offset = line.or(self.lines.first()).map_or(0, |line| line.offset);
        let shifted = time.0.saturating_add(offset);
        u64::try_from(MediaTime(shifted.max(0)).ticks(rate)).unwrap_or(0)
    }

    /// How far the times of two tracks are apart, in seconds, where that is too much to be
    /// believed, so that they were put together as they came.
    pub(super) fn disagreement(&self) -> Option<f64> {
        self.disagreement
            .map(|apart| Duration::from_nanos(apart.unsigned_abs()).as_secs_f64())
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
        let line = self.lines.first()?;
        let ((first, from), (last, to)) = (line.first, line.last);
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
        clock.observe(Track::Audio, millis(5000), start);
        let (video, audio) = (clock.sender(90_000), clock.sender(48_000));
        assert_eq!(video.ntp, audio.ntp);
        for ms in [4960, 5000, 6000, 3_600_000] {
            let picture =
                (clock.rtp(Track::Audio, millis(ms), 90_000) as f64 - video.rtp as f64) / 90_000.0;
            let sound =
                (clock.rtp(Track::Audio, millis(ms), 48_000) as f64 - audio.rtp as f64) / 48_000.0;
            assert!((picture - sound).abs() < 1e-4, "{ms}: {picture} {sound}");
            assert!((picture - (ms - 5000) as f64 / 1000.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_jump_of_the_encoders_clock_does_not_reach_viewers() {
        let start = Instant::now();
        for to in [0, 90_000_000] {
            let mut clock = Clock::new(start);
            clock.observe(Track::Audio, millis(1_000_000), start);
            let before = clock.rtp(Track::Audio, millis(1_000_000), 90_000);
            let now = start + Duration::from_millis(40);
            clock.observe(Track::Audio, millis(to), now);
            assert_eq!(
                clock.rtp(Track::Audio, millis(to), 90_000),
                before + 3600,
                "to {to}"
            );
            clock.observe(
                Track::Audio,
                millis(to + 40),
                now + Duration::from_millis(40),
            );
            assert_eq!(
                clock.rtp(Track::Audio, millis(to + 40), 90_000),
                before + 7200
            );
        }
    }

    #[test]
    fn a_pause_and_a_burst_are_no_jump() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.observe(Track::Audio, millis(0), start);
        let late = start + Duration::from_secs(30);
        clock.observe(Track::Audio, millis(30_000), late);
        clock.observe(Track::Audio, millis(29_000), late);
        assert_eq!(
            clock.rtp(Track::Audio, millis(30_000), 90_000)
                - clock.rtp(Track::Audio, millis(0), 90_000),
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
                    Track::Audio,
                    MediaTime(theirs),
                    start + Duration::from_secs(second.unsigned_abs()),
                );
            }
            assert_eq!(clock.drift().is_some(), told, "{ppm}: {:?}", clock.drift());
        }
    }

    /// Two tracks of 25 frames a second, the sound `apart` from the picture; RTP times of both in
    /// milliseconds since the start of the picture, each with the time that has passed.
    fn two_tracks(apart: i64, jump_at: i64, jump: i64) -> Vec<(i64, i64, i64)> {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        (0..500_i64)
            .map(|frame| {
                let passed = frame * 40;
                let now = start + Duration::from_millis(passed.unsigned_abs());
                let theirs: i64 = 100_000 + passed + if frame >= jump_at { jump } else { 0 };
                let told = |clock: &mut Clock, track, ms| {
                    clock.observe(track, millis(ms), now);
                    let rtp = clock.rtp(track, millis(ms), 90_000);
                    i64::try_from(rtp / 90).expect("small") - 60_000
                };
                let picture = told(&mut clock, Track::Video(0), theirs);
                let sound = told(&mut clock, Track::Audio, theirs + apart);
                (passed, picture, sound)
            })
            .collect()
    }

    #[test]
    fn tracks_whose_times_are_apart_run_in_real_time() {
        for apart in [
            -60_000_i64,
            -30_000,
            -9_000,
            -4_000,
            -1_500,
            0,
            1_500,
            4_000,
            9_000,
            60_000,
        ] {
            // What can be true is kept, what cannot is put right by arrival.
            let kept = if apart.abs() < 10_000 { apart } else { 0 };
            for (passed, picture, sound) in two_tracks(apart, i64::MAX, 0) {
                assert_eq!(picture, passed, "{apart}");
                assert_eq!(sound, passed + kept, "{apart}");
            }
        }
    }

    #[test]
    fn tracks_that_jump_together_stay_together() {
        for jump in [-90_000, -5_000, 60_000] {
            for (passed, picture, sound) in two_tracks(1_000, 100, jump) {
                assert_eq!((picture, sound), (passed, passed + 1_000), "{jump}");
            }
        }
    }

    #[test]
    fn times_that_cannot_be_true_are_told_of() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.observe(Track::Video(0), millis(0), start);
        clock.observe(Track::Video(1), millis(4_000), start);
        assert_eq!(clock.disagreement(), None);
        clock.observe(Track::Audio, millis(-30_000), start);
        assert!(clock.disagreement().is_some_and(|apart| apart > 29.0));
    }
}
