//! Time: the peer's clock as seen from ours, and the round trip. Microseconds, unrolled.

use std::time::{Duration, Instant};

use super::sequence::unroll_timestamp;

/// Samples that one correction of the clock is made of. An acknowledgement comes at most every
/// 10 ms, so this is 2.5 s: fewer would follow jitter, more would fall behind a bad clock.
const DRIFT_SAMPLES: u32 = 256;

/// A correction changes the time of delivery by no more than this, microseconds: 400 ppm, four
/// times what clocks drift. A higher value lets jitter be seen, a lower one loses bad clocks.
const MAX_CORRECTION: i64 = 1_000;

/// Round trips beyond this are no measurement but an accident.
const MAX_RTT: Duration = Duration::from_secs(10);

/// What the round trip is taken for before the first measurement.
const FIRST_RTT: Duration = Duration::from_millis(100);

/// `later - earlier` in microseconds, negative when it is the other way round.
pub(super) fn signed_micros(later: Instant, earlier: Instant) -> i64 {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    match later.checked_duration_since(earlier) {
        Some(ahead) => micros(ahead),
        None => -micros(earlier.duration_since(later)),
    }
}

fn shift(instant: Instant, micros: i64) -> Instant {
    let by = Duration::from_micros(micros.unsigned_abs());
    let shifted = if micros < 0 {
        instant.checked_sub(by)
    } else {
        instant.checked_add(by)
    };
    shifted.unwrap_or(instant)
}

/// The peer's clock: which moment here its timestamps stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerClock {
    local: Instant,
    peer: u64,
    /// The latest timestamp, near which others are unrolled.
    latest: u64,
    first_rtt: Option<Duration>,
    drift_sum: i64,
    drift_samples: u32,
}

impl PeerClock {
    /// Begins with a packet of the handshake: what it says is now.
    pub(super) fn new(timestamp: u32, now: Instant) -> Self {
        // One wrap above zero, so that earlier timestamps exist.
        let peer = (1 << 32) + u64::from(timestamp);
        Self {
            local: now,
            peer,
            latest: peer,
            first_rtt: None,
            drift_sum: 0,
            drift_samples: 0,
        }
    }

    /// Unrolls a timestamp and remembers the latest.
    pub(super) fn unroll(&mut self, timestamp: u32) -> u64 {
        let unrolled = unroll_timestamp(self.latest, timestamp);
        self.latest = self.latest.max(unrolled);
        unrolled
    }

    /// The moment here of an unrolled timestamp.
    pub(super) fn local(&self, timestamp: u64) -> Instant {
        let distance = i128::from(timestamp) - i128::from(self.peer);
        shift(self.local, i64::try_from(distance).unwrap_or(0))
    }

    /// Takes the timestamp of a packet that the peer sent at once, to follow its clock.
    ///
    /// Half of what the round trip has changed by since the first sample is travel, not drift.
    pub(super) fn sample(&mut self, timestamp: u32, rtt: Duration, now: Instant) {
        let unrolled = self.unroll(timestamp);
        let first = *self.first_rtt.get_or_insert(rtt);
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(0);
        let travel = (micros(rtt) - micros(first)) / 2;
        let late = signed_micros(now, self.local(unrolled)) - travel;
        // The first sample says how far the handshake's packet was off; that is no drift, but
        // latency counts from the handshake, so it is corrected all the same.
        self.drift_sum = self.drift_sum.saturating_add(late);
        self.drift_samples += 1;
        if self.drift_samples == DRIFT_SAMPLES {
            let mean = self.drift_sum / i64::from(DRIFT_SAMPLES);
            let correction = mean.clamp(-MAX_CORRECTION, MAX_CORRECTION);
            self.local = shift(self.local, correction);
            self.drift_sum = 0;
            self.drift_samples = 0;
        }
    }
}

/// The round trip, smoothed as in RFC 6298.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    smoothed: Duration,
    variance: Duration,
    measured: bool,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self {
            smoothed: FIRST_RTT,
            variance: FIRST_RTT / 2,
            measured: false,
        }
    }
}

impl RoundTrip {
    pub(super) fn sample(&mut self, rtt: Duration) {
        let rtt = rtt.min(MAX_RTT);
        if self.measured {
            let off = self.smoothed.abs_diff(rtt);
            self.variance = (self.variance * 3 + off) / 4;
            self.smoothed = (self.smoothed * 7 + rtt) / 8;
        } else {
            self.smoothed = rtt;
            self.variance = rtt / 2;
            self.measured = true;
        }
    }

    /// The receiver's own measurement as it comes with an acknowledgement, in microseconds.
    pub(super) fn report(&mut self, rtt: u32, variance: u32) {
        let micros = |value: u32| Duration::from_micros(value.into()).min(MAX_RTT);
        self.smoothed = micros(rtt);
        self.variance = micros(variance);
        self.measured = true;
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(super) fn variance(&self) -> Duration {
        self.variance
    }

    /// After this long an answer that has not come is lost.
    pub(super) fn patience(&self) -> Duration {
        self.smoothed + self.variance * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some moment to begin with"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn timestamps_keep_their_distance_across_the_wrap() {
        let now = start();
        let mut clock = PeerClock::new(u32::MAX - 10, now);
        let later = clock.unroll(5);
        assert_eq!(clock.local(later) - now, Duration::from_micros(16));
        let earlier = clock.unroll(u32::MAX - 110);
        assert_eq!(now - clock.local(earlier), Duration::from_micros(100));
    }

    #[test]
    fn a_clock_that_runs_fast_is_followed() {
        let begin = start();
        let mut clock = PeerClock::new(0, begin);
        let rtt = Duration::from_millis(50);
        // The peer's clock gains 100 ppm.
        let peer = |elapsed: u64| u32::try_from((elapsed + elapsed / 10_000) & 0xffff_ffff);
        let mut worst = 0;
        for tick in 0..360_000u64 {
            let elapsed = tick * 10_000;
            let now = begin + Duration::from_micros(elapsed);
            let timestamp = peer(elapsed).expect("32 bits");
            clock.sample(timestamp, rtt, now);
            let unrolled = clock.unroll(timestamp);
            worst = worst.max(signed_micros(clock.local(unrolled), now).abs());
        }
        // An hour, in which the clock gains 360 ms.
        assert!(worst < 1_000, "off by {worst} us");
    }

    #[test]
    fn a_longer_way_is_not_taken_for_drift() {
        let begin = start();
        let mut clock = PeerClock::new(0, begin);
        for tick in 0..4_000u64 {
            let slower = if tick < 1_000 { 0 } else { 30_000 };
            let rtt = Duration::from_micros(50_000 + 2 * slower);
            let now = begin + Duration::from_micros(tick * 10_000 + slower);
            let timestamp = u32::try_from(tick * 10_000).expect("32 bits");
            clock.sample(timestamp, rtt, now);
        }
        assert_eq!(clock.local(1 << 32), begin);
    }

    #[test]
    fn the_round_trip_settles() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.smoothed(), FIRST_RTT);
        for _ in 0..50 {
            rtt.sample(Duration::from_millis(20));
        }
        assert_eq!(rtt.smoothed(), Duration::from_millis(20));
        assert!(rtt.patience() < Duration::from_millis(21));
        rtt.sample(Duration::from_secs(1_000));
        assert!(rtt.smoothed() < Duration::from_secs(2));
    }
}
