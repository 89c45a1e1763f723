//! Where the estimate goes: additive or multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02, sections 5.5 and 6).

use super::throughput::{MILLISECOND, Micros, SECOND};
use super::trend::Usage;

/// Below this no video is worth sending; falling further would only make the way back longer.
pub(super) const FLOOR: u64 = 50_000;
/// Above what one receiver is ever sent: bounds what a lying receiver can ask for.
pub(super) const CEILING: u64 = 100_000_000;

/// What remains of the delivered rate when the queue grows: the rest empties the queue.
const BACK_OFF: f64 = 0.85;
/// A queue longer than this has to be emptied faster than that, or it would stand for seconds;
const DRAIN_FROM: Micros = 200 * MILLISECOND;
/// one that is longer by this
const DRAIN_SPAN: Micros = 800 * MILLISECOND;
/// leaves so much less of the delivered rate.
const DRAIN_MOST: f64 = 0.35;
/// What remains of the estimate when the queue grows though little is sent: what is delivered
/// then says nothing of the path.
const BACK_OFF_LIMITED: f64 = 0.7;
/// One decrease takes at most two thirds, so that one bad measure does not decide.
const BACK_OFF_MOST: f64 = 0.33;
/// Growth per second far from the path's known rate.
const GROWTH: f64 = 0.08;
/// No more than this beyond what arrives is believed without a probe,
const UNPROVEN: f64 = 1.5;
/// and this many bits per second, so that growth can begin at nothing.
const UNPROVEN_BASE: u64 = 10_000;
/// Growth waits while the queue is longer: the path is full though its queue keeps its length.
const QUEUE_HOLD: Micros = 75 * MILLISECOND;
/// A queue of this length is cut even though it does not grow,
const QUEUE_CUT: Micros = 200 * MILLISECOND;
/// by so many cuts in a row at most: a delay that resists them is the path's own.
const QUEUE_CUTS: u8 = 3;
/// So long after a fall what arrives without a queue is proven by that. Earlier it may be the
/// queue that empties.
const SETTLED: Micros = 2 * SECOND;
/// This share of it, or a sender that follows the estimate would climb on its own unevenness.
const PROVEN: f64 = 0.85;
/// Added to the round trip for the time until a change is seen: the distance of feedback.
const RESPONSE: Micros = 100 * MILLISECOND;
/// The size of the packets by which the estimate grows near the path's rate.
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// The least growth near the path's rate, in bits per second per second.
const GROWTH_LEAST: f64 = 4_000.0;
/// Until the receiver's reports give a round trip.
const ROUND_TRIP: Micros = 100 * MILLISECOND;

/// The measures that one feedback gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    /// What the sender does to the path.
    pub(super) usage: Usage,
    /// Bits per second that arrive, over half a second and over the last 200 ms.
    pub(super) steady: u64,
    /// See `steady`.
    pub(super) recent: u64,
    /// Clearly less is sent than the estimate allows.
    pub(super) limited: bool,
    /// How long packets wait.
    pub(super) queue: Micros,
    /// Loss allows growth.
    pub(super) may_grow: bool,
}

/// What one feedback did to the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It fell or stayed although the path is overused.
    Fell,
    /// It fell because of a queue that stood; the delay may as well be the path's own.
    Doubted,
    /// It stayed or grew.
    Went,
}

/// The estimate and what is known of the path.
#[derive(Debug)]
pub(super) struct Rate {
    estimate: u64,
    round_trip: Micros,
    /// The rate at which the path was found full.
    known: Option<Known>,
    holds: bool,
    grown_at: Micros,
    fell_at: Option<Micros>,
    queue_cuts: u8,
}

/// The path's rate: a mean and a deviation, in bits per second.
#[derive(Debug, Clone, Copy)]
struct Known {
    mean: f64,
    /// The variance over the mean, in kbit/s.
    spread: f64,
}

impl Rate {
    /// Begins at `start` bits per second.
    pub(super) fn new(start: u64) -> Self {
        Self {
            estimate: start.clamp(FLOOR, CEILING),
            round_trip: ROUND_TRIP,
            known: None,
            holds: false,
            grown_at: 0,
            fell_at: None,
            queue_cuts: 0,
        }
    }

    /// Bits per second.
    pub(super) fn estimate(&self) -> u64 {
        self.estimate
    }

    /// The round trip as last told.
    pub(super) fn round_trip(&self) -> Micros {
        self.round_trip
    }

    /// Notes the round trip; absurd ones count as ten seconds.
    pub(super) fn set_round_trip(&mut self, round_trip: Micros) {
        self.round_trip = round_trip.min(10 * SECOND);
    }

    /// Takes the measures of one feedback.
    pub(super) fn update(&mut self, measures: Measures, now: Micros) -> Step {
        let elapsed = now.saturating_sub(self.grown_at).min(SECOND);
        self.grown_at = now;
        let stands = measures.queue > QUEUE_CUT && measures.usage != Usage::Under;
        if !stands && measures.queue < QUEUE_HOLD {
            self.queue_cuts = 0;
        }
        match measures.usage {
            Usage::Over => {
                self.holds = true;
                // Who sends little fills no queue for long; a large frame fills it for a moment.
                let own = measures.limited && measures.queue < QUEUE_HOLD;
                if !own && self.may_fall(measures.recent, now) {
                    self.fall(measures, now);
                }
                Step::Fell
            }
            Usage::Under => {
                self.holds = true;
                Step::Went
            }
            Usage::Normal if stands => {
                self.holds = true;
                if self.since_fall(now) < SECOND + self.round_trip {
                    return Step::Went;
                }
                self.queue_cuts += 1;
                if self.queue_cuts > QUEUE_CUTS {
                    self.queue_cuts = 0;
                    return Step::Doubted;
                }
                self.fall(measures, now);
                Step::Fell
            }
            // One feedback after a queue has shrunk the path may still be full.
            Usage::Normal if self.holds => {
                self.holds = false;
                Step::Went
            }
            Usage::Normal => {
                if measures.may_grow && measures.queue < QUEUE_HOLD {
                    self.grow(measures.steady, elapsed as f64 / SECOND as f64);
                    if self.since_fall(now) > SETTLED {
                        let proven = (measures.steady as f64 * PROVEN) as u64;
                        self.set(self.estimate.max(proven));
                    }
                }
                Step::Went
            }
        }
    }

    /// A probe proved this rate.
    pub(super) fn prove(&mut self, rate: u64, now: Micros) {
        if rate > self.estimate {
            self.set(rate);
            self.grown_at = now;
            if self.known.is_some_and(|known| rate as f64 > known.upper()) {
                self.known = None;
            }
        }
    }

    /// A probe filled the path, which carried this rate. `recent` is what arrived lately.
    pub(super) fn fill(&mut self, rate: u64, recent: u64, now: Micros) {
        self.set(rate.max((recent as f64 * BACK_OFF) as u64));
        self.grown_at = now;
        self.holds = true;
    }

    /// This share of the estimate is taken away because of loss.
    pub(super) fn lose(&mut self, share: f64, now: Micros) {
        self.set((self.estimate as f64 * (1.0 - share)) as u64);
        self.fell_at = Some(now);
        self.holds = true;
    }

    /// Nothing is heard of the receiver.
    pub(super) fn fade(&mut self, factor: f64) {
        self.set((self.estimate as f64 * factor) as u64);
        self.holds = true;
    }

    fn since_fall(&self, now: Micros) -> Micros {
        self.fell_at
            .map_or(Micros::MAX, |at| now.saturating_sub(at))
    }

    /// A decrease shows after a round trip and one feedback; before, only a collapse falls again.
    fn may_fall(&self, recent: u64, now: Micros) -> bool {
        let since = self.since_fall(now);
        since >= self.round_trip.min(2 * RESPONSE) + RESPONSE
            || (recent < self.estimate / 2 && since >= RESPONSE)
    }

    fn fall(&mut self, measures: Measures, now: Micros) {
        let estimate = self.estimate as f64;
        let delivered = measures.recent as f64;
        let floor = if measures.limited {
            BACK_OFF_LIMITED
        } else {
            BACK_OFF_MOST
        };
        if !measures.limited {
            self.learn(delivered);
        }
        let long = measures.queue.saturating_sub(DRAIN_FROM).min(DRAIN_SPAN);
        let back_off = BACK_OFF - DRAIN_MOST * long as f64 / DRAIN_SPAN as f64;
        let target = (delivered * back_off).max(estimate * floor).min(estimate);
        self.set(target as u64);
        self.fell_at = Some(now);
    }

    fn learn(&mut self, rate: f64) {
        self.known = match self.known {
            Some(known) if rate >= known.lower() => Some(known.with(rate)),
            _ => Some(Known {
                mean: rate,
                spread: 0.4,
            }),
        };
    }

    fn grow(&mut self, steady: u64, seconds: f64) {
        let limit = (steady as f64 * UNPROVEN) as u64 + UNPROVEN_BASE;
        if self.estimate >= limit {
            return;
        }
        if self
            .known
            .is_some_and(|known| steady as f64 > known.upper())
        {
            self.known = None;
        }
        let estimate = self.estimate as f64;
        let near = self.known.is_some_and(|known| estimate > known.lower());
        let more = if near {
            let response = (self.round_trip + RESPONSE) as f64 / SECOND as f64;
            (PACKET_BITS / response).max(GROWTH_LEAST) * seconds
        } else {
            (estimate * GROWTH * seconds).max(1_000.0 * seconds)
        };
        self.set(((estimate + more) as u64).min(limit));
    }

    fn set(&mut self, estimate: u64) {
        self.estimate = estimate.clamp(FLOOR, CEILING);
    }
}

impl Known {
    fn with(self, rate: f64) -> Self {
        const WEIGHT: f64 = 0.05;
        let mean = (1.0 - WEIGHT) * self.mean + WEIGHT * rate;
        let error = (mean - rate) / 1_000.0;
        let spread =
            (1.0 - WEIGHT) * self.spread + WEIGHT * error * error / (mean / 1_000.0).max(1.0);
        Self {
            mean,
            spread: spread.clamp(0.4, 2.5),
        }
    }

    fn deviation(self) -> f64 {
        (self.spread * self.mean / 1_000.0).sqrt() * 1_000.0
    }

    fn lower(self) -> f64 {
        self.mean - 3.0 * self.deviation()
    }

    fn upper(self) -> f64 {
        self.mean + 3.0 * self.deviation()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Measures = Measures {
        usage: Usage::Normal,
        steady: 1_000_000,
        recent: 1_000_000,
        limited: false,
        queue: 0,
        may_grow: true,
    };

    #[test]
    fn grows_by_8_per_cent_up_to_what_is_believed() {
        let mut rate = Rate::new(1_000_000);
        for step in 1..=10 {
            rate.update(CALM, step * 100_000);
        }
        assert!(
            (1_078_000..1_085_000).contains(&rate.estimate()),
            "{}",
            rate.estimate()
        );
        for step in 11..=1_000 {
            rate.update(CALM, step * 100_000);
        }
        assert_eq!(rate.estimate(), 1_510_000);
    }

    #[test]
    fn believes_what_arrives() {
        let mut rate = Rate::new(300_000);
        rate.update(CALM, 100_000);
        assert_eq!(rate.estimate(), 850_000);
        rate.update(
            Measures {
                usage: Usage::Over,
                ..CALM
            },
            400_000,
        );
        rate.update(CALM, 500_000);
        rate.update(CALM, 600_000);
        assert!(rate.estimate() < 870_000, "{}", rate.estimate());
    }

    #[test]
    fn falls_below_what_arrives_once_per_response() {
        let mut rate = Rate::new(2_000_000);
        let over = Measures {
            usage: Usage::Over,
            ..CALM
        };
        assert_eq!(rate.update(over, 100_000), Step::Fell);
        assert_eq!(rate.estimate(), 850_000);
        let fewer = Measures {
            recent: 800_000,
            ..over
        };
        rate.update(fewer, 150_000);
        assert_eq!(rate.estimate(), 850_000);
        rate.update(fewer, 350_000);
        assert_eq!(rate.estimate(), 680_000);
        // Afterwards growth is quick to the known rate and slow near it.
        for step in 0..10 {
            rate.update(CALM, 400_000 + step * 100_000);
        }
        let before = rate.estimate();
        assert!(before > 715_000, "{before}");
    }

    #[test]
    fn a_sender_with_little_to_send_keeps_most() {
        let mut rate = Rate::new(5_000_000);
        let over = Measures {
            usage: Usage::Over,
            limited: true,
            recent: 300_000,
            queue: 90_000,
            ..CALM
        };
        rate.update(
            Measures {
                queue: 40_000,
                ..over
            },
            50_000,
        );
        assert_eq!(rate.estimate(), 5_000_000);
        rate.update(over, 100_000);
        assert_eq!(rate.estimate(), 3_500_000);
        rate.update(
            Measures {
                limited: true,
                steady: 300_000,
                ..CALM
            },
            900_000,
        );
        rate.update(
            Measures {
                limited: true,
                steady: 300_000,
                ..CALM
            },
            1_900_000,
        );
        assert_eq!(rate.estimate(), 3_500_000);
    }

    #[test]
    fn a_standing_queue_is_cut_and_in_the_end_believed() {
        let mut rate = Rate::new(1_000_000);
        let stands = Measures {
            queue: 400_000,
            ..CALM
        };
        let mut doubts = 0;
        for step in 0..60_u64 {
            let delivered = rate.estimate();
            let measures = Measures {
                steady: delivered,
                recent: delivered,
                ..stands
            };
            if rate.update(measures, step * 100_000) == Step::Doubted {
                doubts += 1;
                break;
            }
        }
        assert_eq!(doubts, 1);
        assert!(
            (430_000..460_000).contains(&rate.estimate()),
            "{}",
            rate.estimate()
        );
    }
}
