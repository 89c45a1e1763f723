//! How much is lost (draft-ietf-rmcat-gcc-02, section 6).

use super::throughput::{MILLISECOND, Micros, SECOND};

/// Below this share packets are lost for other reasons than a full queue: growth goes on.
const HARMLESS: f64 = 0.02;
/// Above this share growth has met the path's end where no queue shows it (a policer, a short
/// queue): the estimate steps back by what was lost, once, and growth may try again.
const MET: f64 = 0.04;
/// Above this share the estimate falls by half of it, again and again.
const HARMFUL: f64 = 0.10;
/// A window is judged after this time with this many packets: with fewer, one lost packet would
/// be several per cent,
const WINDOW: Micros = 250 * MILLISECOND;
const PACKETS: u32 = 40;
/// or after this time with this many, so that a thin stream is judged too.
const WINDOW_MAX: Micros = SECOND;
const PACKETS_MIN: u32 = 10;
/// What a new window leaves of the older ones' weight.
const MEMORY: f64 = 0.6;
/// After a decrease its effect is awaited for this long and a round trip.
const PATIENCE: Micros = 300 * MILLISECOND;

/// What loss allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Too little to matter.
    Grow,
    /// Stay.
    Hold,
    /// Fall by this share of the estimate.
    Fall(f64),
}

/// Counts of what arrived and what did not.
#[derive(Debug, Default)]
pub(super) struct Loss {
    arrived: u32,
    missing: u32,
    window_began: Micros,
    weighted_packets: f64,
    weighted_missing: f64,
    quiet_until: Micros,
    /// Growth was allowed since the estimate last stepped back.
    grew: bool,
}

impl Loss {
    /// A packet arrived; earlier feedback may have called it missing.
    pub(super) fn arrived(&mut self, was_missing: bool) {
        self.arrived += 1;
        if was_missing {
            self.missing = self.missing.saturating_sub(1);
        }
    }

    /// A packet did not arrive.
    pub(super) fn missing(&mut self) {
        self.missing += 1;
    }

    /// Judges after feedback. A fall is told once; the next needs new losses.
    /// `queued`: packets wait on the path, so what is lost was dropped by a full queue.
    pub(super) fn judge(&mut self, now: Micros, round_trip: Micros, queued: bool) -> Verdict {
        if now < self.quiet_until {
            // Losses of what left before the fall: they have been answered.
            (self.arrived, self.missing, self.window_began) = (0, 0, now);
            return Verdict::Hold;
        }
        let (packets, age) = (
            self.arrived + self.missing,
            now.saturating_sub(self.window_began),
        );
        let ends =
            (age >= WINDOW && packets >= PACKETS) || (age >= WINDOW_MAX && packets >= PACKETS_MIN);
        if !ends {
            // After a fall nothing is known until a window has ended.
            let known = self.weighted_packets > 0.0 || self.quiet_until == 0;
            let harmless = known && self.share() < HARMLESS;
            return if harmless {
                Verdict::Grow
            } else {
                Verdict::Hold
            };
        }
        self.weighted_packets = self.weighted_packets * MEMORY + f64::from(packets);
        self.weighted_missing = self.weighted_missing * MEMORY + f64::from(self.missing);
        (self.arrived, self.missing, self.window_began) = (0, 0, now);
        let fall = match self.share() {
            share if share < HARMLESS => {
                self.grew = true;
                return Verdict::Grow;
            }
            share if queued => share.max(MET),
            share if share > HARMFUL => share / 2.0,
            share if share > MET && self.grew => share,
            _ => return Verdict::Hold,
        };
        self.grew = false;
        self.quiet_until = now + PATIENCE + round_trip;
        (self.weighted_packets, self.weighted_missing) = (0.0, 0.0);
        Verdict::Fall(fall)
    }

    /// The share that is lost.
    fn share(&self) -> f64 {
        if self.weighted_packets == 0.0 {
            return 0.0;
        }
        self.weighted_missing / self.weighted_packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts over ten seconds in which of every hundred packets `lost` are missing.
    fn verdicts(lost: u32, packets_per_step: u32) -> Vec<Verdict> {
        let mut loss = Loss::default();
        let mut packet = 0;
        (1..100)
            .map(|step| {
                for _ in 0..packets_per_step {
                    packet += 37;
                    if packet % 100 < lost {
                        loss.missing()
                    } else {
                        loss.arrived(false)
                    }
                }
                loss.judge(step * 100_000, 50_000, false)
            })
            .collect()
    }

    #[test]
    fn little_loss_is_nothing_much_loss_is_a_fall() {
        assert!(
            verdicts(0, 30)
                .iter()
                .all(|verdict| *verdict == Verdict::Grow)
        );
        assert!(
            verdicts(1, 100)
                .iter()
                .all(|verdict| *verdict == Verdict::Grow)
        );
        assert!(
            verdicts(6, 100)
                .iter()
                .skip(5)
                .all(|verdict| *verdict == Verdict::Hold)
        );
        let falls = |verdicts: Vec<Verdict>| {
            verdicts
                .iter()
                .filter(|verdict| matches!(verdict, Verdict::Fall(_)))
                .count()
        };
        // Moderate loss from the start is the path's own; after growth it is met once.
        assert!(falls(verdicts(7, 100)) <= 1);
        // One for each 350 ms at most, and a thin stream is judged too.
        assert!((15..=28).contains(&falls(verdicts(20, 30))));
        assert!(falls(verdicts(20, 2)) >= 5);
    }

    #[test]
    fn what_turns_up_was_not_lost() {
        let mut loss = Loss::default();
        for step in 1..50 {
            for _ in 0..10 {
                loss.missing();
            }
            for packet in 0..40 {
                loss.arrived(packet < 10);
            }
            assert_eq!(loss.judge(step * 300_000, 0, true), Verdict::Grow);
        }
    }
}
