//! Times of 33 bits put on one line that all tracks share and that never goes back.
//!
//! A track follows its own times while they go on. Where they jump, it joins the times that
//! another track jumped to before, else it opens a new epoch behind everything so far. So tracks
//! that jump together stay together, and tracks whose clocks have nothing to do with one another
//! begin together.

/// Ticks in a second.
pub(super) const RATE: u32 = 90_000;
const SECOND: i64 = 90_000;

/// A longer way forward is a jump. Less would take pauses of an encoder for jumps; more would let
/// viewers wait for a restarted clock.
const FORWARD: i64 = 10 * SECOND;
/// The same where the sender said that its clock changes.
const FORWARD_AT_CHANGE: i64 = SECOND;
/// A longer way back is a jump; a shorter one is disorder. Pictures out of order without DTS go
/// back by some frames.
const BACK: i64 = SECOND / 2;
/// A decoding time this long before its presentation time is not believed: the deepest reordering
/// is sixteen pictures.
const REORDER: i64 = 10 * SECOND;

/// How a jump came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    /// Ticks by which times are moved from here on.
    pub(super) shift: i64,
}

/// What the tracks share.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    epoch: u32,
    /// Ticks from times of the stream to times that come out, in the newest epoch.
    offset: i64,
    /// The newest time of the stream in the newest epoch.
    newest: Option<i64>,
    /// The newest time that came out.
    front: Option<i64>,
}

impl Timeline {
    /// The newest time that came out, in ticks.
    pub(super) fn front(&self) -> Option<i64> {
        self.front
    }

    /// Where a time would be in the newest epoch; nothing follows from it.
    pub(super) fn peek(&self, time: u64) -> Option<i64> {
        Some(near(self.newest?, time).saturating_add(self.offset))
    }

    /// Something that begins at `ticks` came out.
    pub(super) fn passed(&mut self, ticks: i64) {
        self.front = Some(self.front.map_or(ticks, |front| front.max(ticks)));
    }

    fn open(&mut self, at: i64, out: i64) -> Jump {
        self.epoch += 1;
        self.offset = out.saturating_sub(at);
        self.newest = Some(at);
        Jump { shift: self.offset }
    }
}

/// The times of one track.
#[derive(Debug, Default)]
pub(super) struct Clock {
    epoch: u32,
    offset: i64,
    /// The last time of the stream, and the one that came out for it.
    last: Option<(i64, i64)>,
    /// Ticks between the last two frames.
    step: i64,
    /// The sender said that its clock changes.
    change: bool,
}

impl Clock {
    /// The sender said that its clock changes about here.
    pub(super) fn expect_change(&mut self) {
        self.change = true;
    }

    /// Ticks from one frame to the next; a guess of 1/30 s before there were two.
    pub(super) fn step(&self) -> i64 {
        if self.step > 0 {
            self.step
        } else {
            SECOND / 30
        }
    }

    /// Places a decoding time of 33 bits.
    pub(super) fn place(&mut self, line: &mut Timeline, time: u64) -> (i64, Option<Jump>) {
        let forward = if std::mem::take(&mut self.change) {
            FORWARD_AT_CHANGE
        } else {
            FORWARD
        };
        let (at, jump) = self.locate(line, time, forward);
        let out = at.saturating_add(self.offset);
        if let Some((_, before)) = self.last
            && (1..=SECOND).contains(&(out - before))
        {
            self.step = out - before;
        }
        self.last = Some((at, out));
        if self.epoch == line.epoch {
            line.newest = Some(line.newest.map_or(at, |newest| newest.max(at)));
        }
        (out, jump)
    }

    fn locate(&mut self, line: &mut Timeline, time: u64, forward: i64) -> (i64, Option<Jump>) {
        let Some(newest) = line.newest else {
            let at = near(0, time).rem_euclid(1 << 33);
            line.newest = Some(at);
            return (at, None);
        };
        let joined = near(newest, time);
        let away = (joined - newest).abs();
        let Some((last, before)) = self.last else {
            if away <= forward {
                self.join(line);
                return (joined, None);
            }
            // A clock of its own: begins where the others are.
            let jump = line.open(joined, line.front.unwrap_or(joined));
            self.join(line);
            return (joined, Some(jump));
        };
        let own = near(last, time);
        let step = own - last;
        if self.epoch != line.epoch && away <= forward && away < step.abs() {
            self.join(line);
            return (joined, None);
        }
        let current = self.epoch == line.epoch;
        if step >= -BACK && (step <= forward || (current && away <= forward)) {
            return (own, None);
        }
        let behind = before.saturating_add(self.step());
        let jump = line.open(own, line.front.map_or(behind, |front| front.max(behind)));
        self.join(line);
        (own, Some(jump))
    }

    fn join(&mut self, line: &Timeline) {
        self.epoch = line.epoch;
        self.offset = line.offset;
    }
}

/// The time nearest to `reference` whose low 33 bits are `time`.
fn near(reference: i64, time: u64) -> i64 {
    let low = i64::try_from(time & 0x1_ffff_ffff).unwrap_or(0);
    reference.saturating_add(difference(low, reference))
}

/// `a - b` on the circle of 33 bits, at most half of it either way.
fn difference(a: i64, b: i64) -> i64 {
    let half = 1_i64 << 32;
    (a.wrapping_sub(b).wrapping_add(half)).rem_euclid(1 << 33) - half
}

/// Ticks that a presentation time lies behind its decoding time; `None` where that is impossible.
pub(super) fn composition(pts: u64, dts: u64) -> Option<i64> {
    let signed = |time: u64| i64::try_from(time & 0x1_ffff_ffff).unwrap_or(0);
    let ahead = difference(signed(pts), signed(dts));
    (0..=REORDER).contains(&ahead).then_some(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAP: u64 = 1 << 33;

    fn place(clock: &mut Clock, line: &mut Timeline, time: u64) -> i64 {
        let (out, _) = clock.place(line, time);
        line.passed(out);
        out
    }

    #[test]
    fn tracks_wrap_together() {
        let mut line = Timeline::default();
        let (mut video, mut audio) = (Clock::default(), Clock::default());
        let start = place(&mut video, &mut line, WRAP - 3_000);
        assert_eq!(start, (WRAP - 3_000) as i64);
        // The audio begins behind the edge already, then comes from before it.
        assert_eq!(place(&mut audio, &mut line, 500), start + 3_500);
        assert_eq!(place(&mut video, &mut line, 0), start + 3_000);
        assert_eq!(place(&mut audio, &mut line, 2_400), start + 5_400);
        assert_eq!(composition(100, WRAP - 100), Some(200));
        assert_eq!(composition(WRAP - 100, 100), None);
    }

    #[test]
    fn a_restart_goes_on_behind_everything_and_tracks_stay_together() {
        let mut line = Timeline::default();
        let (mut video, mut audio) = (Clock::default(), Clock::default());
        for frame in 0..100 {
            place(&mut video, &mut line, 900_000 + frame * 3_000);
            place(&mut audio, &mut line, 900_100 + frame * 3_000);
        }
        let end = 900_100 + 99 * 3_000;
        let (out, jump) = video.place(&mut line, 50);
        assert_eq!(out, end.max(900_000 + 100 * 3_000));
        assert_eq!(jump, Some(Jump { shift: out - 50 }));
        line.passed(out);
        // A straggler of before is where it was; what jumps along keeps its distance.
        assert_eq!(place(&mut audio, &mut line, 900_100 + 300_000), 1_200_100);
        assert_eq!(audio.place(&mut line, 250), (out + 200, None));
        assert_eq!(video.place(&mut line, 3_050), (out + 3_000, None));
    }

    #[test]
    fn clocks_without_relation_begin_together_and_do_not_fight() {
        let mut line = Timeline::default();
        let (mut video, mut audio) = (Clock::default(), Clock::default());
        let start = place(&mut video, &mut line, 90_000);
        let (out, jump) = audio.place(&mut line, 1_000_000_000);
        assert_eq!(out, start);
        assert!(jump.is_some());
        for frame in 1..100 {
            let step = frame * 3_000;
            assert_eq!(
                video.place(&mut line, 90_000 + step),
                (start + step as i64, None)
            );
            let sound = audio.place(&mut line, 1_000_000_000 + step);
            assert_eq!(sound, (start + step as i64, None));
        }
    }

    #[test]
    fn a_pause_is_no_jump_but_an_announced_one_is() {
        let mut line = Timeline::default();
        let mut video = Clock::default();
        place(&mut video, &mut line, 0);
        assert_eq!(place(&mut video, &mut line, 3_000), 3_000);
        assert_eq!(place(&mut video, &mut line, 453_000), 453_000);
        video.expect_change();
        let (out, jump) = video.place(&mut line, 903_000);
        assert_eq!(out, 456_000);
        assert!(jump.is_some());
    }

    #[test]
    fn a_sparse_track_follows_the_others() {
        let mut line = Timeline::default();
        let (mut video, mut sparse) = (Clock::default(), Clock::default());
        place(&mut sparse, &mut line, 0);
        for frame in 0..1_000 {
            place(&mut video, &mut line, frame * 3_600);
        }
        assert_eq!(sparse.place(&mut line, 3_596_400), (3_596_400, None));
    }
}
