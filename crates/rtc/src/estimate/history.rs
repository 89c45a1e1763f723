//! What was sent: a ring of the latest packets, by transport-wide sequence number.

use super::throughput::Micros;

/// How many packets are remembered. At 10 Mbit/s that is two seconds, longer than any feedback
/// is worth waiting for; more costs 8 bytes each per receiver, fewer forgets on long paths.
/// A power of two, so that the ring's places follow the wrap of the sequence number.
const CAPACITY: u64 = 2048;

/// Departures are kept in units of 16 us: fine enough beside the 250 us of feedback, and a `u32`
/// of them lasts 19 hours.
const UNIT_BITS: u32 = 4;

/// The history of one transport.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Grows as packets leave, up to [`CAPACITY`].
    ring: Vec<Record>,
    /// The number that the next packet gets, counted without wrapping.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    departure: u32,
    bytes: u16,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Feedback was silent on it, so it was counted as delivered.
    Assumed,
    Missing,
    Arrived,
}

/// A packet of which feedback says for the first time that it arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    /// When it left.
    pub(super) departure: Micros,
    /// Its size as the caller told it.
    pub(super) bytes: u32,
    /// Earlier feedback reported it missing.
    pub(super) was_missing: bool,
    /// It was counted as delivered before.
    pub(super) was_assumed: bool,
}

impl History {
    /// The number that the next packet gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Notes a packet; gives its sequence number.
    pub(super) fn push(&mut self, bytes: usize, now: Micros) -> u16 {
        let record = Record {
            departure: (now >> UNIT_BITS) as u32,
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            fate: Fate::Unknown,
        };
        let place = (self.next % CAPACITY) as usize;
        match self.ring.get_mut(place) {
            Some(old) => *old = record,
            None => self.ring.push(record),
        }
        let number = self.next as u16;
        self.next += 1;
        number
    }

    /// The full number of the packet that `number` stands for: the latest sent one with these low
    /// 16 bits. `None` where no such packet was sent.
    pub(super) fn unwrap(&self, number: u16) -> Option<u64> {
        let behind = match (self.next as u16).wrapping_sub(number) {
            0 => 1 << 16,
            behind => u64::from(behind),
        };
        self.next.checked_sub(behind)
    }

    /// The part of `first .. first + count` that is remembered.
    pub(super) fn remembered(&self, first: u64, count: u64) -> std::ops::Range<u64> {
        let start = first.max(self.next.saturating_sub(CAPACITY));
        start..first.saturating_add(count).min(self.next).max(start)
    }

    /// Marks a packet as arrived. `None` where that was known or the packet is not remembered.
    pub(super) fn arrived(&mut self, number: u64, now: Micros) -> Option<Delivered> {
        let record = self.record(number)?;
        if record.fate == Fate::Arrived {
            return None;
        }
        let former = std::mem::replace(&mut record.fate, Fate::Arrived);
        Some(record.delivered(former, now))
    }

    /// Marks a packet on which feedback was silent; `None` where its fate is known.
    pub(super) fn assumed(&mut self, number: u64, now: Micros) -> Option<Delivered> {
        let record = self
            .record(number)
            .filter(|record| record.fate == Fate::Unknown)?;
        record.fate = Fate::Assumed;
        Some(record.delivered(Fate::Unknown, now))
    }

    /// Marks a packet as missing; gives its size where that is news.
    pub(super) fn missing(&mut self, number: u64) -> Option<u32> {
        let record = self.record(number)?;
        match record.fate {
            Fate::Unknown | Fate::Assumed => {
                record.fate = Fate::Missing;
                Some(u32::from(record.bytes))
            }
            Fate::Missing | Fate::Arrived => None,
        }
    }

    fn record(&mut self, number: u64) -> Option<&mut Record> {
        if number >= self.next || self.next - number > CAPACITY {
            return None;
        }
        self.ring.get_mut((number % CAPACITY) as usize)
    }
}

impl Record {
    fn delivered(self, former: Fate, now: Micros) -> Delivered {
        let age = ((now >> UNIT_BITS) as u32).wrapping_sub(self.departure);
        Delivered {
            departure: (now >> UNIT_BITS).saturating_sub(u64::from(age)) << UNIT_BITS,
            bytes: u32::from(self.bytes),
            was_missing: former == Fate::Missing,
            was_assumed: former == Fate::Assumed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_wraps_and_stays_small() {
        let mut history = History::default();
        assert_eq!(std::mem::size_of::<Record>(), 8);
        for packet in 0..70_000_u64 {
            assert_eq!(history.push(1200, packet * 1000), packet as u16);
        }
        assert_eq!(history.ring.len(), CAPACITY as usize);
        // 69 999 is the newest, and the low 16 bits of an old one mean the newer one.
        assert_eq!(history.unwrap(69_999_u64 as u16), Some(69_999));
        assert_eq!(history.unwrap(70_000_u64 as u16), Some(70_000 - 65_536));
        assert!(history.arrived(70_000 - 65_536, 70_000_000).is_none());
        assert!(history.arrived(70_000, 70_000_000).is_none());
        let packet = history.arrived(69_000, 70_000_000).expect("remembered");
        assert_eq!(packet.departure, 69_000_000);
        assert!(history.arrived(69_000, 70_000_000).is_none());
    }

    #[test]
    fn nothing_sent_is_nothing_known() {
        let mut history = History::default();
        assert_eq!(history.unwrap(0), None);
        assert_eq!(history.unwrap(65_535), None);
        assert!(history.remembered(0, 10).is_empty());
        assert!(history.missing(0).is_none());
    }

    #[test]
    fn a_missing_packet_may_turn_up() {
        let mut history = History::default();
        history.push(100, 0);
        assert_eq!(history.missing(0), Some(100));
        assert_eq!(history.missing(0), None);
        assert!(history.assumed(0, 500).is_none());
        assert!(
            history
                .arrived(0, 500)
                .is_some_and(|packet| packet.was_missing)
        );
        assert_eq!(history.missing(0), None);
        history.push(70, 600);
        assert!(history.assumed(1, 700).is_some());
        assert!(history.assumed(1, 700).is_none());
        assert!(
            history
                .arrived(1, 800)
                .is_some_and(|packet| packet.was_assumed)
        );
    }

    #[test]
    fn departures_survive_the_wrap_of_their_units() {
        let mut history = History::default();
        let late = (1_u64 << 36) - 160;
        history.push(100, late);
        let packet = history.arrived(0, late + 100_000).expect("remembered");
        assert_eq!(packet.departure, late);
    }
}
