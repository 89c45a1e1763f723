//! The one clock of publisher and viewers.

use std::time::{Duration, Instant, SystemTime};

/// Kernel times that differ more than this from the read's own time are not believed: the system
/// clock was set meanwhile.
const BELIEVABLE: Duration = Duration::from_secs(5);

/// Converts between the process's monotonic time, microseconds since the start, and the kernel's
/// receive timestamps, which are on the system clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
    /// One moment on both clocks.
    monotonic: Instant,
    system: Duration,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        let epoch = Instant::now();
        let (monotonic, system) = both();
        Self {
            epoch,
            monotonic,
            system,
        }
    }

    /// Reads both clocks anew, since the system clock may be slewed or set.
    pub(crate) fn refresh(&mut self) {
        (self.monotonic, self.system) = both();
    }

    /// Microseconds from the start of the process to `at`.
    pub(crate) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    /// When the kernel received what was read at `read`; `read` itself where it does not say.
    pub(crate) fn arrival(&self, kernel: Option<Duration>, read: Instant) -> Instant {
        let Some(kernel) = kernel else {
            return read;
        };
        let arrival = if kernel >= self.system {
            self.monotonic.checked_add(kernel - self.system)
        } else {
            self.monotonic.checked_sub(self.system - kernel)
        };
        arrival
            .filter(|at| *at <= read && read.saturating_duration_since(*at) < BELIEVABLE)
            .unwrap_or(read)
    }
}

fn both() -> (Instant, Duration) {
    // Of a few tries the quickest is the most exact one.
    (0..5)
        .map(|_| {
            let before = Instant::now();
            let system = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let took = before.elapsed();
            (took, (before + took / 2, system))
        })
        .min_by_key(|(took, _)| *took)
        .map_or_else(|| (Instant::now(), Duration::ZERO), |(_, both)| both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_times_land_between_start_and_read() {
        let clock = Clock::start();
        let kernel = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        let read = Instant::now() + Duration::from_millis(2);
        let arrival = clock.arrival(Some(kernel), read);
        let lag = read - arrival;
        assert!(
            (Duration::from_millis(1)..Duration::from_secs(2)).contains(&lag),
            "{lag:?}"
        );
    }

    #[test]
    fn times_that_make_no_sense_are_not_believed() {
        let clock = Clock::start();
        let read = Instant::now();
        assert_eq!(clock.arrival(None, read), read);
        assert_eq!(clock.arrival(Some(Duration::from_secs(1)), read), read);
        let future = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            + Duration::from_secs(100);
        assert_eq!(clock.arrival(Some(future), read), read);
    }
}
