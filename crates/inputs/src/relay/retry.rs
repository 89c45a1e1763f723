//! How long to wait before an origin is asked again. Pure: chance is an argument.

use std::time::Duration;

/// The first wait after a session that stood was lost: viewers are there.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait of our own. Longer spares an origin that is down, shorter resumes sooner.
const LONGEST: Duration = Duration::from_secs(15);

/// The longest wait that an origin can ask for: a minute keeps no viewer either.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Waits that double.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
}

impl Retry {
    /// A session stood.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure. `asked` is what the origin wants, `chance` from 0 to 1
    /// spreads those who lost the same origin.
    pub(super) fn failed(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let least = asked.unwrap_or_default().min(LONGEST_ASKED);
        doubled.max(least) + doubled.mul_f64(chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_success() {
        let mut retry = Retry::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| retry.failed(None, 0.0).as_millis() as u64)
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
        assert_eq!(retry.failed(None, 1.0), Duration::from_millis(22_500));
        retry.succeeded();
        assert_eq!(retry.failed(None, 0.0), FIRST);
    }

    #[test]
    fn an_origin_is_not_asked_sooner_than_it_wants_nor_left_for_ever() {
        let mut retry = Retry::default();
        let asked = Some(Duration::from_secs(5));
        assert_eq!(retry.failed(asked, 0.0), Duration::from_secs(5));
        let absurd = Some(Duration::from_secs(1 << 40));
        assert_eq!(retry.failed(absurd, 0.0), LONGEST_ASKED);
    }
}
