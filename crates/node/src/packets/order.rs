//! Packets of one stream in the order of their sequence numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use inver_media::Packet;

/// How long a missing packet is waited for. Longer gives retransmissions over slow ways time to
/// come, shorter gets readers past a loss sooner.
const PATIENCE: Duration = Duration::from_millis(200);

/// Packets that wait behind a missing one at most; with more it is given up at once.
const MOST_WAITING: usize = 1024;

/// Puts packets in order and gives up what does not come in time.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: Option<u64>,
    waiting: BTreeMap<u64, Packet>,
}

impl Order {
    /// Takes a packet. One that was given already, or given up, is dropped.
    pub(super) fn push(&mut self, packet: Packet) {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence >= next {
            self.waiting.entry(packet.sequence).or_insert(packet);
        }
    }

    /// The next packet, and whether packets before it are lost. `None`: it has to come yet.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Packet, bool)> {
        let (&sequence, _) = self.waiting.first_key_value()?;
        let gap = self.next.is_some_and(|next| next < sequence);
        let given_up = self.waiting.len() > MOST_WAITING
            || self.poll_timeout().is_some_and(|deadline| deadline <= now);
        if gap && !given_up {
            return None;
        }
        let (sequence, packet) = self.waiting.pop_first()?;
        self.next = Some(sequence.saturating_add(1));
        Some((packet, gap))
    }

    /// When the missing packet is given up.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        // Whichever came first behind the hole; mostly that is the lowest one.
        let (_, first) = self.waiting.first_key_value()?;
        first.arrival.checked_add(PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::assembly::tests::packet;
    use super::*;

    fn drain(order: &mut Order, now: Instant) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| order.pop(now))
            .map(|(packet, gap)| (packet.sequence, gap))
            .collect()
    }

    #[test]
    fn a_retransmission_within_the_patience_fills_its_hole() {
        let start = Instant::now();
        let mut order = Order::default();
        for sequence in [65_534, 65_536, 65_537] {
            order.push(packet(sequence, 0, start));
        }
        assert_eq!(drain(&mut order, start), [(65_534, false)]);
        let later = start + PATIENCE / 2;
        order.push(packet(65_535, 0, later));
        let whole = [(65_535, false), (65_536, false), (65_537, false)];
        assert_eq!(drain(&mut order, later), whole);
        assert_eq!(order.poll_timeout(), None);
    }

    #[test]
    fn a_hole_is_given_up_in_time_and_what_comes_later_is_dropped() {
        let start = Instant::now();
        let mut order = Order::default();
        order.push(packet(1, 0, start));
        order.push(packet(3, 0, start));
        assert_eq!(drain(&mut order, start), [(1, false)]);
        let deadline = order.poll_timeout().expect("it waits");
        assert_eq!(drain(&mut order, deadline), [(3, true)]);
        order.push(packet(2, 0, deadline));
        order.push(packet(3, 0, deadline));
        assert_eq!(drain(&mut order, deadline + PATIENCE), []);
    }

    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let start = Instant::now();
        let mut order = Order::default();
        order.push(packet(0, 0, start));
        for sequence in 0..=MOST_WAITING as u64 {
            order.push(packet(sequence + 2, 0, start));
        }
        let given = drain(&mut order, start);
        assert_eq!(given.len(), MOST_WAITING + 2);
        assert_eq!(given[1], (2, true));
    }
}
