//! Groups of packets that left together, and how the distance of two groups changed on the way
//! (draft-ietf-rmcat-gcc-02, sections 5.1 and 5.2).

use super::throughput::{MILLISECOND, Micros, SECOND};

/// Packets within 5 ms of one another are one group: what leaves in one burst queues behind
/// itself and says nothing about the path. A higher value sees fewer, a lower one noisier changes.
const SPAN: Micros = 5 * MILLISECOND;
/// Packets that arrive at most this far apart though they left farther apart come out of one
/// burst of the network, such as a radio's time slot, and belong to one group,
const BURST_GAP: i64 = 5 * MILLISECOND as i64;
/// as long as the group does not become longer than this.
const BURST_LIMIT: i64 = 100 * MILLISECOND as i64;
/// A change larger than this is a clock that was set or a sender that paused, not a queue.
const JUMP: i64 = 3 * SECOND as i64;
/// So many groups in a row arriving before their forerunners mean a clock that was set back.
const BACKWARDS_LIMIT: u8 = 3;

/// Joins packets into groups, in the order in which they left.
#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
    backwards: u8,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_departure: Micros,
    last_departure: Micros,
    first_arrival: i64,
    last_arrival: i64,
}

/// The change from one group to the next, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// How much later than the former group this one left.
    pub(super) departure: i64,
    /// How much later it arrived.
    pub(super) arrival: i64,
    /// When it arrived, by the receiver's clock.
    pub(super) at: i64,
}

impl Groups {
    /// Takes a packet that arrived; gives a change where it ends a group.
    pub(super) fn add(&mut self, departure: Micros, arrival: i64) -> Option<Change> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(departure, arrival));
            return None;
        };
        if departure < current.first_departure {
            // A packet of an earlier group that came late: that group has been judged.
            return None;
        }
        if current.takes(departure, arrival) {
            current.last_departure = current.last_departure.max(departure);
            current.last_arrival = current.last_arrival.max(arrival);
            current.first_arrival = current.first_arrival.min(arrival);
            return None;
        }
        let ended = std::mem::replace(current, Group::of(departure, arrival));
        let former = self.previous.replace(ended)?;
        let change = Change {
            departure: ended.last_departure.saturating_sub(former.last_departure) as i64,
            arrival: ended.last_arrival - former.last_arrival,
            at: ended.last_arrival,
        };
        if change.departure > JUMP || change.arrival.abs() > JUMP {
            self.forget();
            return None;
        }
        if change.arrival < 0 {
            self.backwards += 1;
            if self.backwards >= BACKWARDS_LIMIT {
                self.forget();
            }
            return None;
        }
        self.backwards = 0;
        Some(change)
    }

    /// Forgets all groups: no change is computed across this moment.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Group {
    fn of(departure: Micros, arrival: i64) -> Self {
        Self {
            first_departure: departure,
            last_departure: departure,
            first_arrival: arrival,
            last_arrival: arrival,
        }
    }

    fn takes(&self, departure: Micros, arrival: i64) -> bool {
        if departure.saturating_sub(self.first_departure) <= SPAN {
            return true;
        }
        let gap = arrival - self.last_arrival;
        let departed = departure.saturating_sub(self.last_departure) as i64;
        gap < departed && gap <= BURST_GAP && arrival - self.first_arrival < BURST_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_group() {
        let mut groups = Groups::default();
        for packet in 0..10 {
            assert_eq!(groups.add(0, 50_000 + packet * 2_000), None);
        }
        assert_eq!(groups.add(33_000, 90_000), None);
        assert_eq!(
            groups.add(66_000, 130_000),
            Some(Change {
                departure: 33_000,
                arrival: 22_000,
                at: 90_000
            })
        );
        // A straggler of an earlier group changes nothing.
        assert_eq!(groups.add(33_000, 131_000), None);
    }

    #[test]
    fn packets_that_the_network_held_together_are_one_group() {
        let mut groups = Groups::default();
        groups.add(0, 0);
        for packet in 1..9_u32 {
            let departure = u64::from(packet) * 20_000;
            assert_eq!(
                groups.add(departure, 180_000 + i64::from(packet) * 1_000),
                None
            );
        }
    }

    #[test]
    fn clocks_that_jump_begin_anew() {
        let mut groups = Groups::default();
        for packet in 0..5_u32 {
            groups.add(u64::from(packet) * 20_000, i64::from(packet) * 20_000);
        }
        // The group that ends here was well; the one that arrived at 90 s is not.
        assert!(groups.add(100_000, 90_000_000).is_some());
        assert_eq!(groups.add(120_000, 90_020_000), None);
        assert!(groups.previous.is_none());
    }
}
