//! When pictures are decoded, which RTP does not tell where they come out of order.

use std::collections::VecDeque;

use inver_media::MediaTime;

/// Pictures that one may overtake: what the codecs allow.
const MOST: usize = 16;

/// A step back of a keyframe's time that begins a new line of time.
const JUMP: i64 = 2_000_000_000;

/// From one decode time to the next before the first pictures' order is known: any value, as long
/// as times rise.
const LEAD: i64 = 1_000_000;

/// Makes decode times: rising, and none later than its picture is shown.
#[derive(Debug, Default)]
pub(crate) struct Order {
    depth: usize,
    /// Times of the pictures whose decode times are still to give, in order.
    waiting: VecDeque<MediaTime>,
    last: Option<MediaTime>,
    /// The latest picture.
    latest: Option<MediaTime>,
}

impl Order {
    /// The decode time of the next picture, of which at most `depth` later ones are shown earlier.
    pub(crate) fn decoded_at(&mut self, pts: MediaTime, keyframe: bool, depth: usize) -> MediaTime {
        let depth = depth.min(MOST);
        let anew = self
            .latest
            .is_some_and(|latest| keyframe && latest.0.saturating_sub(pts.0) > JUMP);
        if anew || depth > self.depth || self.latest.is_none() {
            self.depth = depth.max(if anew { 0 } else { self.depth });
            self.waiting.clear();
            if anew {
                self.last = None;
            }
            // As if so many pictures had come before.
            for before in (1..=i64::try_from(self.depth).unwrap_or(0)).rev() {
                self.waiting.push_back(pts.shifted(-LEAD * before));
            }
        }
        self.latest = self.latest.filter(|_| !anew).max(Some(pts));
        let at = self.waiting.partition_point(|waiting| *waiting <= pts);
        self.waiting.insert(at, pts);
        let first = self.waiting.pop_front().unwrap_or(pts);
        // A picture later than its place in the order would end before it began.
        let dts = match self.last {
            Some(last) if first <= last => last.shifted(1_000).min(pts),
            Some(_) | None => first,
        };
        self.last = Some(dts);
        dts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(depth: usize, shown: &[i64]) -> Vec<i64> {
        let mut order = Order::default();
        let shown = shown.iter().enumerate();
        shown
            .map(|(index, ms)| {
                let pts = MediaTime(ms * 1_000_000);
                let dts = order.decoded_at(pts, index == 0, depth);
                assert!(dts <= pts, "{ms}");
                dts.0 / 1_000_000
            })
            .collect()
    }

    #[test]
    fn pictures_in_order_are_decoded_when_they_are_shown() {
        assert_eq!(decoded(0, &[0, 40, 80, 120]), [0, 40, 80, 120]);
    }

    #[test]
    fn decode_times_rise_where_pictures_come_out_of_order() {
        let times = decoded(2, &[1000, 1160, 1080, 1040, 1120, 1320, 1240, 1200, 1280]);
        assert_eq!(times, [998, 999, 1000, 1040, 1080, 1120, 1160, 1200, 1240]);
    }
}
