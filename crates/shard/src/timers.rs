//! Wake-ups of sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A heap of wake-ups with lazy removal: an entry that comes too early is put back by its owner.
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

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(usize, u64)> {
        let Reverse((at, slot, stamp)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((slot, stamp))
    }
}
