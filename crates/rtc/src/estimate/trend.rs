//! Does the queue on the path grow? A line through the latest delays, and a threshold that adapts
//! (draft-ietf-rmcat-gcc-02, sections 5.3 to 5.5, with the line in place of the Kalman filter, as
//! browsers do).

use super::groups::Change;

/// Groups that the line goes through. More react later, fewer mistake jitter for a queue.
const WINDOW: usize = 20;
/// The weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Slopes are small; this and the number of groups bring them to the threshold's size.
const GAIN: f64 = 4.0;
/// After so many groups the slope counts fully: at the start a few groups are no proof.
const FULL_CONFIDENCE: u32 = 60;
/// The threshold at first and its limits, in milliseconds. The lower limit keeps the detector
/// from seeing ghosts on a calm path, the upper one from going deaf beside a greedy flow.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast the threshold follows the slope upwards and downwards, per millisecond. Upwards is
/// slow, or a queue that grows would hide itself.
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
/// Slopes farther than this above the threshold are a sudden fall of the path and teach nothing.
const OUTLIER: f64 = 15.0;
/// Milliseconds between two groups count at most this much for the threshold.
const STEP_MAX: f64 = 100.0;
/// How long the slope stays above the threshold before it is believed, in milliseconds.
const PERSISTENCE: f64 = 10.0;

/// What the sender does to the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// The queue keeps its length.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It shrinks.
    Under,
}

/// The detector of a queue that grows.
#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival and smoothed delay of the latest groups, in milliseconds; a ring.
    points: [(f64, f64); WINDOW],
    seen: u32,
    origin: Option<i64>,
    delay: f64,
    smoothed: f64,
    threshold: f64,
    slope: f64,
    above: f64,
    times_above: u32,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            seen: 0,
            origin: None,
            delay: 0.0,
            smoothed: 0.0,
            threshold: THRESHOLD,
            slope: 0.0,
            above: 0.0,
            times_above: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    /// The present judgment.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the change from one group to the next.
    pub(super) fn add(&mut self, change: Change) {
        let departed = change.departure as f64 / 1_000.0;
        let arrived = change.arrival as f64 / 1_000.0;
        let origin = *self.origin.get_or_insert(change.at);
        self.delay += arrived - departed;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        self.points[self.seen as usize % WINDOW] =
            ((change.at - origin) as f64 / 1_000.0, self.smoothed);
        // The remainder has to stay right when the counter is held down.
        self.seen = if self.seen >= 1_000 * WINDOW as u32 {
            self.seen + 1 - 500 * WINDOW as u32
        } else {
            self.seen + 1
        };
        if (self.seen as usize) < WINDOW {
            return;
        }
        let slope = self.fit().unwrap_or(self.slope);
        self.judge(slope, departed, arrived);
    }

    /// The least squares slope through all points; `None` where they lie above one another.
    fn fit(&self) -> Option<f64> {
        let count = WINDOW as f64;
        let (sum_x, sum_y) = self
            .points
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (over, under) = self.points.iter().fold((0.0, 0.0), |sum, (x, y)| {
            let x = x - mean_x;
            (sum.0 + x * (y - mean_y), sum.1 + x * x)
        });
        (under > 0.0).then(|| over / under)
    }

    fn judge(&mut self, slope: f64, departed: f64, arrived: f64) {
        let size = f64::from(self.seen.min(FULL_CONFIDENCE)) * slope * GAIN;
        if size > self.threshold {
            // When the slope crosses the threshold, it did so half a group ago on average.
            self.above += if self.times_above == 0 {
                departed / 2.0
            } else {
                departed
            };
            self.times_above += 1;
            if self.above > PERSISTENCE && self.times_above > 1 && slope >= self.slope {
                self.above = 0.0;
                self.times_above = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.above = 0.0;
            self.times_above = 0;
            self.usage = if size < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.slope = slope;
        self.adapt(size.abs(), arrived);
    }

    fn adapt(&mut self, size: f64, elapsed: f64) {
        if size > self.threshold + OUTLIER {
            return;
        }
        let follow = if size < self.threshold {
            FOLLOW_DOWN
        } else {
            FOLLOW_UP
        };
        self.threshold += follow * (size - self.threshold) * elapsed.min(STEP_MAX);
        self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(trend: &mut Trend, groups: usize, at: &mut i64, gap: i64) {
        for _ in 0..groups {
            *at += gap;
            trend.add(Change {
                departure: 20_000,
                arrival: gap,
                at: *at,
            });
        }
    }

    #[test]
    fn a_growing_queue_is_over_a_shrinking_one_under() {
        let (mut trend, mut at) = (Trend::default(), 0);
        run(&mut trend, 100, &mut at, 20_000);
        assert_eq!(trend.usage(), Usage::Normal);
        // 5 % too fast: one millisecond more for each group.
        run(&mut trend, 30, &mut at, 21_000);
        assert_eq!(trend.usage(), Usage::Over);
        run(&mut trend, 60, &mut at, 19_000);
        assert_eq!(trend.usage(), Usage::Under);
        run(&mut trend, 80, &mut at, 20_000);
        assert_eq!(trend.usage(), Usage::Normal);
    }

    #[test]
    fn jitter_alone_is_normal() {
        let (mut trend, mut at, mut random) = (Trend::default(), 0, fastrand::Rng::with_seed(3));
        let mut late = 0;
        for _ in 0..20_000 {
            let next = random.i64(0..4_000);
            let gap = 20_000 + next - late;
            late = next;
            at += gap;
            trend.add(Change {
                departure: 20_000,
                arrival: gap,
                at,
            });
            assert_ne!(trend.usage(), Usage::Over);
        }
    }

    #[test]
    fn the_ring_keeps_its_order_for_ever() {
        let (mut trend, mut at) = (Trend::default(), 0);
        run(&mut trend, 100_000, &mut at, 20_000);
        run(&mut trend, 30, &mut at, 21_000);
        assert_eq!(trend.usage(), Usage::Over);
        assert!(trend.seen < 30_000);
    }
}
