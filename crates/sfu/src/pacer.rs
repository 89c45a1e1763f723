//! Spreads bursts towards one viewer.

use std::time::{Duration, Instant};

/// Bytes that may leave at once. A frame of a few dozen packets passes untouched; a keyframe of
/// hundreds is spread. More risks the short queues of home routers, less delays keyframes.
const BURST: u64 = 96 * 1024;

/// Least rate in bytes per second: 40 Mbit/s lets a 200 KB keyframe pass within 25 ms.
const LEAST_RATE: u64 = 5_000_000;

/// Bytes that may leave at once at least: a frame of a dozen packets.
const LEAST_BURST: u64 = 16 * 1024;

/// A token bucket in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    tokens: u64,
    refilled: Instant,
    rate: u64,
    burst: u64,
}

impl Pacer {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            rate: LEAST_RATE,
            burst: BURST,
        }
    }

    /// Tells the media's own bitrate in bits per second: the pace is five times that, so that no
    /// backlog can last.
    pub fn set_bitrate(&mut self, bits_per_second: u64) {
        self.rate = (bits_per_second / 8 * 5).max(LEAST_RATE);
        self.burst = BURST;
    }

    /// Tells what the way carries in bits per second, by estimate: the pace is two and a half
    /// times that, and a burst lasts 50 ms of it at most, so that the queues of a narrow way stay
    /// short.
    pub fn set_capacity(&mut self, bits_per_second: u64) {
        self.rate = (bits_per_second / 8 * 5 / 2).max(LEAST_BURST);
        self.burst = (self.rate / 20).clamp(LEAST_BURST, BURST);
        self.tokens = self.tokens.min(self.burst);
    }

    /// Takes `bytes` from the bucket. `false`: not now; ask again at [`Self::next`].
    pub fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled);
        // Refill in steps of at least 100 us, so that rounding loses nothing worth counting.
        if elapsed >= Duration::from_micros(100) {
            let micros = u64::try_from(elapsed.as_micros())
                .unwrap_or(u64::MAX)
                .min(1_000_000);
            self.tokens = (self.tokens + self.rate * micros / 1_000_000).min(self.burst);
            self.refilled = now;
        }
        let bytes = bytes as u64;
        if self.tokens < bytes {
            return false;
        }
        self.tokens -= bytes;
        true
    }

    /// When the next packets can leave.
    pub fn next(&self) -> Instant {
        self.refilled + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_passes_and_a_huge_keyframe_is_spread_at_the_rate() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let mut now = start;
        let mut left = 400 * 1024_i64;
        let mut longest = 0;
        while left > 0 {
            let mut burst = 0;
            while left > 0 && pacer.take(1200, now) {
                left -= 1200;
                burst += 1200;
            }
            longest = longest.max(burst);
            now = pacer.next();
        }
        assert!(longest as u64 <= BURST);
        let took = now - start;
        let ideal = Duration::from_secs_f64((400.0 * 1024.0 - BURST as f64) / LEAST_RATE as f64);
        assert!(
            took >= ideal && took < ideal * 12 / 10,
            "{took:?} against {ideal:?}"
        );
    }
}
