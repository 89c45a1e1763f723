//! One stream of RTP put in order, and requests for what is lost.
//!
//! A lost packet is asked for with generic NACKs (RFC 4585, 6.2.1), and comes again under its own
//! sequence number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_media::Unwrapper;

use super::datagram::Rtp;

/// Packets that can be waited for or kept at once. Clients keep 2048 to send again. At 10 Mbps
/// this is about a second; a wider window would cost memory for packets that come too late anyway.
const WINDOW: u64 = 1024;
/// How long a packet may be overtaken before it is asked for. Less would ask for packets that are
/// merely late; more delays every repair.
const OVERTAKEN: Duration = Duration::from_millis(10);
/// How long after one request the next goes. Less would ask twice within long round trips; more
/// leaves fewer tries before the packet is given up.
const RETRY: Duration = Duration::from_millis(60);
/// Requests for one packet at most.
const TRIES: u8 = 8;

/// How a stream is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether lost packets are asked for.
    pub asks: bool,
    /// How long a missing packet holds up those behind it. A longer wait repairs more and makes a
    /// longer stutter of what cannot be repaired.
    pub patience: Duration,
}

impl Settings {
    /// For pictures: a loss that stays would spoil all up to the next keyframe.
    pub const VIDEO: Self = Self {
        asks: true,
        patience: Duration::from_millis(500),
    };
    /// For sound: 20 ms that are concealed hurt less than a wait.
    pub const AUDIO: Self = Self {
        asks: false,
        patience: Duration::from_millis(60),
    };
}

/// A packet in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Sequence number, extended.
    pub sequence: u64,
    /// Timestamp, extended.
    pub timestamp: u64,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: Arc<[u8]>,
    /// When it came.
    pub arrival: Instant,
    /// Packets between the one before and this one are lost for good.
    pub gap: bool,
}

/// What a stream has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in time.
    pub received: u64,
    /// Packets given up.
    pub lost: u64,
    /// Packets that came after they were asked for.
    pub recovered: u64,
    /// Packets that came twice or after they were given up.
    pub late: u64,
    /// Packets asked for, each request counted.
    pub asked: u64,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    /// When it is asked for next.
    due: Instant,
    tries: u8,
}

/// Puts one stream in order.
///
/// After each call, drain [`Self::poll_packet`] and [`Self::poll_nack`], then wait until
/// [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Receiver {
    settings: Settings,
    ssrc: u32,
    /// The number that comes out next.
    next: Option<u64>,
    /// When the first packets come out: the very first may have been overtaken too.
    begins_at: Option<Instant>,
    /// Behind the highest number that came.
    end: u64,
    /// Packets that wait, at most [`WINDOW`].
    waiting: BTreeMap<u64, Received>,
    /// Numbers between `next` and `end` that did not come, at most [`WINDOW`].
    missing: BTreeMap<u64, Missing>,
    /// The earliest `due` among those that are still asked for.
    ask_at: Option<Instant>,
    /// The number that would prove that a far one before it was no stray packet.
    jump: Option<u16>,
    gap: bool,
    timestamps: Unwrapper<32>,
    ready: VecDeque<Received>,
    nacks: VecDeque<Vec<u8>>,
    counters: Counters,
}

impl Receiver {
    /// For the stream of `ssrc`.
    pub fn new(ssrc: u32, settings: Settings) -> Self {
        Self {
            settings,
            ssrc,
            next: None,
            begins_at: None,
            end: 0,
            waiting: BTreeMap::new(),
            missing: BTreeMap::new(),
            ask_at: None,
            jump: None,
            gap: false,
            timestamps: Unwrapper::default(),
            ready: VecDeque::new(),
            nacks: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What it has seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a packet of the stream.
    pub fn receive(&mut self, rtp: &Rtp<'_>, now: Instant) {
        let Some(sequence) = self.extend(rtp.sequence) else {
            return;
        };
        let begins_at = *self.begins_at.get_or_insert(now + OVERTAKEN);
        let holds = now < begins_at;
        let mut next = self.next.unwrap_or(sequence);
        if holds && sequence < next {
            self.miss(sequence + 1..next, now);
            self.next = Some(sequence);
            next = sequence;
        }
        if sequence < next || self.waiting.contains_key(&sequence) {
            self.counters.late += 1;
            return;
        }
        self.counters.received += 1;
        if let Some(missing) = self.missing.remove(&sequence)
            && missing.tries > 0
        {
            self.counters.recovered += 1;
        }
        self.miss(self.end..sequence, now);
        self.end = self.end.max(sequence + 1);
        let packet = Received {
            sequence,
            // Extended when it comes out: in order, a timestamp never lies far from the last.
            timestamp: u64::from(rtp.timestamp),
            marker: rtp.marker,
            payload: Arc::from(rtp.payload),
            arrival: now,
            gap: false,
        };
        if holds && self.end - next <= WINDOW {
            self.waiting.insert(sequence, packet);
            return;
        }
        // The first packets wait until here, in case no timeout came before.
        self.begins_at = Some(begins_at.min(now));
        self.drain();
        if self.next == Some(sequence) {
            self.release(packet);
            self.drain();
        } else {
            self.waiting.insert(sequence, packet);
        }
        // More numbers than the window holds: the oldest are given up.
        while !self.missing.is_empty() && self.next.is_some_and(|next| self.end - next > WINDOW) {
            self.give_up();
        }
    }

    /// Notes numbers that did not come although later ones did.
    fn miss(&mut self, numbers: std::ops::Range<u64>, now: Instant) {
        let due = now + OVERTAKEN;
        if !numbers.is_empty() {
            self.ask_at = Some(self.ask_at.map_or(due, |at| at.min(due)));
        }
        for number in numbers {
            let missing = Missing {
                since: now,
                due,
                tries: 0,
            };
            self.missing.insert(number, missing);
        }
    }

    /// Lets the first packets out, asks for what is missing, and gives up what has been for too
    /// long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.begins_at.is_some_and(|at| now < at) {
            return;
        }
        self.drain();
        while let Some((_, missing)) = self.missing.first_key_value()
            && now >= missing.since + self.settings.patience
        {
            self.give_up();
        }
        if self.missing.is_empty() {
            self.ask_at = None;
        }
        if self.ask_at.is_some_and(|at| now >= at) {
            self.ask(now);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (number, _) = self.waiting.first_key_value()?;
        if self.next == Some(*number) {
            return self.begins_at;
        }
        let (_, first) = self.missing.first_key_value()?;
        let gives_up = first.since + self.settings.patience;
        let asks = self.ask_at.filter(|_| self.settings.asks);
        Some(asks.map_or(gives_up, |at| at.min(gives_up)))
    }

    /// The next packet in order.
    pub fn poll_packet(&mut self) -> Option<Received> {
        self.ready.pop_front()
    }

    /// A datagram of RTCP for the sender.
    pub fn poll_nack(&mut self) -> Option<Vec<u8>> {
        self.nacks.pop_front()
    }

    /// Extends a sequence number. `None` for one that lies far from the others, unless the one
    /// before it lay there too: then the sender has begun anew.
    fn extend(&mut self, sequence: u16) -> Option<u64> {
        if self.next.is_none() {
            // Room below, so that an earlier packet has a number too.
            let first = 0x1_0000 + u64::from(sequence);
            (self.next, self.end) = (Some(first), first);
            return Some(first);
        }
        let step = i64::from(sequence.wrapping_sub(self.end as u16) as i16);
        if step.unsigned_abs() <= WINDOW {
            self.jump = None;
            return self.end.checked_add_signed(step);
        }
        if self.jump.replace(sequence.wrapping_add(1)) != Some(sequence) {
            self.counters.late += 1;
            return None;
        }
        self.jump = None;
        while !self.missing.is_empty() {
            self.give_up();
        }
        // A whole round further on, so that numbers never repeat.
        let far = (self.end | 0xffff) + 1 + u64::from(sequence);
        self.gap = true;
        (self.next, self.end) = (Some(far), far);
        Some(far)
    }

    fn release(&mut self, mut packet: Received) {
        packet.timestamp = self.timestamps.extend(packet.timestamp);
        packet.gap = std::mem::take(&mut self.gap);
        self.next = Some(packet.sequence + 1);
        self.ready.push_back(packet);
    }

    /// Lets out what is in order now.
    fn drain(&mut self) {
        while let Some(next) = self.next
            && let Some(packet) = self.waiting.remove(&next)
        {
            self.release(packet);
        }
    }

    /// Goes on behind the first missing packet.
    fn give_up(&mut self) {
        let Some((number, _)) = self.missing.pop_first() else {
            return;
        };
        self.counters.lost += 1;
        self.gap = true;
        self.next = Some(number + 1);
        self.drain();
    }

    fn ask(&mut self, now: Instant) {
        self.ask_at = None;
        if !self.settings.asks {
            return;
        }
        let mut numbers = Vec::new();
        for (number, missing) in &mut self.missing {
            if missing.due <= now && missing.tries < TRIES {
                missing.tries += 1;
                missing.due = now + RETRY;
                numbers.push(*number);
            }
            if missing.tries < TRIES {
                let due = missing.due;
                self.ask_at = Some(self.ask_at.map_or(due, |at| at.min(due)));
            }
        }
        self.counters.asked += numbers.len() as u64;
        let mut rest = numbers.as_slice();
        while let [first, behind @ ..] = rest {
            let count = behind
                .iter()
                .take_while(|other| **other - first <= 16)
                .count();
            let (with, after) = behind.split_at(count);
            let mask = with
                .iter()
                .fold(0_u16, |mask, other| mask | 1 << (other - first - 1));
            self.nacks.push_back(nack(self.ssrc, *first as u16, mask));
            rest = after;
        }
    }
}

/// One request for a packet and those of the sixteen behind it that `mask` tells. Clients read
/// one entry of a datagram, and take the sender's SSRC for their own.
fn nack(ssrc: u32, first: u16, mask: u16) -> Vec<u8> {
    let mut out = vec![0x81, 205, 0, 3];
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&mask.to_be_bytes());
    out
}
