//! Wake-ups of sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A heap of wake-ups with lazy removal.
///
/// An owner remembers the one entry that counts, its earliest. Whatever else comes up for it was
/// replaced by an earlier one and is passed over: put back, such entries would multiply.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

impl Timers {
    /// Adds a wake-up for a slot; `stamp` tells apart the slot's successive owners.
    pub(crate) fn add(&mut self, at: Instant, slot: usize, stamp: u64) {
        self.heap.push(Reverse((at, slot, stamp)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next entry that is due: its time, slot and stamp.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, usize, u64)> {
        let Reverse((at, slot, stamp)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((at, slot, stamp))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_come_in_order_and_only_when_due() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.add(start + Duration::from_millis(20), 1, 7);
        timers.add(start + Duration::from_millis(10), 2, 8);
        assert_eq!(timers.next(), Some(start + Duration::from_millis(10)));
        assert_eq!(timers.pop_due(start), None);
        let later = start + Duration::from_millis(15);
        assert_eq!(
            timers.pop_due(later),
            Some((start + Duration::from_millis(10), 2, 8))
        );
        assert_eq!(timers.pop_due(later), None);
    }
}
