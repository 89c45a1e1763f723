//! Pictures and bits per second, from times in the media.

use std::collections::VecDeque;

use crate::MediaTime;

/// How far back is measured: long enough to hold more than one group of pictures of most
/// encoders, or the bitrate would swing with the keyframes.
const SPAN_NANOS: i64 = 4_000_000_000;
/// Pictures that are remembered: four seconds at 120 a second. Faster streams are measured over
/// less time.
const MAX_PICTURES: usize = 480;
/// Pictures from which the rate is told.
const RATE_PICTURES: usize = 16;

/// Remembers times, which never decrease, and sizes.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Time and bytes of each picture.
    pictures: VecDeque<(MediaTime, usize)>,
    bytes: usize,
}

impl Meter {
    pub(super) fn picture(&mut self, at: MediaTime, bytes: usize) {
        self.pictures.push_back((at, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while let Some(&(first, bytes)) = self.pictures.front()
            && (self.pictures.len() > MAX_PICTURES || at.0.saturating_sub(first.0) > SPAN_NANOS)
        {
            self.pictures.pop_front();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Pictures a second over the last sixteen, and over how many it was measured. `None` until
    /// there are four; infinite where no time passes between pictures.
    pub(super) fn rate(&self) -> Option<(f64, usize)> {
        let count = self.pictures.len().min(RATE_PICTURES);
        if count < 4 {
            return None;
        }
        let (first, _) = self.pictures.get(self.pictures.len() - count)?;
        let (last, _) = self.pictures.back()?;
        let seconds = last.since(*first).as_secs_f64();
        Some(((count - 1) as f64 / seconds, count))
    }

    /// Bits per second; `None` until a second is known.
    pub(super) fn bitrate(&self) -> Option<u32> {
        let (first, _) = self.pictures.front()?;
        let (last, newest) = self.pictures.back()?;
        let seconds = last.since(*first).as_secs_f64();
        if seconds < 1.0 {
            return None;
        }
        // The time of the newest picture has not passed yet.
        Some(((self.bytes - newest) as f64 * 8.0 / seconds) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut meter = Meter::default();
        for at in 0..300_i64 {
            meter.picture(MediaTime(at * 40_000_000), 1_000);
        }
        assert_eq!(meter.bitrate(), Some(200_000));
        let (rate, count) = meter.rate().expect("known");
        assert_eq!((rate.round() as u32, count), (25, 16));
        for at in 0..600_i64 {
            meter.picture(MediaTime(12_000_000_000 + at * 20_000_000), 250);
        }
        assert_eq!(meter.bitrate(), Some(100_000));
        assert_eq!(meter.rate().expect("known").0.round() as u32, 50);
    }

    #[test]
    fn little_is_known_of_few_pictures() {
        let mut meter = Meter::default();
        for _ in 0..3 {
            assert_eq!((meter.rate(), meter.bitrate()), (None, None));
            meter.picture(MediaTime::ZERO, usize::MAX);
        }
        meter.picture(MediaTime::ZERO, usize::MAX);
        assert_eq!(meter.rate(), Some((f64::INFINITY, 4)));
        meter.picture(MediaTime(i64::MAX), 1);
        assert_eq!(meter.rate(), None);
    }
}
