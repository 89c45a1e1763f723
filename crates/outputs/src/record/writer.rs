//! The writer of one participant's files: frames in, bytes and decisions out.
//!
//! It opens no file and reads no clock; `now` is any clock that never goes back, and all files of
//! a recording have the same. Take all outputs after every call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use inver_media::container::fmp4::{Sample, Track};
use inver_media::{Codec, Config, Frame, Kind, MediaTime};

use super::container::Container;

/// Longest fragment, which is what a crash may cost beside what is not yet synced. Shorter ones
/// cost more headers.
const FRAGMENT: i64 = 1_000_000_000;

/// How often what was written is made durable, with room below the five seconds that are promised.
const SYNC: Duration = Duration::from_secs(4);

/// How long the first frames are looked at: what came before as a burst must not place the
/// recording too late.
const SETTLE: Duration = Duration::from_millis(300);

/// How long a picture waits for sound, and sound for a picture, before a file begins without.
const AWAIT_AUDIO: Duration = Duration::from_secs(1);
const AWAIT_VIDEO: Duration = Duration::from_secs(5);

/// Bytes that wait meanwhile at most: as much as a group of pictures may have.
const WAITING: usize = 16 << 20;

/// Steps of an encoder's clock beyond which a file ends: forward a pause that nobody meant, back a
/// clock that began anew.
const JUMP: i64 = 10_000_000_000;
const BACK: i64 = 1_000_000_000;

/// When a file is long enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Split {
    /// Zero is never.
    pub(super) duration: Duration,
    /// Zero is never.
    pub(super) bytes: u64,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A file begins.
    Open(Opening),
    /// Append these bytes; the file then lasts this long and misses so many stretches.
    Append {
        bytes: Vec<u8>,
        lasts: Duration,
        gaps: u32,
    },
    /// Make durable what was appended.
    Sync,
    /// The file is complete.
    Close,
    /// Something cannot be recorded, in words for people.
    Refused(String),
}

/// How a file begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// What it is.
    pub(super) container: Container,
    /// Its first bytes.
    pub(super) header: Vec<u8>,
    /// Names of its codecs.
    pub(super) codecs: Vec<String>,
    /// When its first frame was taken, on the clock of `now`.
    pub(super) at: Duration,
}

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    split: Split,
    state: State,
    /// From media times to the clock of `now`, in nanoseconds; as long as the publisher's clock
    /// goes on, files of it fit to one another exactly.
    anchor: Option<i128>,
    refused: Option<Arc<Config>>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Gathering(Gathering),
    Writing(Box<Open>),
}

/// Frames before it is known which tracks there are.
#[derive(Debug)]
struct Gathering {
    since: Duration,
    frames: Vec<Arc<Frame>>,
    bytes: usize,
    /// Whether it goes on from another file.
    follows: bool,
}

#[derive(Debug)]
struct Open {
    container: Container,
    tracks: Vec<Written>,
    base: i64,
    sequence: u32,
    bytes: u64,
    /// Where the fragment in the making begins and ends, in nanoseconds of the file.
    begins: Option<i64>,
    ends: i64,
    gaps: u32,
    synced: Duration,
    dirty: bool,
    /// The next keyframe begins a new file.
    split: bool,
}

#[derive(Debug)]
struct Written {
    track: Track,
    run: Vec<Sample>,
    /// The latest one, whose duration is not known yet.
    held: Option<Sample>,
    /// How long the one before lasted, in ticks.
    lasted: u32,
    latest: MediaTime,
}

impl Writer {
    pub(super) fn new(split: Split) -> Self {
        Self {
            split,
            state: State::Waiting,
            anchor: None,
            refused: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A frame of the picture's best layer, or of sound.
    pub(super) fn frame(&mut self, frame: &Arc<Frame>, now: Duration) {
        if let State::Writing(open) = &mut self.state {
            let video = frame.codec().kind() == Kind::Video;
            if video && !frame.keyframe && !open.has(Kind::Video) {
                // A picture that begins late begins with a keyframe.
                return;
            }
            let jumped = open.jumped(frame);
            let fits = open.fits(frame);
            if !fits || open.is_full(self.split) {
                open.split = true;
            }
            let may_begin = !open.has(Kind::Video) || (video && frame.keyframe) || !fits && video;
            if !(jumped || open.split && may_begin) {
                if fits {
                    open.take(frame, now, &mut self.outputs);
                } else {
                    open.gaps += 1;
                }
                return;
            }
            self.close();
            if jumped {
                self.anchor = None;
            }
        }
        self.gather(frame, now);
    }

    /// Something is missing; the picture goes on with a keyframe.
    pub(super) fn lost(&mut self) {
        if let State::Writing(open) = &mut self.state {
            open.gaps += 1;
        }
    }

    /// The publisher is gone; if it comes back, a new file begins.
    pub(super) fn idle(&mut self, now: Duration) {
        if matches!(self.state, State::Gathering(_)) {
            self.begin(now);
        }
        self.close();
        self.anchor = None;
        self.refused = None;
    }

    /// Time went on.
    pub(super) fn tick(&mut self, now: Duration) {
        match &mut self.state {
            State::Waiting => {}
            State::Gathering(gathering) => {
                if gathering.is_over(now) {
                    self.begin(now);
                }
            }
            State::Writing(open) => open.sync(now, true, &mut self.outputs),
        }
    }

    fn close(&mut self) {
        if let State::Writing(open) = &mut self.state {
            open.finish(&mut self.outputs);
        }
        self.state = State::Waiting;
    }

    fn gather(&mut self, frame: &Arc<Frame>, now: Duration) {
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| **refused == *frame.config)
        {
            return;
        }
        if let State::Waiting = self.state {
            self.state = State::Gathering(Gathering {
                since: now,
                frames: Vec::new(),
                bytes: 0,
                follows: self.anchor.is_some(),
            });
        }
        let State::Gathering(gathering) = &mut self.state else {
            return;
        };
        let kind = frame.codec().kind();
        if kind == Kind::Video && !frame.keyframe && !gathering.has(Kind::Video) {
            return;
        }
        if !gathering.follows {
            let anchor = nanos(now) - i128::from(frame.dts.0);
            self.anchor = Some(self.anchor.map_or(anchor, |known| known.min(anchor)));
        }
        gathering.bytes += frame.data.len();
        gathering.frames.push(Arc::clone(frame));
        if gathering.is_over(now) {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Duration) {
        let State::Gathering(gathering) = std::mem::replace(&mut self.state, State::Waiting) else {
            return;
        };
        let first = |kind| {
            let mut fitting = gathering.frames.iter();
            fitting.find(|frame| frame.codec().kind() == kind)
        };
        let firsts = [first(Kind::Video), first(Kind::Audio)];
        let base = firsts.iter().flatten().map(|frame| frame.dts).min();
        let (Some(base), Some(anchor)) = (base, self.anchor) else {
            return;
        };
        let tracks = (1..).zip(firsts.iter().flatten());
        let tracks: Vec<Track> = tracks.map(|(id, frame)| Track::of(id, frame)).collect();
        let container = Container::of(&tracks);
        let header = match container.header(&tracks) {
            Ok(header) => header,
            Err(unsupported) => {
                let codec = unsupported.codec();
                let refused = gathering.frames.iter().find(|frame| frame.codec() == codec);
                self.refused = refused.map(|frame| Arc::clone(&frame.config));
                self.outputs
                    .push_back(Output::Refused(unsupported.to_string()));
                return;
            }
        };
        let at = u64::try_from(anchor + i128::from(base.0)).unwrap_or(0);
        let codecs = tracks.iter().map(|track| name(track.config.codec()));
        let mut open = Box::new(Open {
            container,
            base: base.0,
            sequence: 0,
            bytes: header.len() as u64,
            begins: None,
            ends: 0,
            gaps: 0,
            synced: now,
            dirty: true,
            split: false,
            tracks: Vec::new(),
        });
        self.outputs.push_back(Output::Open(Opening {
            container,
            header,
            codecs: codecs.collect(),
            at: Duration::from_nanos(at),
        }));
        open.tracks = tracks.into_iter().map(Written::new).collect();
        self.state = State::Writing(open);
        for frame in &gathering.frames {
            self.frame(frame, now);
        }
    }
}

impl Gathering {
    fn has(&self, kind: Kind) -> bool {
        self.frames.iter().any(|frame| frame.codec().kind() == kind)
    }

    fn is_over(&self, now: Duration) -> bool {
        let waited = now.saturating_sub(self.since);
        let enough = match (self.has(Kind::Video), self.has(Kind::Audio)) {
            (true, true) => self.follows || waited >= SETTLE,
            (true, false) => waited >= AWAIT_AUDIO,
            (false, true) => waited >= AWAIT_VIDEO,
            (false, false) => false,
        };
        enough || self.bytes > WAITING
    }
}

impl Written {
    fn new(track: Track) -> Self {
        Self {
            track,
            run: Vec::new(),
            held: None,
            lasted: 0,
            latest: MediaTime(i64::MIN),
        }
    }

    fn kind(&self) -> Kind {
        self.track.config.codec().kind()
    }

    fn nanos(&self, ticks: i64) -> i64 {
        MediaTime::from_ticks(ticks, self.track.timescale).0
    }
}

impl Open {
    fn of(&self, kind: Kind) -> Option<&Written> {
        self.tracks.iter().find(|written| written.kind() == kind)
    }

    fn has(&self, kind: Kind) -> bool {
        self.of(kind).is_some()
    }

    /// Whether its decoder is the one that the file began with.
    fn fits(&mut self, frame: &Frame) -> bool {
        let kind = frame.codec().kind();
        let mut tracks = self.tracks.iter_mut();
        let Some(written) = tracks.find(|written| written.kind() == kind) else {
            return false;
        };
        let known = &mut written.track.config;
        if Arc::ptr_eq(known, &frame.config) {
            return true;
        }
        let same = **known == *frame.config;
        if same {
            *known = Arc::clone(&frame.config);
        }
        same
    }

    fn jumped(&self, frame: &Frame) -> bool {
        self.of(frame.codec().kind()).is_some_and(|written| {
            let step = frame.dts.0.saturating_sub(written.latest.0);
            written.held.is_some() && !(-BACK..=JUMP).contains(&step)
        })
    }

    fn is_full(&self, split: Split) -> bool {
        let long = u64::try_from(split.duration.as_nanos()).unwrap_or(u64::MAX);
        long > 0 && self.ends.unsigned_abs() >= long || split.bytes > 0 && self.bytes >= split.bytes
    }

    fn take(&mut self, frame: &Frame, now: Duration, outputs: &mut VecDeque<Output>) {
        let kind = frame.codec().kind();
        let Some(at) = self
            .tracks
            .iter()
            .position(|written| written.kind() == kind)
        else {
            return;
        };
        let written = &mut self.tracks[at];
        written.latest = frame.dts;
        let moved = Frame {
            pts: frame.pts.shifted(self.base.saturating_neg()),
            dts: frame.dts.shifted(self.base.saturating_neg()),
            ..frame.clone()
        };
        let mut sample = Sample::of(&written.track, &moved, 0);
        let Some(mut held) = written.held.take() else {
            sample.dts = sample.dts.max(0);
            written.held = Some(sample);
            return;
        };
        if sample.dts <= held.dts {
            // Two frames at one moment: the later one follows by the least that can be told.
            let late = held.dts + 1 - sample.dts;
            sample.dts = held.dts + 1;
            let late = i32::try_from(late).unwrap_or(i32::MAX);
            sample.composition = sample.composition.saturating_sub(late).max(0);
        }
        held.duration = u32::try_from(sample.dts - held.dts).unwrap_or(u32::MAX);
        written.lasted = held.duration;
        written.held = Some(sample);
        self.place(at, held, now, outputs);
    }

    /// Puts a sample into the fragment in the making, or into a new one.
    fn place(&mut self, at: usize, sample: Sample, now: Duration, outputs: &mut VecDeque<Output>) {
        let written = &self.tracks[at];
        let begins = written.nanos(sample.dts);
        let ends = written.nanos(sample.dts + i64::from(sample.duration));
        let group = written.kind() == Kind::Video && sample.keyframe && !written.run.is_empty();
        if group || self.begins.is_some_and(|first| ends - first > FRAGMENT) {
            self.flush(outputs);
            self.sync(now, false, outputs);
        }
        let first = self.begins.map_or(begins, |first| first.min(begins));
        self.begins = Some(first);
        self.ends = self.ends.max(ends);
        self.tracks[at].run.push(sample);
    }

    fn flush(&mut self, outputs: &mut VecDeque<Output>) {
        self.begins = None;
        let with_samples = || self.tracks.iter().filter(|written| !written.run.is_empty());
        let runs: Vec<(&Track, &[Sample])> = with_samples()
            .map(|written| (&written.track, &written.run[..]))
            .collect();
        if runs.is_empty() {
            return;
        }
        self.sequence += 1;
        let bytes = self.container.fragment(self.sequence, &runs);
        self.bytes += bytes.len() as u64;
        self.dirty = true;
        outputs.push_back(Output::Append {
            bytes,
            lasts: Duration::from_nanos(self.ends.unsigned_abs()),
            gaps: self.gaps,
        });
        for written in &mut self.tracks {
            written.run.clear();
        }
    }

    /// Asks for what was written to be durable, when it is time; `all`: also what waits for a
    /// fragment to be full.
    fn sync(&mut self, now: Duration, all: bool, outputs: &mut VecDeque<Output>) {
        if now.saturating_sub(self.synced) < SYNC {
            return;
        }
        if all {
            self.flush(outputs);
        }
        self.synced = now;
        if std::mem::take(&mut self.dirty) {
            outputs.push_back(Output::Sync);
        }
    }

    fn finish(&mut self, outputs: &mut VecDeque<Output>) {
        for at in 0..self.tracks.len() {
            let written = &mut self.tracks[at];
            if let Some(mut held) = written.held.take() {
                // Nobody knows how long the last one lasts; as long as the one before.
                held.duration = written.lasted.max(1);
                let now = self.synced;
                self.place(at, held, now, outputs);
            }
        }
        self.flush(outputs);
        outputs.push_back(Output::Close);
    }
}

/// A codec as people call it.
fn name(codec: Codec) -> String {
    match codec {
        Codec::Aac => "AAC".to_owned(),
        Codec::Opus => "Opus".to_owned(),
        Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => codec.to_string(),
    }
}

/// A clock's reading in nanoseconds, with room for differences.
fn nanos(at: Duration) -> i128 {
    i128::try_from(at.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;
