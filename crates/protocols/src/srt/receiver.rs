//! The receiving half of a connection: holds what comes until its time, finds what is missing,
//! gives up on what comes too late (draft-sharabayko-srt, sections 4.5 to 4.8).
//!
//! Sequence numbers are unrolled here. It makes no packets: the connection asks it for what to
//! report.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::sequence::{first, to_wire, unroll};
use super::time::PeerClock;
use super::wire::Ack;

/// Packets that are held at most, and what we advertise: 10 MB, or 8 s of 10 Mbit/s. A lower value
/// limits latency times bitrate, a higher one costs memory to whoever connects.
pub(super) const RECEIVE_WINDOW: usize = 8192;

/// Nothing is held longer than its latency and this, whatever its timestamp says: the clocks
/// differ by what the handshake's packet was late, which is less.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// Full acknowledgements whose echo is awaited: one every 10 ms makes this 2.5 s.
const MAX_ACKS: usize = 256;

/// A place in the buffer.
#[derive(Debug)]
enum Slot {
    Missing,
    /// Will not come, or came and could not be read.
    Gone,
    Held {
        timestamp: u64,
        arrived: Instant,
        payload: Vec<u8>,
    },
}

/// What happened to a data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the next one; `lost` packets before it are missing.
    New { lost: u64 },
    /// It fills a gap.
    Recovered,
    /// It is here already.
    Duplicate,
    /// Its time has passed.
    Late,
    /// There is no room.
    Overflow,
}

/// What the receiver hands on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Payload(Vec<u8>),
    /// So many packets will never come.
    Lost(u64),
}

#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) clock: PeerClock,
    latency: Duration,
    /// The number of the first slot.
    next: u64,
    slots: VecDeque<Slot>,
    /// What is missing, and when it was last reported.
    losses: BTreeMap<u64, Instant>,
    /// Full acknowledgements that were sent, newest last.
    acks: VecDeque<SentAck>,
    ack_number: u32,
    /// What the last full acknowledgement said.
    acknowledged: u64,
    /// Packets that were passed over without ever having a place, not yet told.
    skipped: u64,
    /// What the peer knows that we have, by its echo of a full acknowledgement.
    confirmed: u64,
}

#[derive(Clone, Copy, Debug)]
struct SentAck {
    number: u32,
    position: u64,
    at: Instant,
}

impl Receiver {
    pub(super) fn new(initial_sequence: u32, latency: Duration, clock: PeerClock) -> Self {
        let next = first(initial_sequence);
        Self {
            clock,
            latency,
            next,
            slots: VecDeque::new(),
            losses: BTreeMap::new(),
            acks: VecDeque::new(),
            ack_number: 0,
            acknowledged: next,
            skipped: 0,
            confirmed: next,
        }
    }

    fn end(&self) -> u64 {
        self.next + self.slots.len() as u64
    }

    /// Takes a packet; `open` decrypts its payload and says `None` when that cannot be done.
    pub(super) fn take(
        &mut self,
        sequence: u32,
        timestamp: u32,
        now: Instant,
        open: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Arrival {
        let sequence = unroll(self.end(), sequence);
        if sequence < self.next {
            return Arrival::Late;
        }
        let mut index = sequence - self.next;
        if index >= RECEIVE_WINDOW as u64 {
            if !self.slots.is_empty() {
                return Arrival::Overflow;
            }
            // Nothing is held and the sender is far ahead: what lies between is lost for good.
            self.skipped += index;
            self.next = sequence;
            index = 0;
        }
        let index = usize::try_from(index).expect("it is within the window");
        if let Some(Slot::Gone | Slot::Held { .. }) = self.slots.get(index) {
            return Arrival::Duplicate;
        }
        let slot = match open() {
            Some(payload) => Slot::Held {
                timestamp: self.clock.unroll(timestamp),
                arrived: now,
                payload,
            },
            None => Slot::Gone,
        };
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
            self.losses.remove(&sequence);
            return Arrival::Recovered;
        }
        let lost = sequence - self.end();
        for missing in self.end()..sequence {
            self.losses.insert(missing, now);
            self.slots.push_back(Slot::Missing);
        }
        self.slots.push_back(slot);
        Arrival::New { lost }
    }

    /// The sender gives up on these, inclusive.
    pub(super) fn give_up(&mut self, from: u32, to: u32) {
        let from = unroll(self.next, from).max(self.next);
        let to = unroll(self.next, to).min(self.next + RECEIVE_WINDOW as u64 - 1);
        if to < from {
            return;
        }
        // A range that begins beyond the end says nothing about what lies between.
        if from > self.end() {
            return;
        }
        while self.end() <= to {
            self.slots.push_back(Slot::Gone);
        }
        for sequence in from..=to {
            let index = usize::try_from(sequence - self.next).expect("within the window");
            if let Some(slot @ Slot::Missing) = self.slots.get_mut(index) {
                *slot = Slot::Gone;
            }
            self.losses.remove(&sequence);
        }
    }

    fn due(&self, timestamp: u64, arrived: Instant) -> Instant {
        let due = self.clock.local(timestamp) + self.latency;
        due.min(arrived + self.latency + CLOCK_SLACK)
    }

    /// The first packet that is held: how many places stand before it, and when it is due.
    fn first_held(&self) -> Option<(usize, Instant)> {
        self.slots
            .iter()
            .enumerate()
            .find_map(|(index, slot)| match slot {
                Slot::Held {
                    timestamp, arrived, ..
                } => Some((index, self.due(*timestamp, *arrived))),
                Slot::Missing | Slot::Gone => None,
            })
    }

    /// When something is to be handed on.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.first_held().map(|(_, due)| due)
    }

    /// What is next and due. A packet that is due does not wait for missing ones before it.
    pub(super) fn deliver(&mut self, now: Instant) -> Option<Delivery> {
        if self.skipped > 0 {
            return Some(Delivery::Lost(std::mem::take(&mut self.skipped)));
        }
        let gone = self
            .slots
            .iter()
            .take_while(|slot| matches!(slot, Slot::Gone))
            .count();
        if gone > 0 {
            return Some(self.skip(gone));
        }
        let (before, due) = self.first_held()?;
        if due > now {
            return None;
        }
        if before > 0 {
            return Some(self.skip(before));
        }
        let Some(Slot::Held { payload, .. }) = self.slots.pop_front() else {
            return None;
        };
        self.next += 1;
        Some(Delivery::Payload(payload))
    }

    fn skip(&mut self, count: usize) -> Delivery {
        self.slots.drain(..count);
        self.next += count as u64;
        self.losses = self.losses.split_off(&self.next);
        Delivery::Lost(count as u64)
    }

    /// Room in packets behind what is acknowledged.
    pub(super) fn available(&self) -> u32 {
        let taken = self.position().saturating_sub(self.next);
        let room = (RECEIVE_WINDOW as u64).saturating_sub(taken);
        u32::try_from(room).expect("the window is small")
    }

    /// The last `count` losses, those that a packet has just shown, as ranges.
    pub(super) fn newest_losses(&self, count: u64) -> Vec<(u32, u32)> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut newest: Vec<u64> = self.losses.keys().rev().take(count).copied().collect();
        newest.reverse();
        ranges(newest.into_iter())
    }

    /// What is missing and was not reported since `before`, as ranges; it counts as reported now.
    pub(super) fn overdue_losses(&mut self, before: Instant, now: Instant) -> Vec<(u32, u32)> {
        let mut overdue = Vec::new();
        for (sequence, reported) in &mut self.losses {
            if *reported <= before {
                *reported = now;
                overdue.push(*sequence);
            }
        }
        ranges(overdue.into_iter())
    }

    pub(super) fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    /// The first number that has not come.
    fn position(&self) -> u64 {
        let missing = self.losses.first_key_value();
        missing.map_or(self.end(), |(sequence, _)| *sequence)
    }

    /// Whether the peer does not know yet what we have.
    pub(super) fn owes_ack(&self) -> bool {
        self.position() != self.confirmed
    }

    /// Whether there is more to tell than the last full acknowledgement told.
    pub(super) fn has_news(&self) -> bool {
        self.position() != self.acknowledged
    }

    /// A light acknowledgement.
    pub(super) fn light_ack(&self) -> Ack {
        Ack {
            number: 0,
            sequence: to_wire(self.position()),
            details: None,
        }
    }

    /// A full acknowledgement, but for its details.
    pub(super) fn full_ack(&mut self, now: Instant) -> Ack {
        self.ack_number = self.ack_number.wrapping_add(1).max(1);
        self.acknowledged = self.position();
        if self.acks.len() == MAX_ACKS {
            self.acks.pop_front();
        }
        self.acks.push_back(SentAck {
            number: self.ack_number,
            position: self.acknowledged,
            at: now,
        });
        Ack {
            number: self.ack_number,
            sequence: to_wire(self.acknowledged),
            details: None,
        }
    }

    /// The peer's echo of a full acknowledgement: the round trip, when we sent such a one.
    pub(super) fn echo(&mut self, number: u32, now: Instant) -> Option<Duration> {
        let index = self.acks.iter().position(|ack| ack.number == number)?;
        // Earlier ones are answered with it.
        let ack = self.acks.drain(..=index).next_back()?;
        self.confirmed = self.confirmed.max(ack.position);
        Some(now.saturating_duration_since(ack.at))
    }
}

/// Consecutive numbers as inclusive ranges of wire numbers.
fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<(u32, u32)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => found.push((number, number)),
        }
    }
    let wire = |(first, last)| (to_wire(first), to_wire(last));
    found.into_iter().map(wire).collect()
}
