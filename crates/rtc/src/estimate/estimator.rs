//! The estimator: joins the parts, in the order in which a packet and a feedback meet them.

use std::time::{Duration, Instant};

use super::delay::Delay;
use super::feedback::{Feedback, MalformedFeedback, Report};
use super::groups::Groups;
use super::history::History;
use super::loss::{Loss, Verdict};
use super::probe::{Outcome, Prober};
use super::rate::{FLOOR, Measures, Rate, Step};
use super::throughput::{MILLISECOND, Micros, SECOND, Throughput};
use super::trend::{Trend, Usage};

/// Sending less than this share of the estimate is limited by the source, not by the path.
const LIMITED: f64 = 0.65;
/// Without feedback the estimate is held for this long: a receiver's main thread may stall,
const SILENCE: Micros = 2 * SECOND;
/// and then falls by this, once in each such time.
const FADE: f64 = 0.8;
const FADE_EVERY: Micros = SECOND;
/// A 250 us unit of feedback, and how many of them a 64 ms unit of its reference time has.
const TICK: i64 = 250;
const TICKS_PER_REFERENCE: i64 = 256;
/// A clock that has come so far (two thousand years) lies; it begins anew, or its microseconds
/// would leave 64 bits.
const REFERENCE_LIMIT: i64 = 1 << 40;

/// Estimates what one receiver's path carries.
///
/// Every packet that bears a transport-wide sequence number goes through [`sent`](Self::sent),
/// padding too. Time must not run backwards; where it does, it counts as standing still.
/// After any call, [`padding`](Self::padding) and [`poll_timeout`](Self::poll_timeout) may have
/// changed.
#[derive(Debug)]
pub(crate) struct Estimator {
    origin: Instant,
    history: History,
    sending: Throughput,
    arriving: Throughput,
    groups: Groups,
    trend: Trend,
    delay: Delay,
    loss: Loss,
    rate: Rate,
    prober: Prober,
    /// What the receiver allows.
    cap: Option<u64>,
    /// The number after the newest packet reported on.
    reached: u64,
    /// The receiver's clock as last seen, in 64 ms, unwrapped.
    reference: Option<i64>,
    /// When silence is next held against the estimate; `None` while nothing is to be heard.
    silent_at: Option<Micros>,
    /// Feedback was heard at all.
    heard: bool,
}

impl Estimator {
    /// Begins at `start` bits per second.
    pub(crate) fn new(start: u64, now: Instant) -> Self {
        Self {
            origin: now,
            history: History::default(),
            sending: Throughput::default(),
            arriving: Throughput::default(),
            groups: Groups::default(),
            trend: Trend::default(),
            delay: Delay::default(),
            loss: Loss::default(),
            rate: Rate::new(start),
            prober: Prober::new(),
            cap: None,
            reached: 0,
            reference: None,
            silent_at: None,
            heard: false,
        }
    }

    /// Notes a packet of `bytes` that leaves now; gives the transport-wide sequence number to
    /// write into it.
    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) -> u16 {
        let now = self.micros(now);
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.prober.advance(self.history.next(), now);
        self.prober.sent(u64::from(size));
        self.sending.add(now.cast_signed(), size);
        match self.silent_at {
            Some(at) if now >= at => {
                // Only a receiver that used to answer is missed: one that never does may not know
                // this feedback, and starving it would not bring any.
                if self.heard {
                    self.rate.fade(FADE);
                }
                self.silent_at = Some(now + FADE_EVERY);
            }
            Some(_) => {}
            None => self.silent_at = Some(now + SILENCE),
        }
        self.history.push(bytes, now)
    }

    /// Takes transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01). `body`
    /// begins after the two SSRCs, with the base sequence number. Malformed feedback is refused
    /// and changes nothing.
    pub(crate) fn feedback(&mut self, body: &[u8], now: Instant) -> Result<(), MalformedFeedback> {
        let feedback = Feedback::parse(body)?;
        let now = self.micros(now);
        self.prober.advance(self.history.next(), now);
        let Some(base) = self.history.unwrap(feedback.base) else {
            return Ok(());
        };
        self.heard = true;
        self.silent_at = None;
        let reference = self.reference(feedback.reference);
        self.skipped(base, now);
        feedback.each(|report| match report {
            Report::Arrived { position, ticks } => {
                let arrival = (reference * TICKS_PER_REFERENCE + ticks) * TICK;
                self.arrived(base + u64::from(position), arrival, now);
            }
            Report::Missing { position, count } => {
                self.missing(base + u64::from(position), u64::from(count));
            }
        });
        self.delay.end(now);
        self.reached = self
            .reached
            .max((base + u64::from(feedback.count)).min(self.history.next()));
        self.update(now);
        Ok(())
    }

    /// Takes the round trip as the receiver's reports give it.
    pub(crate) fn round_trip(&mut self, rtt: Duration) {
        self.rate.set_round_trip(micros(rtt));
    }

    /// Takes what the receiver allows at most (REMB).
    pub(crate) fn remb(&mut self, bits_per_second: u64) {
        self.cap = Some(bits_per_second.max(FLOOR));
    }

    /// The estimate, in bits per second.
    pub(crate) fn bitrate(&self) -> u64 {
        let estimate = self.rate.estimate();
        self.cap.map_or(estimate, |cap| cap.min(estimate))
    }

    /// Tells what is sent and what would be worth sending, in bits per second. Nothing is probed
    /// beyond `wanted` (and a tenth, so that the measure does not end below it), and nothing at
    /// all while `wanted <= current`.
    pub(crate) fn set_wanted(&mut self, current: u64, wanted: u64) {
        let allowed = self.cap.map_or(wanted, |cap| cap.min(wanted));
        self.prober.set_wanted(current, allowed);
    }

    /// Bytes of padding that should leave now, 0 where none should. What is returned counts as
    /// spent; the caller sends it as packets of any size, each through [`sent`](Self::sent).
    pub(crate) fn padding(&mut self, now: Instant) -> usize {
        let now = self.micros(now);
        self.prober.advance(self.history.next(), now);
        self.prober.padding(now)
    }

    /// Advances to `now`; then call [`padding`](Self::padding).
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.micros(now);
        self.prober.advance(self.history.next(), now);
    }

    /// When padding leaves next, at most every 5 ms and only while a probe runs.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.prober
            .due()
            .map(|at| self.origin + Duration::from_micros(at))
    }

    fn arrived(&mut self, number: u64, arrival: i64, now: Micros) {
        let Some(packet) = self.history.arrived(number, now) else {
            return;
        };
        if !packet.was_assumed {
            self.arriving.add(arrival, packet.bytes);
        }
        self.delay.add(packet.departure, arrival);
        if self.prober.has(number) {
            // A probe fills the path on purpose: its queue and its losses are its own measure.
            self.prober
                .arrived(number, packet.bytes, packet.departure, arrival);
            self.groups.forget();
            return;
        }
        self.loss.arrived(packet.was_missing);
        if let Some(change) = self.groups.add(packet.departure, arrival) {
            self.trend.add(change);
        }
    }

    fn missing(&mut self, first: u64, count: u64) {
        for number in self.history.remembered(first, count) {
            if let Some(bytes) = self.history.missing(number)
                && !self.prober.missing(number, bytes)
            {
                self.loss.missing();
            }
        }
    }

    /// Feedback that starts at `base` follows feedback that was lost. What that would have
    /// reported on is taken for delivered: a hole in what arrives would look like congestion.
    fn skipped(&mut self, base: u64, now: Micros) {
        let count = base.saturating_sub(self.reached);
        for number in self.history.remembered(self.reached, count) {
            if let Some(packet) = self.history.assumed(number, now)
                && let Some(arrival) = self.delay.arrival(packet.departure)
            {
                self.arriving.add(arrival, packet.bytes);
            }
        }
    }

    /// Moves the estimate after feedback.
    fn update(&mut self, now: Micros) {
        let queued = self.delay.queue() > LOSSY_QUEUE;
        let verdict = self.loss.judge(now, self.rate.round_trip(), queued);
        let recent = self
            .arriving
            .recent()
            .unwrap_or_else(|| self.rate.estimate());
        let steady = self.arriving.steady().unwrap_or(0);
        let sending = self.sending.steady().unwrap_or(0);
        // A pause counts as little to send too, such as the one after a large frame.
        let least = self.sending.recent().unwrap_or(0).min(sending);
        match self.prober.judge(self.reached, now) {
            Some(Outcome::Proven(rate)) => self.rate.prove(rate, now),
            Some(Outcome::Filled(rate)) => self.rate.fill(rate, recent, now),
            Some(Outcome::Unknown) => {}
            None if self.prober.is_open() => {}
            None => {
                let measures = Measures {
                    usage: self.trend.usage(),
                    steady,
                    recent,
                    limited: (least as f64) < self.rate.estimate() as f64 * LIMITED,
                    queue: self.delay.queue(),
                    may_grow: verdict == Verdict::Grow,
                };
                match self.rate.update(measures, now) {
                    Step::Fell => self.prober.overused(now),
                    Step::Doubted => self.delay.accept(),
                    Step::Went => {}
                }
            }
        }
        if let Verdict::Fall(share) = verdict {
            self.rate.lose(share, now);
            self.prober.overused(now);
        }
        if self.trend.usage() != Usage::Over && self.delay.queue() < PROBE_QUEUE {
            self.prober
                .consider(self.rate.estimate(), sending, self.history.next(), now);
        }
    }

    /// Unwraps the receiver's 24-bit clock.
    fn reference(&mut self, reference: u32) -> i64 {
        let unwrapped = match self.reference {
            Some(last) if last.abs() < REFERENCE_LIMIT => {
                let ahead = reference.wrapping_sub(last as u32) << 8;
                last + i64::from(ahead.cast_signed() >> 8)
            }
            Some(_) | None => i64::from(reference),
        };
        self.reference = Some(unwrapped);
        unwrapped
    }

    fn micros(&self, now: Instant) -> Micros {
        micros(now.saturating_duration_since(self.origin))
    }
}

/// Losses while packets wait longer than this come from a full queue.
const LOSSY_QUEUE: Micros = 50 * MILLISECOND;
/// No probe begins while packets wait longer than this: it would only measure that queue.
const PROBE_QUEUE: Micros = 50 * MILLISECOND;

fn micros(duration: Duration) -> Micros {
    duration.as_secs().saturating_mul(SECOND) + u64::from(duration.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_clock_is_unwrapped_and_never_overflows() {
        let now = super::super::tests::start();
        let mut estimator = Estimator::new(1_000_000, now);
        assert_eq!(estimator.reference(0xff_fff0), 0xff_fff0);
        assert_eq!(estimator.reference(0x00_0010), 0x100_0010);
        assert_eq!(estimator.reference(0xff_fff8), 0xff_fff8);
        for far in [
            i64::MAX,
            i64::MIN + 1,
            REFERENCE_LIMIT - 1,
            1 - REFERENCE_LIMIT,
        ] {
            estimator.reference = Some(far);
            for step in 1..4_u8 {
                let number = estimator.sent(1200, now);
                let [high, low] = number.to_be_bytes();
                let body = [high, low, 0, 1, step * 0x50, 0, 0, 0, 0x20, 1, 4, 0];
                assert_eq!(estimator.feedback(&body, now), Ok(()));
            }
        }
    }

    #[test]
    fn an_estimator_is_small() {
        // Hundreds live on each core, besides 16 KB of history each.
        assert!(size_of::<Estimator>() < 1_200, "{}", size_of::<Estimator>());
    }
}
