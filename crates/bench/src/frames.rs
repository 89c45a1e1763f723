//! Whole frames out of packets, and the times when the picture stood still.

use std::time::{Duration, Instant};

/// Packets that wait for a missing one at most.
const WINDOW: usize = 2048;

/// A missing packet is given up after this time; no retransmission comes later.
const PATIENCE: Duration = Duration::from_secs(1);

/// Intervals between frames that make up the average.
const HISTORY: u32 = 30;

/// A picture that is this much late has stood still, as the statistics of browsers define it
/// (`freezeCount`), unless three average intervals are longer.
const LATE: Duration = Duration::from_millis(150);

/// What is known of a packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Piece {
    /// It opens a frame.
    pub(crate) start: bool,
    /// It opens a keyframe.
    pub(crate) keyframe: bool,
    /// It closes a frame.
    pub(crate) marker: bool,
}

/// Puts a viewer's frames together in the order of their sequence numbers.
#[derive(Debug)]
pub(crate) struct Frames {
    waiting: Vec<Option<Piece>>,
    /// The next number in order.
    next: Option<u64>,
    highest: u64,
    /// Since when `next` is missing while later ones are here.
    gap: Option<Instant>,
    /// The frame that is being put together has all packets so far.
    sound: bool,
    /// It is a keyframe.
    keyframe: bool,
    first_keyframe: Option<Instant>,
    last: Option<Instant>,
    average: Option<Duration>,
    complete: u64,
    broken: u64,
    stalls: u64,
    stalled: Duration,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            waiting: vec![None; WINDOW],
            next: None,
            highest: 0,
            gap: None,
            sound: false,
            keyframe: false,
            first_keyframe: None,
            last: None,
            average: None,
            complete: 0,
            broken: 0,
            stalls: 0,
            stalled: Duration::ZERO,
        }
    }
}

impl Frames {
    /// Takes a packet; each number comes once. `true`: frames were given up, a keyframe is
    /// needed to go on.
    pub(crate) fn take(&mut self, sequence: u64, piece: Piece, arrival: Instant) -> bool {
        let next = *self.next.get_or_insert(sequence);
        if sequence < next {
            return false;
        }
        let mut lost = false;
        if sequence - next >= WINDOW as u64 {
            // Behind a leap nothing of what was skipped will come.
            let leap = sequence - self.highest >= WINDOW as u64;
            let to = if leap {
                sequence
            } else {
                sequence - WINDOW as u64 + 1
            };
            lost |= self.give_up(to, arrival);
        }
        self.waiting[slot(sequence)] = Some(piece);
        self.highest = self.highest.max(sequence);
        self.advance(arrival);
        if let Some(since) = self.gap
            && arrival.saturating_duration_since(since) >= PATIENCE
        {
            lost |= self.give_up(self.next.unwrap_or(sequence) + 1, arrival);
        }
        lost
    }

    /// Goes on to number `to` or the first packet behind it that is here.
    fn give_up(&mut self, to: u64, arrival: Instant) -> bool {
        let Some(mut at) = self.next else {
            return false;
        };
        while at < to || (at <= self.highest && self.waiting[slot(at)].is_none()) {
            self.waiting[slot(at)] = None;
            at += 1;
            if at > to + WINDOW as u64 {
                at = to;
                break;
            }
        }
        self.next = Some(at);
        self.gap = None;
        if self.sound {
            self.broken += 1;
        }
        self.sound = false;
        self.advance(arrival);
        true
    }

    fn advance(&mut self, arrival: Instant) {
        let Some(mut next) = self.next else {
            return;
        };
        while let Some(piece) = self.waiting[slot(next)].take() {
            next += 1;
            self.gap = None;
            if piece.start && !(self.sound && self.keyframe && piece.keyframe) {
                self.sound = true;
                self.keyframe = false;
            }
            self.keyframe |= piece.keyframe;
            if piece.marker {
                if self.sound {
                    self.completed(arrival);
                }
                self.sound = false;
                self.keyframe = false;
            }
        }
        self.next = Some(next);
        if next <= self.highest {
            self.gap.get_or_insert(arrival);
        }
    }

    fn completed(&mut self, arrival: Instant) {
        self.complete += 1;
        if self.keyframe {
            self.first_keyframe.get_or_insert(arrival);
        }
        if let Some(last) = self.last.replace(arrival) {
            let interval = arrival.saturating_duration_since(last);
            let average = *self.average.get_or_insert(interval);
            if interval > (average * 3).max(average + LATE) {
                self.stalls += 1;
                self.stalled += interval.saturating_sub(average);
            }
            self.average = Some((average * (HISTORY - 1) + interval) / HISTORY);
        }
    }

    /// Media should have gone on until `until`: whoever got nothing before has stalled.
    pub(crate) fn end(&mut self, until: Instant) {
        let Some(last) = self.last else {
            return;
        };
        let interval = until.saturating_duration_since(last);
        let average = self.average.unwrap_or_default();
        if interval > (average * 3).max(average + LATE) {
            self.stalls += 1;
            self.stalled += interval;
        }
    }

    /// When the first keyframe was whole.
    pub(crate) fn first_keyframe(&self) -> Option<Instant> {
        self.first_keyframe
    }

    /// Frames that came whole.
    pub(crate) fn complete(&self) -> u64 {
        self.complete
    }

    /// Frames that were begun and given up.
    pub(crate) fn broken(&self) -> u64 {
        self.broken
    }

    /// How often the picture stood still, and for how long in all.
    pub(crate) fn stalls(&self) -> (u64, Duration) {
        (self.stalls, self.stalled)
    }
}

fn slot(sequence: u64) -> usize {
    (sequence % WINDOW as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u64 = 4;

    /// Feeds packets of frames of [`PACKETS`] packets; every thirtieth is a keyframe.
    struct Feed {
        frames: Frames,
        start: Instant,
        needed_keyframe: u64,
    }

    impl Feed {
        fn new() -> Self {
            Self {
                frames: Frames::default(),
                start: Instant::now(),
                needed_keyframe: 0,
            }
        }

        fn packet(&mut self, sequence: u64, at: u64) {
            let (frame, part) = (sequence / PACKETS, sequence % PACKETS);
            let piece = Piece {
                start: part == 0,
                keyframe: part == 0 && frame.is_multiple_of(30),
                marker: part + 1 == PACKETS,
            };
            let at = self.start + Duration::from_millis(at);
            self.needed_keyframe += u64::from(self.frames.take(sequence, piece, at));
        }

        fn frame(&mut self, frame: u64, at: u64) {
            for part in 0..PACKETS {
                self.packet(frame * PACKETS + part, at);
            }
        }
    }

    #[test]
    fn frames_complete_in_order_even_if_packets_do_not() {
        let mut feed = Feed::new();
        feed.frame(0, 0);
        assert_eq!(feed.frames.first_keyframe(), Some(feed.start));
        for sequence in [7, 5, 6] {
            feed.packet(sequence, 33);
        }
        assert_eq!(feed.frames.complete(), 1);
        feed.packet(4, 40);
        assert_eq!(feed.frames.complete(), 2);
        assert_eq!(feed.frames.stalls().0, 0);
    }

    #[test]
    fn who_joins_within_a_frame_waits_for_the_next() {
        let mut feed = Feed::new();
        for sequence in 30 * PACKETS - 2..31 * PACKETS {
            feed.packet(sequence, 10);
        }
        assert_eq!(feed.frames.complete(), 1);
        assert!(feed.frames.first_keyframe().is_some());
        assert_eq!(feed.frames.broken(), 0);
    }

    #[test]
    fn what_does_not_come_is_given_up_and_asks_for_a_keyframe() {
        let mut feed = Feed::new();
        for frame in 0..60 {
            for part in 0..PACKETS {
                if (frame, part) != (10, 2) {
                    feed.packet(frame * PACKETS + part, frame * 33);
                }
            }
        }
        assert_eq!(feed.needed_keyframe, 1);
        assert_eq!(feed.frames.broken(), 1);
        assert_eq!(feed.frames.complete(), 59);
        let (stalls, time) = feed.frames.stalls();
        assert_eq!(stalls, 1, "the picture stood until the gap was given up");
        assert!(time > Duration::from_millis(900), "{time:?}");
    }

    #[test]
    fn a_long_leap_is_survived() {
        let mut feed = Feed::new();
        feed.frame(0, 0);
        feed.frame(5000, 100);
        feed.frame(5001, 133);
        assert_eq!(feed.needed_keyframe, 1);
        for frame in 5002..5100 {
            feed.frame(frame, (frame - 4998) * 33);
        }
        assert_eq!(feed.needed_keyframe, 1);
        assert_eq!(feed.frames.complete(), 101);
    }

    #[test]
    fn a_late_picture_is_a_stall_and_so_is_an_end_without_one() {
        let mut feed = Feed::new();
        for frame in 0..30 {
            feed.frame(frame, frame * 33);
        }
        assert_eq!(feed.frames.stalls().0, 0);
        feed.frame(30, 29 * 33 + 200);
        assert_eq!(feed.frames.stalls().0, 1);
        let last = feed.start + Duration::from_millis(29 * 33 + 200);
        feed.frames.end(last + Duration::from_millis(50));
        assert_eq!(feed.frames.stalls().0, 1);
        feed.frames.end(last + Duration::from_secs(3));
        assert_eq!(feed.frames.stalls().0, 2);
    }
}
