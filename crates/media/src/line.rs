//! One line of time for frames whose clock may begin anew.

use std::sync::Arc;

use crate::{Frame, MediaTime};

/// A step between frames beyond which the encoder's clock began anew: real pauses are followed
/// without a step, or the reader is told of them.
const JUMP: i64 = 10_000_000_000;

/// From the last frame before such a step to the first after it.
const AFTER_JUMP: i64 = 40_000_000;

/// Keeps times going on where they begin anew.
#[derive(Debug, Default)]
pub struct Line {
    /// By how many nanoseconds frames are moved.
    shift: i64,
    /// The latest decoding time that was given.
    last: Option<MediaTime>,
    broken: bool,
}

impl Line {
    /// What follows begins anew: it goes on right after what was.
    pub fn break_off(&mut self) {
        self.broken = self.last.is_some();
    }

    /// Gives the frame its time on the line.
    pub fn place(&mut self, frame: Arc<Frame>) -> Arc<Frame> {
        if let Some(last) = self.last {
            let here = frame.dts.shifted(self.shift);
            let step = here.0.saturating_sub(last.0);
            if self.broken || step.saturating_abs() > JUMP {
                self.broken = false;
                let wanted = last.shifted(AFTER_JUMP);
                self.shift = wanted.0.saturating_sub(frame.dts.0);
            }
        }
        let dts = frame.dts.shifted(self.shift);
        self.last = Some(self.last.map_or(dts, |last| last.max(dts)));
        if self.shift == 0 {
            return frame;
        }
        Arc::new(Frame {
            pts: frame.pts.shifted(self.shift),
            dts,
            ..Frame::clone(&frame)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn at(ms: i64) -> Arc<Frame> {
        let at = MediaTime(ms * 1_000_000);
        Arc::new(Frame {
            config: Arc::new(Config::Vp8),
            pts: at.shifted(5),
            dts: at,
            keyframe: true,
            data: Arc::from([1]),
        })
    }

    fn placed(line: &mut Line, ms: i64) -> i64 {
        let frame = line.place(at(ms));
        assert_eq!(frame.pts, frame.dts.shifted(5));
        frame.dts.ticks(1000)
    }

    #[test]
    fn times_go_on_where_the_publisher_comes_back() {
        let mut line = Line::default();
        assert_eq!(placed(&mut line, 5_000), 5_000);
        assert_eq!(placed(&mut line, 9_000), 9_000);
        line.break_off();
        assert_eq!(placed(&mut line, 0), 9_040);
        assert_eq!(placed(&mut line, 20), 9_060);
    }

    #[test]
    fn times_go_on_where_the_encoders_clock_begins_anew() {
        let mut line = Line::default();
        assert_eq!(placed(&mut line, 100_000), 100_000);
        assert_eq!(placed(&mut line, 10), 100_040);
        assert_eq!(placed(&mut line, 500_000), 100_080);
    }

    #[test]
    fn a_pause_and_a_track_behind_are_no_jump() {
        let mut line = Line::default();
        assert_eq!(placed(&mut line, 5_000), 5_000);
        assert_eq!(placed(&mut line, 14_000), 14_000);
        assert_eq!(placed(&mut line, 13_500), 13_500);
    }

    #[test]
    fn a_break_before_the_first_frame_moves_nothing() {
        let mut line = Line::default();
        line.break_off();
        assert_eq!(placed(&mut line, 700), 700);
    }
}
