//! One track as segments and parts, on the stream's line of time.
//!
//! A frame's duration is known when the next one comes, so one frame always waits. Segments have
//! the same numbers in all renditions of a stream, because all of them are cut at the same times.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use inver_media::container::fmp4::{Run, Sample, Track, Unsupported, fragment, init_segment};
use inver_media::{Config, Frame, Kind, MediaTime};

use super::past::Stored;

/// Cuts that wait for a frame behind them; more mean that the track has stopped.
const CUTS: usize = 2;

/// How long a smaller layer is waited for whose keyframe comes later than that of the best one.
/// Longer makes more of its segments begin with one, and makes those before longer.
const ALIGN: Duration = Duration::from_millis(400);

/// How much before a cut a smaller layer's keyframe may be that belongs behind it: the clocks of
/// layers differ by less than half a frame.
const NEAR_NANOS: i64 = 15_000_000;

/// Segments that stay in any case: three target durations at least must (RFC 8216bis, 6.2.2), and
/// their parts are listed.
const LEAST: usize = 7;

/// Frames of the beginning from which the usual time between frames is told.
const MEASURED: usize = 12;

/// How much longer than its usual length a part may be: encoders round times, and the clocks of
/// WebRTC are corrected now and then. Less makes such parts break off early, which leaves them
/// shorter than the 85 % of the target that playlists promise; more would do so for all.
const LEEWAY: f64 = 1.08;

/// Differences between the times from frame to frame that are more than rounding, by length and by
/// share.
const UNEVEN: (Duration, f64) = (Duration::from_millis(3), 1.15);

/// Where frames come unevenly, how many of the longest times between two of them make a part: what
/// does not fit any more is less than 15 % of it then, also where one lasts a fifth longer than any
/// before. Less promises what parts do not hold, more makes latency.
const SPREAD: f64 = 8.0;

/// Longest part of a track whose frames come unevenly.
const MOST_PART: Duration = Duration::from_secs(1);

/// Where a track's segments begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Presentation time from which frames belong to the new segment.
    pub(super) at: MediaTime,
    /// The number of that segment.
    pub(super) msn: u64,
    /// Whether decoders and clocks begin anew.
    pub(super) discontinuity: bool,
    /// Whether a keyframe is there, with which other layers are to begin, too.
    pub(super) keyframe: bool,
}

impl Cut {
    /// Whether a frame belongs behind it.
    fn is_reached(&self, frame: &Frame, follows: bool) -> bool {
        let near = follows && self.keyframe && frame.keyframe;
        frame.pts >= self.at || (near && frame.pts.shifted(NEAR_NANOS) >= self.at)
    }
}

/// A piece of a segment that players can have before the segment is whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) duration: f64,
    /// Whether it begins with a keyframe.
    pub(super) independent: bool,
    pub(super) data: Bytes,
}

/// Where a segment's bytes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In its parts.
    Memory,
    /// There too, on their way to the disk.
    Moving,
    /// On the disk, and nowhere else.
    Disk(Stored),
}

/// A segment, whole or still growing.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) msn: u64,
    /// Presentation time of its first frame.
    pub(super) start: MediaTime,
    pub(super) duration: f64,
    pub(super) parts: Vec<Part>,
    pub(super) discontinuity: bool,
    /// Number of the initialisation segment: that of the first segment that needs it.
    pub(super) map: u64,
    /// Nothing came for it.
    pub(super) gap: bool,
    pub(super) whole: bool,
    pub(super) place: Place,
    /// What playlists say of it, once that does not change any more.
    pub(super) told: OnceLock<Box<str>>,
}

impl Segment {
    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.data.len()).sum()
    }
}

/// A track's segments.
#[derive(Debug)]
pub(super) struct Rendition {
    kind: Kind,
    track: Option<Track>,
    maps: VecDeque<(u64, Bytes)>,
    pub(super) segments: VecDeque<Segment>,
    /// The frame whose end is not known yet.
    pending: Option<Arc<Frame>>,
    samples: Vec<Sample>,
    /// Ticks of the samples.
    length: i64,
    sequence: u32,
    cuts: VecDeque<Cut>,
    /// Whether it is a layer beside the best one, whose keyframes decide where segments begin.
    pub(super) follows: bool,
    part_length: Duration,
    part_target: Option<Duration>,
    /// Frames of a part.
    part_frames: usize,
    /// Whether it is known how far frames of this configuration are apart.
    measured: bool,
    /// Usual time between frames.
    interval: Option<Duration>,
    /// How far back segments are in memory.
    memory: Duration,
    /// How far back they are kept.
    window: Duration,
    /// Discontinuities among the segments that are gone.
    pub(super) discontinuities: u64,
    /// Highest bitrate of a segment so far, and the average, in bits per second.
    peak: f64,
    total: (f64, f64),
}

impl Rendition {
    /// A track of which nothing is known yet, with parts of about `part_length`, whose segments are
    /// in memory for the time `memory` and kept for `window`, which is no less.
    pub(super) fn new(
        kind: Kind,
        part_length: Duration,
        memory: Duration,
        window: Duration,
    ) -> Self {
        Self {
            kind,
            track: None,
            maps: VecDeque::new(),
            segments: VecDeque::new(),
            pending: None,
            samples: Vec::new(),
            length: 0,
            sequence: 0,
            cuts: VecDeque::new(),
            follows: false,
            part_length,
            part_target: None,
            part_frames: usize::MAX,
            measured: false,
            interval: None,
            memory,
            window,
            discontinuities: 0,
            peak: 0.0,
            total: (0.0, 0.0),
        }
    }

    /// The track, once its first frame has come.
    pub(super) fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    /// Most that a part lasts; `None` until it is known how far frames are apart.
    pub(super) fn part_target(&self) -> Option<Duration> {
        self.part_target
    }

    /// Peak and average of bits per second so far. Before the first segment is whole, what there is
    /// of it stands for a second at least, or its keyframe would count for too much.
    pub(super) fn bitrates(&self) -> (f64, f64) {
        let growing = self.segments.back().filter(|_| self.total.1 == 0.0);
        let (bits, seconds) = growing.map_or(self.total, |segment| {
            (segment.bytes() as f64 * 8.0, segment.duration.max(1.0))
        });
        let average = if seconds > 0.0 { bits / seconds } else { 0.0 };
        (self.peak.max(average), average)
    }

    /// The initialisation segment with that number.
    pub(super) fn map(&self, number: u64) -> Option<Bytes> {
        let found = self.maps.iter().find(|(of, _)| *of == number);
        found.map(|(_, bytes)| bytes.clone())
    }

    /// Whether the configuration of that frame is another one than that of the frames before.
    pub(super) fn changes(&self, frame: &Frame) -> bool {
        let same = |of: &Arc<Config>| Arc::ptr_eq(of, &frame.config) || **of == *frame.config;
        match (&self.pending, &self.track) {
            (Some(pending), _) => !same(&pending.config),
            (None, Some(track)) => !same(&track.config),
            (None, None) => false,
        }
    }

    /// Whether the next frame is the first behind a discontinuity.
    pub(super) fn begins_anew(&self) -> bool {
        self.cuts.iter().any(|cut| cut.discontinuity)
    }

    /// Frames from that time on belong to the next segment. A track from which nothing came since
    /// the cut before gets a gap.
    pub(super) fn cut(&mut self, cut: Cut) {
        while self.cuts.len() >= CUTS
            && let (Some(from), Some(to)) = (self.cuts.pop_front(), self.cuts.front().copied())
        {
            self.finish();
            self.push_gap(from, to);
        }
        self.cuts.push_back(cut);
        // Of a picture's layers the smaller ones come first: what waits may belong behind the cut.
        let follows = self.follows;
        if (!cut.discontinuity || self.segments.is_empty())
            && let Some(frame) = self
                .pending
                .take_if(|frame| frame.keyframe && cut.is_reached(frame, follows))
            && let Err(error) = self.push(frame)
        {
            tracing::debug!(%error, "a frame was dropped");
        }
    }

    /// Takes the next frame in order of decoding. `true`: playlists have changed.
    ///
    /// # Errors
    ///
    /// MP4 does not carry it.
    pub(super) fn push(&mut self, frame: Arc<Frame>) -> Result<bool, Unsupported> {
        let is_picture = frame.codec().kind() == Kind::Video;
        if self.segments.is_empty() && is_picture && !frame.keyframe {
            // Nothing can be shown of it, nor of a keyframe before it that had no cut yet.
            self.pending = None;
            return Ok(false);
        }
        let mut passed = self.cuts_before(&frame);
        let begins = passed.pop();
        if begins.is_none() && self.segments.is_empty() {
            // Its first segment begins at the next cut, and perhaps with this very frame: small
            // layers come before the one that leads.
            self.pending = is_picture.then_some(frame);
            return Ok(false);
        }
        let mut changed = false;
        if let Some(cut) = begins {
            // The frame before ends where this one begins, unless the clock began anew.
            let end = (!cut.discontinuity && passed.is_empty()).then_some(&*frame);
            self.settle(end);
            changed |= self.finish();
            let nexts = passed.iter().skip(1).copied().chain([cut]);
            for (from, to) in passed.iter().zip(nexts) {
                self.push_gap(*from, to);
            }
            self.begin(cut, &frame)?;
        } else {
            changed |= self.settle(Some(&frame));
        }
        self.pending = Some(frame);
        Ok(changed)
    }

    /// The cuts that this frame is behind, which no frame before it was.
    fn cuts_before(&mut self, frame: &Frame) -> Vec<Cut> {
        let anew = self.cuts.iter().rposition(|cut| cut.discontinuity);
        let count = self
            .cuts
            .iter()
            .enumerate()
            .take_while(|(index, cut)| {
                anew.is_some_and(|anew| *index <= anew)
                    || (cut.is_reached(frame, self.follows) && self.may_begin(cut, frame))
            })
            .count();
        self.cuts.drain(..count).collect()
    }

    /// Whether a frame behind a cut is one to begin with.
    fn may_begin(&self, cut: &Cut, frame: &Frame) -> bool {
        let waits = self.follows && cut.keyframe && !frame.keyframe;
        !waits || frame.pts.since(cut.at) >= ALIGN
    }

    /// A segment for which nothing came; nothing before the track's first frame.
    fn push_gap(&mut self, from: Cut, to: Cut) {
        if self.track.is_none() {
            return;
        }
        self.push_segment(from, true);
        if let Some(gap) = self.segments.back_mut() {
            // Where clocks begin anew nobody can say how long it was.
            let length = if to.discontinuity {
                self.part_length
            } else {
                to.at.since(from.at)
            };
            gap.duration = length.as_secs_f64();
            gap.whole = true;
        }
    }

    /// Ends the waiting frame where the next one begins; without a next one it is as long as the
    /// frame before it. Closes the part that it does not fit into. `true`: a part was closed.
    fn settle(&mut self, next: Option<&Frame>) -> bool {
        let (Some(pending), Some(track)) = (self.pending.take(), &self.track) else {
            return false;
        };
        let dts = track.ticks(pending.dts);
        let usual = self.samples.last().map_or(0, |sample| sample.duration);
        let duration = next
            .and_then(|next| u32::try_from(track.ticks(next.dts).saturating_sub(dts)).ok())
            .unwrap_or(usual);
        let sample = Sample::of(track, &pending, duration);
        self.measure(&sample);
        let mut closed = false;
        if let Some(target) = self.part_target
            && !self.samples.is_empty()
            && (self.samples.len() >= self.part_frames
                || self.duration(self.length + i64::from(duration)) > target)
        {
            closed = self.close_part();
        }
        self.length += i64::from(sample.duration);
        self.samples.push(sample);
        // A part that is full need not wait for the frame behind it.
        if self.part_target.is_some() && self.samples.len() >= self.part_frames {
            closed |= self.close_part();
        }
        closed
    }

    fn duration(&self, ticks: i64) -> Duration {
        let timescale = self.track.as_ref().map_or(1, |track| track.timescale);
        let ticks = u64::try_from(ticks).unwrap_or(0);
        Duration::from_nanos(ticks.saturating_mul(1_000_000_000) / u64::from(timescale.max(1)))
    }

    /// Finds out how many frames make a part: all parts are to be of the same length, so that
    /// none is shorter than 85 % of the target that playlists promise.
    fn measure(&mut self, sample: &Sample) {
        if self.measured || sample.duration == 0 {
            return;
        }
        let count = self.samples.len() + 1;
        let length = self.duration(self.length + i64::from(sample.duration));
        // Where frames are far apart a part is one frame, which is known at once.
        if count < MEASURED && length < self.part_length {
            return;
        }
        let interval = length / u32::try_from(count).unwrap_or(1).max(1);
        let fit = self.part_length.as_secs_f64() / interval.as_secs_f64().max(1e-6);
        let frames = (fit.round() as u32).max(1);
        self.interval = Some(interval);
        self.measured = true;
        let lengths = || self.samples.iter().chain([sample]).map(|one| one.duration);
        let longest = self.duration(i64::from(lengths().max().unwrap_or(0)));
        let shortest = self.duration(i64::from(lengths().min().unwrap_or(0)));
        let uneven = longest > shortest + UNEVEN.0 && longest > shortest.mul_f64(UNEVEN.1);
        // What playlists promise holds for parts that are gone, too.
        if let Some(target) = self.part_target.filter(|target| interval <= *target) {
            let fit = target.as_secs_f64() / interval.as_secs_f64().max(1e-6);
            self.part_frames = if uneven {
                usize::MAX
            } else {
                (fit as usize).max(1)
            };
            return;
        }
        if uneven {
            let fitting = longest.mul_f64(SPREAD).max(self.part_length);
            self.part_target = Some(fitting.min(MOST_PART.max(self.part_length)));
            return;
        }
        self.part_frames = frames as usize;
        self.part_target = Some((interval * frames).mul_f64(LEEWAY));
    }

    /// Makes a part of the samples. `true`: there were some.
    fn close_part(&mut self) -> bool {
        let (Some(track), Some(segment)) = (&self.track, self.segments.back_mut()) else {
            self.samples.clear();
            self.length = 0;
            return false;
        };
        let Some(first) = self.samples.first() else {
            return false;
        };
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let run = Run {
            track: track.id,
            samples: &self.samples,
        };
        let part = Part {
            duration: self.length as f64 / f64::from(track.timescale.max(1)),
            independent: first.keyframe,
            data: fragment(self.sequence, &[run]).into(),
        };
        segment.duration += part.duration;
        segment.parts.push(part);
        self.samples.clear();
        self.length = 0;
        true
    }

    /// Ends the segment. `true`: there was one.
    fn finish(&mut self) -> bool {
        self.settle(None);
        self.close_part();
        let Some(segment) = self.segments.back_mut().filter(|segment| !segment.whole) else {
            return false;
        };
        segment.whole = true;
        if segment.parts.is_empty() {
            segment.gap = true;
        }
        let bits = segment.bytes() as f64 * 8.0;
        if segment.duration > 0.5 {
            self.peak = self.peak.max(bits / segment.duration);
        }
        self.total.0 += bits;
        self.total.1 += segment.duration;
        let last = self.segments.back().map_or(0.0, |last| last.duration);
        let last = Duration::try_from_secs_f64(last).unwrap_or_default();
        while self.segments.len() > LEAST
            && let Some(next) = self.segments.get(1)
            && self.age(next) + last >= self.window
        {
            self.pop();
        }
        self.forget_maps();
        true
    }

    /// Time from the beginning of a segment to that of the latest one.
    fn age(&self, segment: &Segment) -> Duration {
        let latest = self.segments.back();
        latest.map_or(Duration::ZERO, |latest| latest.start.since(segment.start))
    }

    /// How far back the track reaches.
    pub(super) fn reach(&self) -> Duration {
        let oldest = self.segments.front();
        oldest.map_or(Duration::ZERO, |oldest| self.age(oldest))
    }

    fn pop(&mut self) {
        if let Some(gone) = self.segments.pop_front() {
            self.discontinuities += u64::from(gone.discontinuity);
        }
    }

    fn forget_maps(&mut self) {
        let oldest = self.segments.front().map_or(0, |segment| segment.map);
        self.maps.retain(|(number, _)| *number >= oldest);
    }

    /// Forgets the segments before the one of that number.
    pub(super) fn forget_before(&mut self, msn: u64) {
        while self.segments.len() > LEAST
            && self.segments.front().is_some_and(|first| first.msn < msn)
        {
            self.pop();
        }
        self.forget_maps();
    }

    /// Segments that memory need not hold any more, oldest first. They are on their way from now
    /// on, until [`Self::moved`] and [`Self::not_moved`] are called.
    pub(super) fn move_out(&mut self) -> Vec<(u64, Vec<Bytes>)> {
        let Some(latest) = self.segments.back().map(|latest| latest.start) else {
            return Vec::new();
        };
        let count = self.segments.len().saturating_sub(LEAST);
        let old = self.segments.iter_mut().take(count).rev();
        let mut out: Vec<(u64, Vec<Bytes>)> = old
            .take_while(|segment| !matches!(segment.place, Place::Disk(_)))
            .filter(|segment| {
                segment.whole
                    && !segment.gap
                    && matches!(segment.place, Place::Memory)
                    && latest.since(segment.start) > self.memory
            })
            .map(|segment| {
                segment.place = Place::Moving;
                let parts = segment.parts.iter().map(|part| part.data.clone());
                (segment.msn, parts.collect())
            })
            .collect();
        out.reverse();
        out
    }

    /// A segment is on the disk.
    pub(super) fn moved(&mut self, msn: u64, stored: Stored) {
        if let Some(segment) = self.find(msn) {
            segment.parts = Vec::new();
            segment.place = Place::Disk(stored);
        }
    }

    /// What was on its way is in memory as before.
    pub(super) fn not_moved(&mut self) {
        let recent = self.segments.iter_mut().rev();
        for segment in recent.take_while(|segment| !matches!(segment.place, Place::Disk(_))) {
            segment.place = Place::Memory;
        }
    }

    /// Numbers of the first segment in memory and of the oldest one, where any is on the disk.
    pub(super) fn on_disk(&self) -> Option<(u64, u64)> {
        let oldest = self.segments.front()?;
        let last = self
            .segments
            .iter()
            .rev()
            .find(|segment| matches!(segment.place, Place::Disk(_)))?;
        Some((oldest.msn, last.msn + 1))
    }

    /// Segments that are to be on the disk and are not.
    pub(super) fn backlog(&self) -> usize {
        let old = self.segments.iter().rev();
        old.take_while(|segment| !matches!(segment.place, Place::Disk(_)))
            .filter(|segment| !segment.gap && self.age(segment) > self.memory)
            .count()
    }

    fn find(&mut self, msn: u64) -> Option<&mut Segment> {
        let at = self.position(msn)?;
        self.segments.get_mut(at)
    }

    fn position(&self, msn: u64) -> Option<usize> {
        let found = self
            .segments
            .binary_search_by_key(&msn, |segment| segment.msn);
        found.ok()
    }

    /// The segment of that number.
    pub(super) fn segment(&self, msn: u64) -> Option<&Segment> {
        self.segments.get(self.position(msn)?)
    }

    fn begin(&mut self, cut: Cut, frame: &Frame) -> Result<(), Unsupported> {
        let same = self.track.as_ref().is_some_and(|track| {
            Arc::ptr_eq(&track.config, &frame.config) || *track.config == *frame.config
        });
        if !same || self.maps.is_empty() {
            let track = Track::of(1, frame);
            let init = init_segment(std::slice::from_ref(&track))?;
            self.maps.push_back((cut.msn, init.into()));
            self.track = Some(track);
            if !same {
                // Until it is known how far frames are apart now, parts end where the target does.
                self.measured = false;
                self.part_frames = usize::MAX;
            }
        }
        self.push_segment(cut, false);
        if let Some(segment) = self.segments.back_mut() {
            segment.start = frame.pts;
        }
        Ok(())
    }

    fn push_segment(&mut self, cut: Cut, gap: bool) {
        self.segments.push_back(Segment {
            msn: cut.msn,
            start: cut.at,
            duration: 0.0,
            parts: Vec::new(),
            discontinuity: cut.discontinuity && !self.segments.is_empty(),
            map: self.maps.back().map_or(0, |(number, _)| *number),
            gap,
            whole: false,
            place: Place::Memory,
            told: OnceLock::new(),
        });
    }

    /// Frames per second, as the parts so far have them; `None` while there are none.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        let interval = self.interval.filter(|interval| !interval.is_zero())?;
        Some(1.0 / interval.as_secs_f64())
    }

    /// Sound or picture.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of the segment that grows, and of the part that comes next in it.
    pub(super) fn next(&self) -> Option<(u64, usize)> {
        let last = self.segments.back()?;
        Some(if last.whole {
            (last.msn + 1, 0)
        } else {
            (last.msn, last.parts.len())
        })
    }
}
