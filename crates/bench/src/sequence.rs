//! Which sequence numbers came, which are missing.

/// Numbers that are remembered one by one. A packet that comes later than this counts as lost:
/// at 250 packets per second that is sixteen seconds.
const WINDOW: u64 = 4096;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Seen for the first time.
    New,
    /// Seen before.
    Duplicate,
    /// Too old to tell.
    Old,
}

/// Counts one stream's packets by their extended sequence numbers.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    seen: Box<[u64; (WINDOW / 64) as usize]>,
    /// Lowest and highest number so far.
    span: Option<(u64, u64)>,
    received: u64,
    duplicates: u64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            seen: Box::new([0; (WINDOW / 64) as usize]),
            span: None,
            received: 0,
            duplicates: 0,
        }
    }
}

impl Arrivals {
    /// Takes note of a packet.
    pub(crate) fn note(&mut self, sequence: u64) -> Arrival {
        match self.span {
            None => self.span = Some((sequence, sequence)),
            Some((first, last)) if sequence > last => {
                // A leap over the whole window leaves nothing in it.
                for skipped in (last + 1..=sequence).take(WINDOW as usize) {
                    self.clear(skipped);
                }
                if sequence - last > WINDOW {
                    self.seen.fill(0);
                }
                self.span = Some((first, sequence));
            }
            Some((first, last)) => {
                if last - sequence >= WINDOW {
                    return Arrival::Old;
                }
                if self.has(sequence) {
                    self.duplicates += 1;
                    return Arrival::Duplicate;
                }
                self.span = Some((first.min(sequence), last));
            }
        }
        self.seen[(sequence % WINDOW / 64) as usize] |= 1 << (sequence % 64);
        self.received += 1;
        Arrival::New
    }

    fn has(&self, sequence: u64) -> bool {
        self.seen[(sequence % WINDOW / 64) as usize] & (1 << (sequence % 64)) != 0
    }

    fn clear(&mut self, sequence: u64) {
        self.seen[(sequence % WINDOW / 64) as usize] &= !(1 << (sequence % 64));
    }

    /// Packets from the lowest to the highest number.
    pub(crate) fn expected(&self) -> u64 {
        self.span.map_or(0, |(first, last)| last - first + 1)
    }

    /// Packets that are missing between the lowest and the highest number.
    pub(crate) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Packets that came again.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: impl IntoIterator<Item = u64>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for number in numbers {
            arrivals.note(number);
        }
        arrivals
    }

    #[test]
    fn gaps_are_losses_until_they_are_filled() {
        let mut arrivals = after([10, 11, 14, 15]);
        assert_eq!((arrivals.expected(), arrivals.lost()), (6, 2));
        assert_eq!(arrivals.note(12), Arrival::New);
        assert_eq!(arrivals.lost(), 1);
        assert_eq!(arrivals.note(12), Arrival::Duplicate);
        assert_eq!((arrivals.lost(), arrivals.duplicates()), (1, 1));
    }

    #[test]
    fn any_order_counts_the_same() {
        let mut numbers: Vec<u64> = (500..1500).filter(|n| n % 10 != 3).collect();
        let mut rng = fastrand::Rng::with_seed(4);
        rng.shuffle(&mut numbers);
        let arrivals = after(numbers.iter().chain(&numbers).copied());
        assert_eq!(arrivals.expected(), 1000);
        assert_eq!(arrivals.lost(), 100);
        assert_eq!(arrivals.duplicates(), 900);
    }

    #[test]
    fn a_leap_over_the_window_forgets_nothing_that_counts() {
        let mut arrivals = after([0, 1, 2, 3 * WINDOW + 1]);
        assert_eq!(arrivals.lost(), 3 * WINDOW + 2 - 4);
        assert_eq!(arrivals.note(2), Arrival::Old);
        assert_eq!(arrivals.note(3 * WINDOW), Arrival::New);
        assert_eq!(arrivals.note(2 * WINDOW + 2), Arrival::New);
    }

    #[test]
    fn long_streams_stay_right() {
        let arrivals = after((0..100_000).filter(|n| n % 1000 != 7));
        assert_eq!(arrivals.lost(), 100);
        assert_eq!(after([]).expected(), 0);
    }
}
