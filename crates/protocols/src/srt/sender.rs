//! The sending half of a connection: keeps what was sent until the peer has it, sends again what
//! it asks for, spreads bursts, gives up on what would come too late (draft-sharabayko-srt,
//! sections 4.6, 4.8 and 5.1).
//!
//! Sequence numbers are unrolled here. Payloads are encrypted before they come in, so that a
//! packet that is sent again is the same packet.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::sequence::{first, message, to_wire, unroll};
use super::time::RoundTrip;
use super::wire::{Ack, mark_retransmitted};

/// Packets that wait or are not acknowledged: 10 MB, or 8 s of 10 Mbit/s. A higher value only
/// delays what a slow link drops in the end.
pub(super) const SEND_WINDOW: usize = 8192;

/// What is older than this cannot be on time for any latency up to it; longer latencies count
/// themselves and a quarter.
const TOO_LATE: Duration = Duration::from_secs(1);

/// How much a late wake-up may catch up at once. Lower values need a finer timer, higher ones
/// make bursts.
const BURST: Duration = Duration::from_millis(2);

/// Between two packets, when there is nothing to hurry for: 1000 packets per second.
const MAX_GAP: Duration = Duration::from_millis(1);

/// Packets that are sent again when the peer is silent; if it lives, it asks for the rest.
const SILENCE_BURST: u64 = 64;

/// A range of lost packets that reaches further back than this is nonsense.
const MAX_LOOK_BACK: u64 = 2 * SEND_WINDOW as u64;

/// A packet that the peer may not have.
#[derive(Debug)]
struct Outgoing {
    datagram: Vec<u8>,
    queued: Instant,
    /// When it was sent again last.
    repeated: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Sender {
    /// The number of the first packet in `packets`.
    base: u64,
    packets: VecDeque<Outgoing>,
    /// The number of the first packet that was never sent.
    unsent: u64,
    repeats: BTreeSet<u64>,
    index: u64,
    /// Packets that the peer has room for, counted from `base`.
    window: u64,
    latency: Duration,
    next_send: Instant,
    /// When silence of the peer is taken for loss.
    silence: Option<Instant>,
    silences: u32,
    /// Where the numbers begin: nothing before was ever sent.
    start: u64,
}

/// A packet number and its message number for the next packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextPacket {
    pub(super) sequence: u32,
    pub(super) message: u32,
}

impl Sender {
    pub(super) fn new(initial_sequence: u32, latency: Duration, window: u32, now: Instant) -> Self {
        let base = first(initial_sequence);
        Self {
            base,
            packets: VecDeque::new(),
            unsent: base,
            repeats: BTreeSet::new(),
            index: 0,
            window: u64::from(window).clamp(1, SEND_WINDOW as u64),
            latency,
            next_send: now,
            silence: None,
            silences: 0,
            start: base,
        }
    }

    fn end(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= SEND_WINDOW
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets that wait or are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The numbers that the next packet gets.
    pub(super) fn next_packet(&self) -> NextPacket {
        NextPacket {
            sequence: to_wire(self.end()),
            message: message(self.index),
        }
    }

    /// Takes a whole data packet that carries the numbers of [`Sender::next_packet`].
    pub(super) fn queue(&mut self, datagram: Vec<u8>, now: Instant) {
        self.packets.push_back(Outgoing {
            datagram,
            queued: now,
            repeated: None,
        });
        self.index += 1;
    }

    fn outgoing(&mut self, sequence: u64) -> Option<&mut Outgoing> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.packets.get_mut(index)
    }

    /// Whether a packet may go out now, as far as the peer's room is concerned.
    fn has_work(&self) -> bool {
        let room = self.unsent - self.base < self.window;
        !self.repeats.is_empty() || (room && self.unsent < self.end())
    }

    /// When the next packet may go out.
    pub(super) fn next_send(&self) -> Option<Instant> {
        self.has_work().then_some(self.next_send)
    }

    /// The gap after a packet: what waits is to be gone within an eighth of the latency, however
    /// large the burst that brought it.
    fn gap(&self) -> Duration {
        let waiting = self.end() - self.unsent + self.repeats.len() as u64;
        let spread = self.latency / 8;
        let spread = spread.clamp(Duration::from_millis(5), Duration::from_millis(50));
        let waiting = u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        (spread / waiting).min(MAX_GAP)
    }

    /// The next packet, when it is its time, and whether it was sent before. What is asked for
    /// again goes first.
    pub(super) fn send(&mut self, rtt: &RoundTrip, now: Instant) -> Option<(Vec<u8>, bool)> {
        if now < self.next_send || !self.has_work() {
            return None;
        }
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.next_send = self.next_send.max(earliest) + self.gap();
        if let Some(sequence) = self.repeats.pop_first() {
            let outgoing = self.outgoing(sequence)?;
            outgoing.repeated = Some(now);
            mark_retransmitted(&mut outgoing.datagram);
            let datagram = outgoing.datagram.clone();
            self.arm_silence(rtt, now);
            return Some((datagram, true));
        }
        let datagram = self.outgoing(self.unsent)?.datagram.clone();
        self.unsent += 1;
        if self.silence.is_none() {
            self.arm_silence(rtt, now);
        }
        Some((datagram, false))
    }

    fn arm_silence(&mut self, rtt: &RoundTrip, now: Instant) {
        let patience = rtt.patience() + Duration::from_millis(20);
        self.silence = Some(now + patience * 2u32.pow(self.silences.min(5)));
    }

    /// The peer spoke about what we send.
    fn heard(&mut self, rtt: &RoundTrip, now: Instant) {
        self.silences = 0;
        if self.unsent > self.base {
            self.arm_silence(rtt, now);
        } else {
            self.silence = None;
        }
    }

    /// When silence of the peer is taken for loss.
    pub(super) fn silence(&self) -> Option<Instant> {
        self.silence
    }

    /// Sends again what the peer has not spoken about for too long.
    pub(super) fn handle_silence(&mut self, rtt: &RoundTrip, now: Instant) {
        if self.silence.is_none_or(|at| now < at) {
            return;
        }
        if self.unsent == self.base {
            self.silence = None;
            return;
        }
        self.silences += 1;
        let to = self.unsent.min(self.base + SILENCE_BURST);
        self.repeats.extend(self.base..to);
        self.arm_silence(rtt, now);
    }

    /// Forgets what the peer has. An acknowledgement of what was never sent is ignored.
    pub(super) fn acknowledge(&mut self, ack: &Ack, rtt: &RoundTrip, now: Instant) {
        let sequence = unroll(self.base, ack.sequence);
        if sequence > self.unsent {
            return;
        }
        let known = usize::try_from(sequence.saturating_sub(self.base)).unwrap_or(0);
        self.packets.drain(..known.min(self.packets.len()));
        self.base = self.base.max(sequence);
        self.repeats = self.repeats.split_off(&self.base);
        if let Some(details) = &ack.details {
            // A peer without room still takes one, so that it can speak again.
            self.window = u64::from(details.available).clamp(1, SEND_WINDOW as u64);
        }
        self.heard(rtt, now);
    }

    /// Notes what the peer misses, inclusive ranges of wire numbers. Returns a range that will not
    /// be sent again because it was given up.
    pub(super) fn lost(
        &mut self,
        ranges: impl Iterator<Item = (u32, u32)>,
        rtt: &RoundTrip,
        now: Instant,
    ) -> Option<(u32, u32)> {
        let mut given_up: Option<(u64, u64)> = None;
        for (from, to) in ranges {
            let (from, to) = (unroll(self.base, from), unroll(self.base, to));
            let oldest = self.start.max(self.base.saturating_sub(MAX_LOOK_BACK));
            if from < self.base && from >= oldest && from <= to {
                let last = to.min(self.base - 1);
                let (a, b) = given_up.unwrap_or((from, last));
                given_up = Some((a.min(from), b.max(last)));
            }
            // Only what is on its way can be lost, which bounds this by the window.
            for sequence in from.max(self.base)..to.saturating_add(1).min(self.unsent) {
                let fresh = self.outgoing(sequence).is_some_and(|outgoing| {
                    // It was sent again less than a round trip ago: this report is older.
                    outgoing
                        .repeated
                        .is_some_and(|at| now.saturating_duration_since(at) < rtt.smoothed())
                });
                if !fresh {
                    self.repeats.insert(sequence);
                }
            }
        }
        self.heard(rtt, now);
        given_up.map(|(from, to)| (to_wire(from), to_wire(to)))
    }

    fn too_late(&self) -> Duration {
        TOO_LATE.max(self.latency + self.latency / 4) + Duration::from_millis(20)
    }

    /// When the oldest packet is too late to be of use.
    pub(super) fn oldest_expires(&self) -> Option<Instant> {
        let oldest = self.packets.front()?;
        Some(oldest.queued + self.too_late())
    }

    /// Gives up on what is too late: how many, and the range of those that were numbered.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(u64, (u32, u32))> {
        let first = self.base;
        while self.oldest_expires().is_some_and(|at| at <= now) {
            self.packets.pop_front();
            self.base += 1;
        }
        if self.base == first {
            return None;
        }
        self.unsent = self.unsent.max(self.base);
        self.repeats = self.repeats.split_off(&self.base);
        if self.unsent == self.base {
            self.silence = None;
        }
        Some((self.base - first, (to_wire(first), to_wire(self.base - 1))))
    }
}
