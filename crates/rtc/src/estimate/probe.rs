//! Probes: short bursts of padding that prove that the path carries more than is sent.
//!
//! A probe raises what is sent to a target for a twentieth of a second or a little more. All
//! packets that leave meanwhile belong to it, media and padding alike; how fast they arrive tells
//! the rate. Targets climb step by step and end where more would not be used.

use super::throughput::{MILLISECOND, Micros, SECOND};

/// How long a probe lasts. Longer smooths jitter, shorter queues less on a path that is full.
const LENGTH: Micros = 50 * MILLISECOND;
const LENGTH_MAX: Micros = 250 * MILLISECOND;
/// A slow probe lasts until it has so many bytes, six packets: fewer measure nothing.
const BYTES_LEAST: u64 = 7_200;
/// Padding leaves at this distance: shorter wakes the caller more often.
const TICK: Micros = 5 * MILLISECOND;
/// A caller that wakes late catches up by so many ticks at most; more would be a burst.
const TICKS_MOST: u64 = 4;
/// Less padding than this waits for the next tick.
const PADDING_LEAST: u64 = 100;

/// The first probe asks for so many times the estimate, which is a guess then,
const FIRST_STEP: f64 = 3.0;
/// later ones for so many.
const STEP: f64 = 2.0;
/// Targets end this far above what is wanted, so that the measure does not end below it.
const MARGIN: f64 = 1.1;
/// At this share of the target the next step follows at once.
const CLIMB: f64 = 0.9;
/// Arriving slower than this share of how it left, a probe filled the path,
const FULL: f64 = 0.9;
/// which then carries a little less than was measured.
const FULL_SHARE: f64 = 0.95;
/// Arriving faster than this times how it left, a probe was held up and measured nothing.
const TOO_FAST: f64 = 2.0;
/// Fewer packets measure nothing, nor does a probe of which less than this share was reported
/// on, because feedback was lost.
const PACKETS_LEAST: u32 = 4;
const REPORTED_LEAST: f64 = 0.8;

/// The wait after a probe that proved nothing, doubled each time up to the longer.
const WAIT: Micros = 1_500 * MILLISECOND;
const WAIT_MAX: Micros = 6 * SECOND;
/// The wait after the path was found overused: its queue empties first.
const WAIT_OVERUSED: Micros = 1_500 * MILLISECOND;
/// Feedback on a probe is awaited so long.
const ANSWER: Micros = SECOND;

/// Padding is paid from an account: a tenth of all bytes sent flows in.
const SHARE: u64 = 10;
/// It begins with this and never holds more, in bytes: enough to climb from 300 kbit/s to
/// 10 Mbit/s.
const ACCOUNT: u64 = 192_000;

/// Decides on probes and measures them.
#[derive(Debug)]
pub(super) struct Prober {
    current: u64,
    wanted: u64,
    probe: Option<Probe>,
    climbed: bool,
    not_before: Micros,
    wait: Micros,
    /// In `SHARE`ths of a byte.
    account: u64,
}

#[derive(Debug)]
struct Probe {
    target: u64,
    began: Micros,
    ends: Micros,
    next_tick: Micros,
    /// The packets that belong to it; the end is known when it has ended.
    first: u64,
    end: Option<u64>,
    bytes: u64,
    measure: Measure,
}

/// What arrived of a probe.
#[derive(Debug, Default)]
struct Measure {
    packets: u32,
    bytes: u64,
    missing_bytes: u64,
    first_departure: Option<Micros>,
    last_departure: Micros,
    /// Bytes that left with the last departure: nothing is known of the time after it.
    last_bytes: u64,
    first_arrival: Option<i64>,
    first_bytes: u64,
    last_arrival: i64,
}

/// What a probe told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The path carries at least this many bits per second.
    Proven(u64),
    /// The path was full and carries this.
    Filled(u64),
    /// Nothing.
    Unknown,
}

impl Prober {
    /// Wants nothing yet.
    pub(super) fn new() -> Self {
        Self {
            current: 0,
            wanted: 0,
            probe: None,
            climbed: false,
            not_before: 0,
            wait: WAIT,
            account: ACCOUNT * SHARE,
        }
    }

    /// What is sent and what would be worth sending, in bits per second.
    pub(super) fn set_wanted(&mut self, current: u64, wanted: u64) {
        (self.current, self.wanted) = (current, wanted);
    }

    /// A packet leaves.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.account = (self.account + bytes).min(ACCOUNT * SHARE);
        if let Some(probe) = &mut self.probe
            && probe.end.is_none()
        {
            probe.bytes += bytes;
        }
    }

    /// Begins a probe where one is worth its bytes. `sending` is what leaves now, in bits per
    /// second; `next` the number of the next packet.
    pub(super) fn consider(&mut self, estimate: u64, sending: u64, next: u64, now: Micros) {
        let satisfied = self.wanted <= self.current || self.wanted <= estimate;
        if self.probe.is_some() || satisfied || now < self.not_before {
            return;
        }
        let step = if self.climbed { STEP } else { FIRST_STEP };
        let target = (estimate as f64 * step)
            .min(self.wanted as f64 * MARGIN)
            .max(1.0) as u64;
        let length = (BYTES_LEAST * 8 * SECOND / target).clamp(LENGTH, LENGTH_MAX);
        let cost = target.saturating_sub(sending) * length / (8 * SECOND);
        if self.account < cost * SHARE {
            return;
        }
        self.climbed = true;
        self.probe = Some(Probe {
            target,
            began: now,
            ends: now + length,
            next_tick: now,
            first: next,
            end: None,
            bytes: 0,
            measure: Measure::default(),
        });
    }

    /// When padding leaves next. The end of a probe wakes nobody: the next call finds it.
    pub(super) fn due(&self) -> Option<Micros> {
        let probe = self.probe.as_ref()?;
        (probe.end.is_none() && probe.next_tick < probe.ends).then_some(probe.next_tick)
    }

    /// Ends a probe whose time is over; `next` is the number of the next packet.
    pub(super) fn advance(&mut self, next: u64, now: Micros) {
        let unwanted = self.wanted <= self.current;
        if let Some(probe) = &mut self.probe
            && probe.end.is_none()
            && (now >= probe.ends || unwanted)
        {
            probe.end = Some(next);
            probe.ends = now;
        }
    }

    /// Bytes of padding that leave now.
    pub(super) fn padding(&mut self, now: Micros) -> usize {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.end.is_none()) else {
            return 0;
        };
        if now < probe.next_tick {
            return 0;
        }
        probe.next_tick = now + TICK;
        let until = (now + TICK).min(probe.ends).saturating_sub(probe.began);
        let owed = (probe.target * until / (8 * SECOND)).saturating_sub(probe.bytes);
        let most = probe.target * TICK * TICKS_MOST / (8 * SECOND);
        let bytes = owed.min(most).min(self.account / SHARE);
        if bytes < PADDING_LEAST {
            return 0;
        }
        self.account -= bytes * SHARE;
        bytes as usize
    }

    /// Whether this packet belongs to a probe that is not yet judged.
    pub(super) fn has(&self, number: u64) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.has(number))
    }

    /// Whether a probe runs or waits for its answer.
    pub(super) fn is_open(&self) -> bool {
        self.probe.is_some()
    }

    /// A packet arrived.
    pub(super) fn arrived(&mut self, number: u64, bytes: u32, departure: Micros, arrival: i64) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.has(number)) {
            probe.measure.add(u64::from(bytes), departure, arrival);
        }
    }

    /// A packet was reported missing; gives whether it belongs to the probe.
    pub(super) fn missing(&mut self, number: u64, bytes: u32) -> bool {
        match self.probe.as_mut().filter(|probe| probe.has(number)) {
            Some(probe) => {
                probe.measure.missing_bytes += u64::from(bytes);
                true
            }
            None => false,
        }
    }

    /// Judges the probe once feedback has reached its end (`reached`: the number after the newest
    /// packet reported on) or does not come.
    pub(super) fn judge(&mut self, reached: u64, now: Micros) -> Option<Outcome> {
        let probe = self.probe.as_ref()?;
        if reached < probe.end? && now < probe.ends + ANSWER {
            return None;
        }
        let probe = self.probe.take()?;
        let outcome = probe.measure.outcome(probe.bytes);
        match outcome {
            Outcome::Proven(rate) if rate as f64 >= probe.target as f64 * CLIMB => {
                self.wait = WAIT;
                self.not_before = now;
            }
            Outcome::Proven(_) | Outcome::Filled(_) | Outcome::Unknown => {
                self.not_before = now + self.wait;
                self.wait = (self.wait * 2).min(WAIT_MAX);
            }
        }
        Some(outcome)
    }

    /// The path was found overused or lossy.
    pub(super) fn overused(&mut self, now: Micros) {
        self.not_before = self.not_before.max(now + WAIT_OVERUSED);
    }
}

impl Probe {
    fn has(&self, number: u64) -> bool {
        number >= self.first && self.end.is_none_or(|end| number < end)
    }
}

impl Measure {
    fn add(&mut self, bytes: u64, departure: Micros, arrival: i64) {
        self.packets += 1;
        self.bytes += bytes;
        let first = self.first_departure.get_or_insert(departure);
        *first = (*first).min(departure);
        if departure > self.last_departure {
            self.last_departure = departure;
            self.last_bytes = 0;
        }
        if departure == self.last_departure {
            self.last_bytes += bytes;
        }
        if self.first_arrival.is_none_or(|first| arrival < first) {
            self.first_arrival = Some(arrival);
            self.first_bytes = bytes;
        }
        self.last_arrival = if self.packets == 1 {
            arrival
        } else {
            self.last_arrival.max(arrival)
        };
    }

    fn outcome(&self, sent: u64) -> Outcome {
        let (Some(first_departure), Some(first_arrival)) =
            (self.first_departure, self.first_arrival)
        else {
            return Outcome::Unknown;
        };
        let left = self.last_departure.saturating_sub(first_departure);
        let took = self.last_arrival.abs_diff(first_arrival);
        let measurable = self.packets >= PACKETS_LEAST
            && (self.bytes + self.missing_bytes) as f64 >= sent as f64 * REPORTED_LEAST
            && (MILLISECOND..SECOND).contains(&left)
            && (MILLISECOND..SECOND).contains(&took);
        if !measurable {
            return Outcome::Unknown;
        }
        let leaving = (self.bytes - self.last_bytes) * 8 * SECOND / left;
        let arriving = (self.bytes - self.first_bytes) * 8 * SECOND / took;
        let (leaves, arrives) = (leaving as f64, arriving as f64);
        let lossy = self.missing_bytes as f64 > sent as f64 * (1.0 - FULL);
        if arrives > leaves * TOO_FAST {
            Outcome::Unknown
        } else if arrives < leaves * FULL || lossy {
            Outcome::Filled((arrives.min(leaves) * FULL_SHARE) as u64)
        } else {
            Outcome::Proven(arriving.min(leaving))
        }
    }
}
