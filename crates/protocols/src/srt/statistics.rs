//! What a connection counts.

use std::time::{Duration, Instant};

/// Counts of one connection since it began, and its present rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The smoothed round trip.
    pub rtt: Duration,
    /// How much the round trip varies.
    pub rtt_variance: Duration,
    /// How long what comes in is held.
    pub receive_latency: Duration,
    /// How long the peer holds what we send.
    pub send_latency: Duration,
    /// Data packets that came, each once.
    pub packets_received: u64,
    /// Bytes of their payloads.
    pub bytes_received: u64,
    /// Packets that were missing when a later one came; most are recovered.
    pub packets_lost: u64,
    /// Missing packets that came after all, and in time.
    pub packets_recovered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after their time.
    pub packets_late: u64,
    /// Packets that were given up: the application never sees them.
    pub packets_dropped: u64,
    /// Packets whose key is not known; they count as dropped too.
    pub packets_undecryptable: u64,
    /// Datagrams that were no packet of SRT, or packets without a place in the buffer.
    pub packets_refused: u64,
    /// Payload bits per second that came in during the last second.
    pub receive_bitrate: u64,
    /// Data packets sent for the first time.
    pub packets_sent: u64,
    /// Bytes of their payloads.
    pub bytes_sent: u64,
    /// Packets sent again.
    pub packets_retransmitted: u64,
    /// Packets that were given up before the peer had them.
    pub packets_expired: u64,
    /// Payload bits per second that were handed in for sending during the last second.
    pub send_bitrate: u64,
    /// Packets that wait to be sent or to be acknowledged.
    pub send_queue: usize,
    /// How often the key for sending was replaced.
    pub key_changes: u64,
    /// Loss reports sent.
    pub naks_sent: u64,
    /// Loss reports that came.
    pub naks_received: u64,
}

/// How long a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// Packets and bytes per second, measured second by second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    begin: Instant,
    packets: u64,
    bytes: u64,
    packet_rate: u64,
    byte_rate: u64,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begin: now,
            packets: 0,
            bytes: 0,
            packet_rate: 0,
            byte_rate: 0,
        }
    }

    pub(super) fn count(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// Ends the second when it has passed.
    pub(super) fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begin);
        if passed < WINDOW {
            return;
        }
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.packet_rate = self.packets.saturating_mul(1000) / millis;
        self.byte_rate = self.bytes.saturating_mul(1000) / millis;
        self.packets = 0;
        self.bytes = 0;
        self.begin = now;
    }

    pub(super) fn packets_per_second(&self) -> u64 {
        self.packet_rate
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        self.byte_rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some moment to begin with"
    )]
    fn a_rate_is_that_of_the_last_second_and_falls_to_zero() {
        let begin = Instant::now();
        let mut meter = Meter::new(begin);
        for millis in 0..1000 {
            meter.count(100, begin + Duration::from_millis(millis));
        }
        meter.turn(begin + WINDOW);
        assert_eq!(
            (meter.packets_per_second(), meter.bytes_per_second()),
            (1000, 100_000)
        );
        meter.turn(begin + 2 * WINDOW);
        assert_eq!(meter.bytes_per_second(), 0);
    }
}
