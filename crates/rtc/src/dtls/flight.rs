//! The flight in the air: packing its messages into datagrams, and when to send it again.
//!
//! The clock is whatever the caller says it is. str0m tells the time only with timeouts, not with
//! packets, so a timer that starts with a packet is first *armed* by the next timeout, which the
//! caller asks for at once. RFC 6347 sections 4.2.3 and 4.2.4.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::handshake::Outgoing;
use super::record::{HEADER_LEN, PROTECTION_LEN, RecordLayer};
use super::wire::{self, HANDSHAKE_HEADER_LEN, content};

/// First wait before a flight is repeated; doubled each time. Lower repeats for nothing on slow
/// paths, higher delays the join by as much for each loss. RFC 6347 says 1 s for the unknown
/// network; ICE has just measured this one, and peers in the wild use 50 to 400 ms.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_millis(3200);
/// How often a peer that repeats itself makes us repeat: no more than once in this time.
const REPEAT_SPACING: Duration = Duration::from_millis(50);
/// How often one flight is sent in all, whoever asks: bounds what a peer can draw from us.
const MAX_SENDS: u32 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Off,
    /// Starts with the next timeout.
    Unarmed,
    At(Instant),
}

/// The last flight sent.
#[derive(Debug)]
pub(super) struct Flight {
    messages: Vec<Outgoing>,
    timer: Timer,
    wait: Duration,
    sent: u32,
    sent_at: Option<Instant>,
    repeat_requested: bool,
}

impl Flight {
    /// A flight that the peer answers is repeated by time; a last one only when the peer repeats
    /// its own.
    pub(super) fn new(messages: Vec<Outgoing>, is_last: bool) -> Self {
        Self {
            messages,
            timer: if is_last { Timer::Off } else { Timer::Unarmed },
            wait: FIRST_WAIT,
            sent: 0,
            sent_at: None,
            repeat_requested: false,
        }
    }

    /// The peer repeated what this flight answers.
    pub(super) fn request_repeat(&mut self) {
        self.repeat_requested = self.sent < MAX_SENDS;
    }

    /// The time to call [`Flight::is_due`] next; `now` when the clock itself is wanted.
    pub(super) fn timeout(&self, now: Instant) -> Option<Instant> {
        match self.timer {
            _ if self.repeat_requested => Some(self.sent_at.map_or(now, |at| at + REPEAT_SPACING)),
            Timer::Off => None,
            Timer::Unarmed => Some(now),
            Timer::At(at) => Some(at),
        }
    }

    /// Tells the time; true when the flight is to be sent again.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let sent_at = *self.sent_at.get_or_insert(now);
        if self.timer == Timer::Unarmed {
            self.timer = Timer::At(now + self.wait);
        }
        let by_time = matches!(self.timer, Timer::At(at) if at <= now);
        let by_request = self.repeat_requested && sent_at + REPEAT_SPACING <= now;
        if self.sent >= MAX_SENDS {
            self.timer = Timer::Off;
            self.repeat_requested = false;
            return false;
        }
        if by_time {
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        if by_time || by_request {
            self.repeat_requested = false;
            self.sent_at = Some(now);
            if self.timer != Timer::Off {
                self.timer = Timer::At(now + self.wait);
            }
        }
        by_time || by_request
    }

    /// Packs the flight into datagrams of `mtu` bytes at most, with fresh record numbers.
    pub(super) fn pack(
        &mut self,
        layer: &mut RecordLayer,
        mtu: usize,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        self.sent += 1;
        let mut packer = Packer {
            layer,
            mtu,
            datagrams: Vec::new(),
        };
        for message in &self.messages {
            match message {
                Outgoing::ChangeCipherSpec => {
                    packer.record(0, content::CHANGE_CIPHER_SPEC, &[1])?;
                }
                Outgoing::Handshake {
                    kind,
                    sequence,
                    epoch,
                    body,
                } => {
                    packer.message(*kind, *sequence, *epoch, body)?;
                }
            }
        }
        Ok(packer.datagrams)
    }
}

struct Packer<'a> {
    layer: &'a mut RecordLayer,
    mtu: usize,
    datagrams: Vec<Vec<u8>>,
}

impl Packer<'_> {
    fn room(&self) -> usize {
        self.datagrams
            .last()
            .map_or(0, |datagram| self.mtu.saturating_sub(datagram.len()))
    }

    fn record(&mut self, epoch: u16, content: u8, plaintext: &[u8]) -> Result<(), Failure> {
        let protection = if epoch == 0 { 0 } else { PROTECTION_LEN };
        if self.room() < HEADER_LEN + protection + plaintext.len() {
            self.datagrams.push(Vec::with_capacity(self.mtu));
        }
        match self.datagrams.last_mut() {
            Some(datagram) => self.layer.write(epoch, content, plaintext, datagram),
            None => Ok(()),
        }
    }

    /// A message in as many fragments as it takes.
    fn message(&mut self, kind: u8, sequence: u16, epoch: u16, body: &[u8]) -> Result<(), Failure> {
        let overhead = HEADER_LEN + PROTECTION_LEN + HANDSHAKE_HEADER_LEN;
        let mut at = 0;
        loop {
            let rest = body.len() - at;
            // Fill the datagram up unless only a splinter fits.
            let here = self.room().saturating_sub(overhead);
            let room = if here >= rest.min(64) && here > 0 {
                here
            } else {
                self.mtu.saturating_sub(overhead).max(1)
            };
            let range = at..at + rest.min(room);
            let mut fragment = Vec::with_capacity(HANDSHAKE_HEADER_LEN + range.len());
            wire::put_handshake_header(&mut fragment, kind, sequence, body.len(), range.clone());
            fragment.extend_from_slice(&body[range.clone()]);
            self.record(epoch, content::HANDSHAKE, &fragment)?;
            at = range.end;
            if at == body.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::reassembly::Reassembly;
    use crate::dtls::record::Records;

    fn message(sequence: u16, len: usize) -> Outgoing {
        Outgoing::Handshake {
            kind: 11,
            sequence,
            epoch: 0,
            body: vec![sequence as u8; len],
        }
    }

    #[test]
    fn datagrams_keep_to_the_mtu_and_read_back() {
        let lens = [0, 1, 70, 500, 3000];
        let messages = lens
            .iter()
            .zip(0..)
            .map(|(len, sequence)| message(sequence, *len));
        let mut flight = Flight::new(messages.collect(), false);
        for mtu in [256, 600, 1200] {
            let datagrams = flight
                .pack(&mut RecordLayer::default(), mtu)
                .expect("packed");
            assert!(datagrams.iter().all(|datagram| datagram.len() <= mtu));
            let mut reassembly = Reassembly::default();
            for record in datagrams.iter().flat_map(|datagram| Records::new(datagram)) {
                reassembly.add(0, record.fragment);
            }
            let read = std::iter::from_fn(|| reassembly.next().map(|message| message.body.len()));
            assert_eq!(read.collect::<Vec<_>>(), lens);
        }
    }

    #[test]
    fn waits_double_and_end() {
        let start = crate::dtls::tests::start();
        let mut flight = Flight::new(vec![message(0, 1)], false);
        assert_eq!(
            flight.timeout(start),
            Some(start),
            "asks for the clock first"
        );
        let mut now = start + Duration::from_secs(5);
        assert!(!flight.is_due(now));
        let mut waits = Vec::new();
        loop {
            flight
                .pack(&mut RecordLayer::default(), 1200)
                .expect("packed");
            let Some(at) = flight.timeout(now) else { break };
            waits.push((at - now).as_millis());
            now = at;
            if !flight.is_due(now) {
                break;
            }
        }
        assert_eq!(waits[..6], [200, 400, 800, 1600, 3200, 3200]);
        assert_eq!(waits.len() as u32, MAX_SENDS);
        assert_eq!(flight.timeout(now), None);
    }

    #[test]
    fn a_repeating_peer_is_answered_within_bounds() {
        let mut now = crate::dtls::tests::start();
        let mut flight = Flight::new(vec![message(0, 1)], true);
        flight
            .pack(&mut RecordLayer::default(), 1200)
            .expect("packed");
        assert!(!flight.is_due(now));
        assert_eq!(flight.timeout(now), None);
        let mut repeats = 0;
        for _ in 0..1000 {
            flight.request_repeat();
            now += Duration::from_millis(10);
            if flight.is_due(now) {
                flight
                    .pack(&mut RecordLayer::default(), 1200)
                    .expect("packed");
                repeats += 1;
            }
        }
        assert_eq!(repeats, MAX_SENDS - 1);
    }
}
