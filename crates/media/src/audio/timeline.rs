//! Where decoded sound belongs: follows the source's timestamps with a count of samples.
//!
//! Two clocks describe one source: its timestamps, which the rest of the publication shares, and
//! its samples, which are what is heard. Output is counted in samples, so it never jitters; a
//! slow loop changes the resampling ratio so that the count stays with the timestamps. Knows no
//! codec and touches no sample: a day can be simulated in a moment.

use super::RATE;
use crate::MediaTime;

/// Ticks of the output's clock in one second.
const SECOND: f64 = RATE as f64;

/// Ticks in one millisecond.
const MILLISECOND: f64 = SECOND / 1000.0;

/// The longest hole that is filled. Longer, and what the source meant is not a loss but a pause
/// or a new beginning, which silence would only delay; shorter, and one lost datagram with a few
/// units of a low rate would tear the sound in two. Also the most that an overlap may be.
const MAX_FILL: f64 = 200.0 * MILLISECOND;

/// The hole of which it is not sure that anything is missing: between 10 and 20 ms, by the
/// length of a unit. Lower, and the jitter of timestamps that some encoder made would tear holes;
/// higher, and a lost unit would have to be made up for by resampling, which takes a minute.
const MIN_STEP: (f64, f64) = (10.0 * MILLISECOND, 20.0 * MILLISECOND);

/// A unit is missing when more than this part of its duration is.
const STEP_PART: f64 = 0.7;

/// How many times the usual jitter a step must exceed, so that a source that stamps by arrival
/// is not torn; and the most to which this raises the bar.
const STEP_JITTERS: f64 = 3.0;
const MAX_STEP: f64 = 100.0 * MILLISECOND;

/// The weight of one unit in the measure of jitter: about the last 32 count.
const JITTER_WEIGHT: f64 = 1.0 / 32.0;

/// Deviations that call for no correction: timestamps in whole milliseconds are up to this far
/// off, on average and forever. Higher, and lip sync would suffer; lower, and every such source
/// would be resampled for nothing.
const TOLERANCE: f64 = MILLISECOND;

/// The time in seconds over which deviations are averaged before the loop sees them.
const AVERAGING: f64 = 5.0;

/// Time constant of the loop in seconds, critically damped. A step of 100 ppm in the clocks
/// deviates by 1.1 ms more than [`TOLERANCE`] before it is caught. Shorter, and the loop would
/// follow jitter; longer, and it would be later.
const LOOP: f64 = 30.0;

/// The most by which the ratio departs from the nominal one: 1000 ppm, 1.7 cents of a semitone's
/// hundred, five times less than an ear can tell and twice what bad crystals do.
const MAX_CORRECTION: f64 = 1e-3;

/// What is to be done with a unit before its samples follow those before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Placement {
    /// It is the first, or what came before is of another time: the output begins anew with it.
    Begin,
    /// It follows.
    Follow,
    /// This many ticks are missing before it.
    Missing(f64),
    /// It overlaps what was heard by this many ticks.
    Overlap(f64),
}

/// The position of a source's samples on the output's clock.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The time of position zero.
    origin: Option<MediaTime>,
    /// Output ticks from `origin` to where the source's next sample will be heard.
    position: f64,
    /// Output ticks for one sample of the source, without correction.
    nominal: f64,
    /// What the loop adds to the ratio, as a part of it.
    correction: f64,
    /// The correction that the clocks' difference needs, as learned so far.
    learned: f64,
    /// Averaged deviation of the timestamps from `position`, in ticks.
    deviation: f64,
    /// The last unit's own deviation, in ticks.
    last: f64,
    /// Mean change of the deviation from unit to unit, in ticks.
    jitter: f64,
}

impl Timeline {
    /// A timeline for a source of `rate` hertz (at least 1).
    pub(super) fn new(rate: u32) -> Self {
        Self {
            origin: None,
            position: 0.0,
            nominal: SECOND / f64::from(rate.max(1)),
            correction: 0.0,
            learned: 0.0,
            deviation: 0.0,
            last: 0.0,
            jitter: 0.0,
        }
    }

    /// From now on the source has `rate` hertz (at least 1).
    pub(super) fn set_rate(&mut self, rate: u32) {
        self.nominal = SECOND / f64::from(rate.max(1));
    }

    /// Output ticks for one sample of the source.
    pub(super) fn ratio(&self) -> f64 {
        self.nominal * (1.0 + self.correction)
    }

    /// By how many millionths the source's samples are resampled to stay with its timestamps.
    pub(super) fn correction_ppm(&self) -> f64 {
        self.correction * 1e6
    }

    /// When the source's next sample will be heard: the nearest tick, and by how much of a tick
    /// after it.
    pub(super) fn next(&self) -> (i64, f64) {
        let origin = self.origin.unwrap_or_default();
        let tick = origin.ticks(RATE);
        let rounded = origin.0.saturating_sub(MediaTime::from_ticks(tick, RATE).0);
        let exact = self.position + rounded as f64 * (SECOND / 1e9);
        // A position is a count of samples that were decoded: far below 2^53.
        let whole = exact.round();
        (tick.saturating_add(whole as i64), exact - whole)
    }

    /// Says where a unit of `samples` samples (at least 1) that is heard at `pts` belongs.
    pub(super) fn place(&mut self, pts: MediaTime, samples: usize) -> Placement {
        let Some(origin) = self.origin else {
            return self.begin(pts);
        };
        let nanos = pts.0.saturating_sub(origin.0) as f64;
        let error = nanos * (SECOND / 1e9) - self.position;
        let duration = samples.max(1) as f64 * self.nominal;
        if error.abs() > MAX_FILL {
            return self.begin(pts);
        }
        let least = (duration * STEP_PART).clamp(MIN_STEP.0, MIN_STEP.1);
        let step = least.max((self.jitter * STEP_JITTERS).min(MAX_STEP));
        self.jitter += ((error - self.last).abs() - self.jitter) * JITTER_WEIGHT;
        if error.abs() <= step {
            self.last = error;
            self.steer(error, duration / SECOND);
            return Placement::Follow;
        }
        (self.deviation, self.last) = (0.0, 0.0);
        if error > 0.0 {
            // What is missing is whole units; timestamps say it only to their precision.
            let units = (error / duration).round() * duration;
            let exact = units > 0.0 && (error - units).abs() <= 2.0 * TOLERANCE;
            Placement::Missing(if exact { units } else { error })
        } else {
            Placement::Overlap(-error)
        }
    }

    /// Counts `samples` samples of the source as heard.
    pub(super) fn advance(&mut self, samples: usize) {
        self.position += samples as f64 * self.ratio();
    }

    fn begin(&mut self, pts: MediaTime) -> Placement {
        self.origin = Some(pts);
        self.position = 0.0;
        (self.deviation, self.last) = (0.0, 0.0);
        Placement::Begin
    }

    fn steer(&mut self, error: f64, seconds: f64) {
        self.deviation += (error - self.deviation) * (seconds / AVERAGING).min(1.0);
        let excess = self.deviation - self.deviation.clamp(-TOLERANCE, TOLERANCE);
        self.learned = (self.learned + excess / SECOND * seconds / (LOOP * LOOP))
            .clamp(-MAX_CORRECTION, MAX_CORRECTION);
        self.correction =
            (self.learned + 2.0 * excess / SECOND / LOOP).clamp(-MAX_CORRECTION, MAX_CORRECTION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a simulated source does to its timestamps.
    struct Source {
        rate: u32,
        unit: usize,
        /// How much faster its samples run than its timestamps, in millionths.
        drift: f64,
        /// The timestamp of a unit whose true time in nanoseconds is given.
        stamp: fn(f64, &mut fastrand::Rng) -> f64,
    }

    #[derive(Debug, Default)]
    struct Outcome {
        worst: f64,
        /// The worst in the second half.
        settled: f64,
        worst_correction: f64,
        steps: usize,
    }

    /// Runs `hours` of a source through a timeline, comparing where each unit is heard with its
    /// true time, in milliseconds.
    fn run(source: &Source, hours: f64) -> Outcome {
        let mut random = fastrand::Rng::with_seed(7);
        let mut timeline = Timeline::new(source.rate);
        let mut outcome = Outcome::default();
        let true_unit =
            source.unit as f64 / f64::from(source.rate) / (1.0 + source.drift * 1e-6) * 1e9;
        let units = (hours * 3.6e12 / true_unit) as u64;
        for at in 0..units {
            let truth = at as f64 * true_unit;
            let pts = MediaTime((source.stamp)(truth, &mut random) as i64);
            let mut samples = source.unit;
            match timeline.place(pts, source.unit) {
                Placement::Begin => assert_eq!(at, 0, "began anew"),
                Placement::Follow => {}
                Placement::Missing(ticks) => {
                    outcome.steps += 1;
                    timeline.advance((ticks / timeline.ratio()).round() as usize);
                }
                Placement::Overlap(ticks) => {
                    outcome.steps += 1;
                    samples -= (ticks / timeline.ratio()).round() as usize;
                }
            }
            let heard = timeline.origin.unwrap_or_default().0 as f64 / 1e6
                + timeline.position / MILLISECOND;
            let off = (heard - truth / 1e6).abs();
            outcome.worst = outcome.worst.max(off);
            if at > units / 2 {
                outcome.settled = outcome.settled.max(off);
            }
            outcome.worst_correction = outcome
                .worst_correction
                .max(timeline.correction_ppm().abs());
            timeline.advance(samples);
        }
        outcome
    }

    fn exact(truth: f64, _: &mut fastrand::Rng) -> f64 {
        truth
    }

    fn whole_milliseconds(truth: f64, _: &mut fastrand::Rng) -> f64 {
        (truth / 1e6).floor() * 1e6
    }

    fn jittering(truth: f64, random: &mut fastrand::Rng) -> f64 {
        ((truth / 1e6 + random.f64() * 2.0 - 1.0).round()) * 1e6
    }

    fn stamped_by_arrival(truth: f64, random: &mut fastrand::Rng) -> f64 {
        truth + (random.f64() - 0.5) * 16e6
    }

    #[test]
    fn a_day_of_drifting_clocks_stays_within_two_milliseconds() {
        for drift in [-300.0, -100.0, 100.0, 300.0] {
            for stamp in [exact, whole_milliseconds, jittering] {
                let source = Source {
                    rate: 48_000,
                    unit: 1024,
                    drift,
                    stamp,
                };
                let outcome = run(&source, 24.0);
                assert_eq!(outcome.steps, 0, "{drift}: {outcome:?}");
                assert!(outcome.worst < 8.0, "{drift}: {outcome:?}");
                assert!(outcome.settled < 2.0, "{drift}: {outcome:?}");
                assert!(
                    outcome.worst_correction < 2.0 * drift.abs(),
                    "{drift}: {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn the_worst_clock_that_is_followed_needs_no_step() {
        let source = Source {
            rate: 44_100,
            unit: 1024,
            drift: 900.0,
            stamp: jittering,
        };
        let outcome = run(&source, 2.0);
        assert_eq!(outcome.steps, 0, "{outcome:?}");
        assert!(outcome.worst < 15.0 && outcome.settled < 2.0, "{outcome:?}");
    }

    #[test]
    fn a_clock_that_cannot_be_followed_stays_within_twenty_milliseconds() {
        let source = Source {
            rate: 48_000,
            unit: 960,
            drift: -3000.0,
            stamp: exact,
        };
        let outcome = run(&source, 2.0);
        assert!(outcome.steps > 0 && outcome.worst < 20.1, "{outcome:?}");
    }

    #[test]
    fn jitter_alone_corrects_nothing() {
        for (rate, unit) in [
            (44_100, 1024),
            (48_000, 1024),
            (48_000, 960),
            (22_050, 2048),
        ] {
            for stamp in [exact, whole_milliseconds] {
                let outcome = run(
                    &Source {
                        rate,
                        unit,
                        drift: 0.0,
                        stamp,
                    },
                    6.0,
                );
                assert_eq!(outcome.steps, 0, "{rate}: {outcome:?}");
                assert_eq!(outcome.worst_correction, 0.0, "{rate}: {outcome:?}");
            }
            // Here the first stamp may be off by more than is tolerated, which is corrected once.
            let outcome = run(
                &Source {
                    rate,
                    unit,
                    drift: 0.0,
                    stamp: jittering,
                },
                6.0,
            );
            assert_eq!(outcome.steps, 0, "{rate}: {outcome:?}");
            assert!(outcome.worst_correction < 30.0, "{rate}: {outcome:?}");
        }
    }

    #[test]
    fn stamps_by_arrival_tear_nothing() {
        let source = Source {
            rate: 48_000,
            unit: 1024,
            drift: 0.0,
            stamp: stamped_by_arrival,
        };
        let outcome = run(&source, 6.0);
        assert_eq!(outcome.steps, 0, "{outcome:?}");
        // The first stamp is off by up to 8 ms, and is corrected by the mean of the others.
        assert!(outcome.settled < 2.0 && outcome.worst < 8.1, "{outcome:?}");
    }

    /// A timeline that has heard `units` exact units of 1024 samples at 48 kHz.
    fn playing(units: usize) -> Timeline {
        let mut timeline = Timeline::new(48_000);
        for at in 0..units {
            timeline.place(MediaTime::from_ticks(at as i64 * 1024, 48_000), 1024);
            timeline.advance(1024);
        }
        timeline
    }

    fn at(unit: f64) -> MediaTime {
        MediaTime((unit * 1024.0 / 48_000.0 * 1e9) as i64)
    }

    #[test]
    fn a_lost_unit_is_missed_to_the_sample() {
        let rounded = MediaTime((at(11.0).0 / 1_000_000) * 1_000_000);
        assert_ne!(rounded, at(11.0));
        assert_eq!(playing(10).place(rounded, 1024), Placement::Missing(1024.0));
        assert_eq!(playing(10).place(at(10.0), 1024), Placement::Follow);
    }

    #[test]
    fn a_repeated_unit_overlaps() {
        let Placement::Overlap(ticks) = playing(10).place(at(9.0), 1024) else {
            panic!("no overlap");
        };
        assert!((ticks - 1024.0).abs() < 0.1, "{ticks}");
    }

    #[test]
    fn a_pause_or_a_jump_back_begins_anew() {
        for unit in [20.0, 1e6, -3.0] {
            let tick = at(unit).ticks(RATE);
            let mut timeline = playing(10);
            assert_eq!(timeline.place(at(unit), 1024), Placement::Begin);
            assert_eq!(timeline.next().0, tick);
            timeline.advance(1024);
            assert_eq!(timeline.place(at(unit + 1.0), 1024), Placement::Follow);
        }
        let absurd = playing(10).place(MediaTime(i64::MIN), 1024);
        assert!(matches!(absurd, Placement::Begin), "{absurd:?}");
    }
}
