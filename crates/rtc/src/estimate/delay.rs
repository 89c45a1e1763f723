//! How long the queue on the path is: the least delay of the latest packets above the least that
//! the path ever showed. The clocks of both ends differ by an unknown constant, which cancels.

use super::throughput::{Micros, SECOND};

/// How long a least delay counts: it lives for one to two such spans. Shorter forgets the empty
/// path while a queue stands, longer takes a new route for a queue.
const SPAN: Micros = 10 * SECOND;

/// The queue on the path.
#[derive(Debug, Default)]
pub(super) struct Delay {
    /// The least delays of the present span and of the one before.
    least: Option<i64>,
    former: Option<i64>,
    span_ends: Micros,
    /// The least delay within the feedback at hand.
    latest: Option<i64>,
    queue: Micros,
}

impl Delay {
    /// Takes a packet of the feedback at hand. `arrival` is by the receiver's clock.
    pub(super) fn add(&mut self, departure: Micros, arrival: i64) {
        let delay = arrival.saturating_sub_unsigned(departure);
        self.latest = Some(self.latest.map_or(delay, |least| least.min(delay)));
    }

    /// Ends the feedback at hand.
    pub(super) fn end(&mut self, now: Micros) {
        let Some(latest) = self.latest.take() else {
            return;
        };
        if now >= self.span_ends {
            self.former = self.least.take();
            self.span_ends = now + SPAN;
        }
        let least = self.least.map_or(latest, |least| least.min(latest));
        self.least = Some(least);
        let floor = self.former.map_or(least, |former| former.min(least));
        self.queue = latest.abs_diff(floor);
    }

    /// When a packet arrives that leaves at `departure` and waits as long as the latest ones did.
    pub(super) fn arrival(&self, departure: Micros) -> Option<i64> {
        let floor = self.former.into_iter().chain(self.least).min()?;
        Some(
            floor
                .saturating_add_unsigned(departure)
                .saturating_add_unsigned(self.queue),
        )
    }

    /// How long a packet waits now.
    pub(super) fn queue(&self) -> Micros {
        self.queue
    }

    /// Takes the present delay for the path's own.
    pub(super) fn accept(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_what_exceeds_the_least_delay() {
        let mut delay = Delay::default();
        for step in 0..100_u64 {
            let now = step * 100_000;
            let waits = if step < 50 { 0 } else { 40_000 };
            delay.add(now, -77_000_000 + now as i64 + waits + 5_000);
            delay.add(now, -77_000_000 + now as i64 + waits);
            delay.end(now);
            assert_eq!(delay.queue(), waits as u64);
        }
        // A longer route is a queue for two spans at most.
        for step in 100..310_u64 {
            let now = step * 100_000;
            delay.add(now, -77_000_000 + now as i64 + 40_000);
            delay.end(now);
        }
        assert_eq!(delay.queue(), 0);
    }
}
