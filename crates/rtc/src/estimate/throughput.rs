//! Rates over the recent past, and the units of time in this module.

/// Microseconds since the estimator began.
pub(super) type Micros = u64;

pub(super) const MILLISECOND: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// The length of one slot: shorter than the distance of two frames, so that a window ends near
/// the newest packet.
const SLOT: i64 = 25_000;
/// Half a second: a dozen frames, so that one large frame does not decide.
const SLOTS: usize = 20;
/// 200 ms: while a queue exists arrivals are even, and a fall of the path's rate shows soon.
const RECENT: usize = 8;
/// Three seconds: no packet arrives that much later than its followers.
const JUMP: i64 = 3_000_000 / SLOT;

/// Bytes per slot of time over the last half second of a clock.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    slots: [u32; SLOTS],
    /// The slot that fills now, counted from the clock's zero.
    newest: i64,
    /// Whole slots seen so far, up to [`SLOTS`].
    whole: usize,
    started: bool,
}

impl Throughput {
    /// Counts bytes at a time, in microseconds of any clock that mostly advances.
    pub(super) fn add(&mut self, at: i64, bytes: u32) {
        let slot = at.div_euclid(SLOT);
        if !self.started {
            self.started = true;
            self.newest = slot;
        }
        let ahead = slot.saturating_sub(self.newest);
        if ahead > 0 {
            for step in 1..=ahead.min(SLOTS as i64) {
                self.slots[place(self.newest + step)] = 0;
            }
            self.whole = self
                .whole
                .saturating_add(ahead.min(SLOTS as i64) as usize)
                .min(SLOTS);
            self.newest = slot;
        } else if ahead < -JUMP {
            // The clock was set back: what is known belongs to another time.
            *self = Self {
                started: true,
                newest: slot,
                ..Self::default()
            };
        } else if ahead <= -(SLOTS as i64) {
            return;
        }
        let filled = &mut self.slots[place(slot)];
        *filled = filled.saturating_add(bytes);
    }

    /// Bits per second over half a second before the newest slot; `None` until 200 ms are known.
    pub(super) fn steady(&self) -> Option<u64> {
        self.over(SLOTS - 1)
    }

    /// Bits per second over the last 200 ms before the newest slot.
    pub(super) fn recent(&self) -> Option<u64> {
        self.over(RECENT)
    }

    fn over(&self, slots: usize) -> Option<u64> {
        let slots = slots.min(self.whole);
        if slots < RECENT {
            return None;
        }
        let bytes: u64 = (1..=slots as i64)
            .map(|back| u64::from(self.slots[place(self.newest - back)]))
            .sum();
        Some(bytes * 8 * SECOND / (slots as u64 * SLOT as u64))
    }
}

fn place(slot: i64) -> usize {
    slot.rem_euclid(SLOTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_steady_rate() {
        let mut throughput = Throughput::default();
        assert_eq!(throughput.steady(), None);
        for packet in 0..2000 {
            throughput.add(-3_000_000 + packet * 1_000, 125);
        }
        assert_eq!(throughput.steady(), Some(1_000_000));
        assert_eq!(throughput.recent(), Some(1_000_000));
    }

    #[test]
    fn sees_a_fall_in_200_ms_and_a_pause_at_once() {
        let mut throughput = Throughput::default();
        for packet in 0..1000 {
            throughput.add(packet * 1_000, 250);
        }
        for packet in 1000..1225 {
            throughput.add(packet * 1_000, 125);
        }
        assert_eq!(throughput.recent(), Some(1_000_000));
        assert!(throughput.steady().expect("known") > 1_400_000);
        throughput.add(5_000_000, 125);
        assert_eq!(throughput.steady(), Some(0));
    }

    #[test]
    fn late_arrivals_count_and_a_jump_back_begins_anew() {
        let mut throughput = Throughput::default();
        throughput.add(0, 100);
        throughput.add(300_000, 100);
        throughput.add(10_000, 900);
        throughput.add(475_000, 0);
        assert_eq!(throughput.steady(), Some(1100 * 8 * 1_000_000 / 475_000));
        throughput.add(-10_000_000, 100);
        assert_eq!(throughput.steady(), None);
        throughput.add(i64::MAX, 1);
        throughput.add(i64::MIN, 1);
    }
}
