//! Waits between tries to reach another server.

use std::time::Duration;

/// The first wait: a target that restarts is back in about that time.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait. More spares a target that is down; less is sooner back when it returns.
const LONGEST: Duration = Duration::from_secs(60);

/// A connection that held so long was a success: the next wait is the first again.
const HELD: Duration = Duration::from_secs(30);

/// Waits that double from a second to a minute, each a quarter shorter or longer by chance, so
/// that many who lost the same server do not come back at once.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after a connection that held for `held`; zero where there was none.
    pub fn after(&mut self, held: Duration) -> Duration {
        if held >= HELD {
            self.failures = 0;
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LONGEST).mul_f64(0.75 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(wait: Duration, seconds: f64) {
        let share = wait.as_secs_f64() / seconds;
        assert!(
            (0.75..=1.25).contains(&share),
            "{wait:?} is not near {seconds} s"
        );
    }

    #[test]
    fn waits_grow_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            near(backoff.after(Duration::ZERO), seconds);
        }
        near(backoff.after(Duration::from_secs(31)), 1.0);
        near(backoff.after(Duration::from_secs(29)), 2.0);
        for _ in 0..100 {
            near(Backoff { failures: u32::MAX }.after(Duration::ZERO), 60.0);
        }
    }
}
