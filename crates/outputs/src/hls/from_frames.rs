//! A room's frames as renditions that are cut at the same times, on one line of time.
//!
//! Owns no clock and no socket. The first picture leads: segments begin at its keyframes; where
//! there is none, sound leads.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use inver_media::audio::{AAC_BITRATE, ToAac};
use inver_media::codec::aac::AudioSpecificConfig;
use inver_media::container::fmp4::Unsupported;
use inver_media::{Codec, Config, Frame, Kind, MediaTime};

use super::past::{Piece, Written};
use super::rendition::{Cut, Place, Rendition};

/// Layers of a picture at most.
const MAX_LAYERS: u8 = 8;

/// Where the line of time begins: sound may begin before the picture does.
const ORIGIN: MediaTime = MediaTime(2_000_000_000);

/// A step between frames beyond which a clock began anew or a publisher stood still: nobody can
/// say what lay between.
const JUMP: Duration = Duration::from_secs(3);

/// How much earlier than the wanted length a keyframe may end a segment: frame rates are not
/// exact, and browsers answer a request for one sooner or later.
const EARLY: Duration = Duration::from_millis(150);

/// Segments that wait for the disk at most; each is in memory.
const BACKLOG: usize = 40;

/// How long segments and parts are, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// A segment ends with the first keyframe after this time, and with any frame after twice as
    /// much, which is the target duration.
    pub(super) segment: Duration,
    /// Length of parts.
    pub(super) part: Duration,
    /// How far back segments are in memory.
    pub(super) memory: Duration,
    /// How far back playlists reach; what memory does not hold is on the disk.
    pub(super) window: Duration,
}

impl Shape {
    /// `EXT-X-TARGETDURATION`, which never changes: no segment is longer, rounded to seconds.
    pub(super) fn target(self) -> u64 {
        (self.segment * 2).as_secs_f64().ceil().max(1.0) as u64
    }

    /// Whether there is more than memory holds.
    pub(super) fn has_past(self) -> bool {
        self.window > self.memory
    }
}

/// A rendition's name, as it stands in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// A layer of the picture, 0 the best.
    Video(u8),
    /// Sound as it comes.
    Audio,
    /// Sound as AAC, made here.
    Aac,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Video(layer) => write!(f, "v{layer}"),
            Self::Audio => f.write_str("a"),
            Self::Aac => f.write_str("aac"),
        }
    }
}

impl std::str::FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "a" => Ok(Self::Audio),
            "aac" => Ok(Self::Aac),
            _ => match text.strip_prefix('v').map(str::as_bytes) {
                Some([digit @ b'0'..=b'7']) => Ok(Self::Video(digit - b'0')),
                Some(_) | None => Err(()),
            },
        }
    }
}

/// A room's segments.
pub(super) struct FromFrames {
    shape: Shape,
    pub(super) renditions: BTreeMap<Name, Rendition>,
    /// Makes AAC of the sound, while somebody asks for it.
    to_aac: Option<ToAac>,
    /// What moves frames to the stream's line of time, in nanoseconds; `None` before the first.
    shift: Option<i64>,
    /// Time since the first frame, as the caller tells it, of what was taken last.
    latest: BTreeMap<Name, MediaTime>,
    broken: bool,
    next_msn: u64,
    last_cut: Option<MediaTime>,
    /// The codec that cannot be carried, where that is so.
    pub(super) unsupported: Option<Codec>,
}

impl FromFrames {
    /// An empty stream whose first segment has the number `first_msn`.
    pub(super) fn new(shape: Shape, first_msn: u64) -> Self {
        Self {
            shape,
            renditions: BTreeMap::new(),
            to_aac: None,
            shift: None,
            latest: BTreeMap::new(),
            broken: false,
            next_msn: first_msn,
            last_cut: None,
            unsupported: None,
        }
    }

    /// The shape that it was made with.
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// When the line of time begins.
    pub(super) fn origin() -> MediaTime {
        ORIGIN
    }

    /// The layers of the picture.
    pub(super) fn layers(&self) -> Vec<u8> {
        let names = self.renditions.keys();
        names
            .filter_map(|name| match name {
                Name::Video(layer) => Some(*layer),
                Name::Audio | Name::Aac => None,
            })
            .collect()
    }

    /// The decoding time of the latest frame on the stream's line.
    pub(super) fn latest(&self) -> Option<MediaTime> {
        self.latest.values().max().copied()
    }

    /// The publisher is gone: what comes next begins anew.
    pub(super) fn break_off(&mut self) {
        self.broken = self.shift.is_some();
        // The next publisher may send what can be carried.
        self.unsupported = None;
    }

    /// Layers of which something can be shown.
    pub(super) fn shown_layers(&self) -> usize {
        let renditions = self.renditions.values();
        let pictures = renditions.filter(|rendition| rendition.kind() == Kind::Video);
        pictures
            .filter(|rendition| super::playlist::last_part(rendition).is_some())
            .count()
    }

    /// Whether AAC is made of the sound.
    pub(super) fn makes_aac(&self) -> bool {
        self.to_aac.is_some()
    }

    /// Begins to make AAC, or ends it.
    pub(super) fn want_aac(&mut self, wanted: bool) {
        if !wanted {
            self.to_aac = None;
            self.renditions.remove(&Name::Aac);
        } else if self.to_aac.is_none() {
            match ToAac::new(AAC_BITRATE) {
                Ok(bridge) => self.to_aac = Some(bridge),
                Err(error) => tracing::warn!(%error, "no AAC can be made"),
            }
        }
    }

    /// Whether the sound comes as Opus, which not all players know.
    pub(super) fn is_opus(&self) -> bool {
        let rendition = self.renditions.get(&Name::Audio);
        let track = rendition.and_then(Rendition::track);
        track.is_some_and(|track| track.config.codec() == Codec::Opus)
    }

    /// Channels of the sound as it comes.
    pub(super) fn sound_channels(&self) -> u8 {
        let rendition = self.renditions.get(&Name::Audio);
        match rendition
            .and_then(Rendition::track)
            .map(|track| &*track.config)
        {
            Some(Config::Opus { channels, .. }) => *channels,
            Some(Config::Aac { asc }) => {
                AudioSpecificConfig::parse(asc).map_or(2, |asc| asc.output_channels())
            }
            Some(
                Config::H264 { .. }
                | Config::H265 { .. }
                | Config::Av1 { .. }
                | Config::Vp8
                | Config::Vp9 { .. },
            )
            | None => 2,
        }
    }

    /// Takes the picture's next frame, `since` the first one. `true`: playlists have changed.
    pub(super) fn video(&mut self, layer: u8, frame: Arc<Frame>, since: Duration) -> bool {
        if layer >= MAX_LAYERS {
            return false;
        }
        if frame.codec() == Codec::Vp8 {
            self.unsupported = Some(Codec::Vp8);
            return false;
        }
        self.take(Name::Video(layer), frame, since)
    }

    /// Takes the next sound, `since` the first frame. `true`: playlists have changed.
    pub(super) fn audio(&mut self, frame: Arc<Frame>, since: Duration) -> bool {
        let mut changed = self.take(Name::Audio, Arc::clone(&frame), since);
        let Some(bridge) = &mut self.to_aac else {
            return changed;
        };
        let made = match bridge.push(&frame) {
            Ok(made) => made,
            Err(error) => {
                tracing::debug!(%error, "a piece of sound was dropped");
                return changed;
            }
        };
        for frame in made {
            changed |= self.take(Name::Aac, Arc::new(frame), since);
        }
        changed
    }

    fn take(&mut self, name: Name, frame: Arc<Frame>, since: Duration) -> bool {
        let kind = match name {
            Name::Video(_) => Kind::Video,
            Name::Audio | Name::Aac => Kind::Audio,
        };
        let Some(frame) = self.place(name, frame, since) else {
            return false;
        };
        let shape = self.shape;
        let next = self.last_cut.map(|at| Cut {
            at,
            msn: self.next_msn - 1,
            discontinuity: false,
            keyframe: false,
        });
        let rendition = self.renditions.entry(name).or_insert_with(|| {
            let mut rendition = Rendition::new(kind, shape.part, shape.memory, shape.window);
            rendition.follows = matches!(name, Name::Video(1..));
            // It belongs to the segment that the others are at.
            if let Some(cut) = next {
                rendition.cut(cut);
            }
            rendition
        });
        // What begins anew is cut off already, and may change whatever it likes there.
        let changes = rendition.changes(&frame) && !rendition.begins_anew();
        self.cut_where_due(name, &frame, changes);
        let Some(rendition) = self.renditions.get_mut(&name) else {
            return false;
        };
        match rendition.push(frame) {
            Ok(changed) => changed,
            Err(unsupported) => {
                let (Unsupported::Codec(codec) | Unsupported::Incomplete(codec)) = unsupported;
                self.unsupported = Some(codec);
                false
            }
        }
    }

    /// Puts a frame on the stream's line of time. `None`: nobody knows where it belongs.
    fn place(&mut self, name: Name, frame: Arc<Frame>, since: Duration) -> Option<Arc<Frame>> {
        let elapsed = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let wanted = ORIGIN.shifted(elapsed);
        let mut shift = match self.shift {
            Some(shift) if !self.broken => shift,
            Some(_) | None => {
                // Pictures lead: until their keyframe comes, sound has no place.
                let shift = wanted.0.saturating_sub(frame.dts.0);
                self.begin_anew(shift, &frame);
                shift
            }
        };
        let here = frame.dts.shifted(shift);
        // Tracks of one publication are close to one another.
        let far = self
            .latest
            .values()
            .max()
            .is_some_and(|last| here.since(*last) > JUMP || last.since(here) > JUMP);
        if far {
            shift = wanted.0.saturating_sub(frame.dts.0);
            self.begin_anew(shift, &frame);
        }
        let dts = frame.dts.shifted(shift);
        if self.latest.get(&name).is_some_and(|last| dts <= *last) {
            // A clock that stands still: a sample without length is none.
            return None;
        }
        self.latest.insert(name, dts);
        if shift == 0 {
            return Some(frame);
        }
        Some(Arc::new(Frame {
            pts: frame.pts.shifted(shift),
            dts,
            ..Frame::clone(&frame)
        }))
    }

    fn begin_anew(&mut self, shift: i64, frame: &Frame) {
        let first = self.shift.is_none();
        self.shift = Some(shift);
        self.broken = false;
        self.latest.clear();
        if !first {
            // AAC that is still inside would belong to what is over.
            if let Some(bridge) = &mut self.to_aac {
                let _ = bridge.finish();
            }
            self.cut(frame.pts.shifted(shift), true, frame.keyframe);
        }
    }

    /// Ends segments where a frame calls for it.
    fn cut_where_due(&mut self, name: Name, frame: &Frame, changes: bool) {
        let Some(last) = self.last_cut else {
            let leads = name == Name::Video(0) || !self.renditions.contains_key(&Name::Video(0));
            if leads && frame.keyframe {
                self.cut(frame.pts, false, true);
            }
            return;
        };
        let length = frame.pts.since(last);
        let pictures = self
            .renditions
            .keys()
            .any(|name| matches!(name, Name::Video(_)));
        let leads = name == Name::Video(0) || !pictures;
        let due = leads && frame.keyframe && length + EARLY >= self.shape.segment;
        // Rounded to whole seconds it is still the target duration.
        let long = Duration::from_secs(self.shape.target());
        if changes {
            self.cut(frame.pts, true, frame.keyframe);
        } else if due || length >= long {
            self.cut(frame.pts, false, due);
        }
    }

    /// Segments that belong on the disk, oldest first. They are on their way from now on, until
    /// [`Self::settle`] is called.
    pub(super) fn move_out(&mut self) -> Vec<Piece> {
        if !self.shape.has_past() {
            return Vec::new();
        }
        let renditions = self.renditions.iter_mut();
        let out = renditions.flat_map(|(name, rendition)| {
            let out = rendition.move_out().into_iter();
            out.map(|(msn, parts)| Piece {
                name: *name,
                msn,
                parts,
            })
        });
        let mut out: Vec<Piece> = out.collect();
        out.sort_by_key(|piece| piece.msn);
        out
    }

    /// What was on its way to the disk is there, unless there was a fault, which is given back: the
    /// stream reaches less far then. It does so too where the disk is too slow.
    pub(super) fn settle(&mut self, written: Written) -> Option<io::Error> {
        for (name, msn, stored) in written.stored {
            if let Some(rendition) = self.renditions.get_mut(&name) {
                rendition.moved(msn, stored);
            }
        }
        for rendition in self.renditions.values_mut() {
            rendition.not_moved();
        }
        if written.fault.is_some() {
            self.shrink();
            return written.fault;
        }
        self.bound()
    }

    /// Forgets what waits too long for the disk; says so.
    pub(super) fn bound(&mut self) -> Option<io::Error> {
        self.forget_backlog(BACKLOG).then(|| {
            let detail = "the disk does not keep up";
            io::Error::new(io::ErrorKind::TimedOut, detail)
        })
    }

    /// How far back the stream reaches.
    pub(super) fn reach(&self) -> Duration {
        let renditions = self.renditions.values();
        renditions.map(Rendition::reach).max().unwrap_or_default()
    }

    /// Forgets the oldest part of what is on the disk; where nothing is there, what does not get
    /// there.
    fn shrink(&mut self) {
        let on_disk = self.renditions.values().filter_map(Rendition::on_disk);
        let on_disk = on_disk.min();
        match on_disk {
            Some((first, end)) => {
                let count = end.saturating_sub(first) / 8;
                self.forget_before(first + count.max(1));
            }
            None => {
                let _ = self.forget_backlog(0);
            }
        }
    }

    /// Forgets the oldest segments where more than `most` of them do not get to the disk in time.
    /// `true`: so it was.
    fn forget_backlog(&mut self, most: usize) -> bool {
        let late = self.renditions.values().map(Rendition::backlog).max();
        let Some(late) = late.filter(|late| *late > most) else {
            return false;
        };
        let mut firsts: Vec<u64> = Vec::new();
        for rendition in self.renditions.values() {
            let waiting = rendition.segments.iter().rev();
            let waiting = waiting.take_while(|one| !matches!(one.place, Place::Disk(_)));
            firsts.extend(waiting.last().map(|one| one.msn));
        }
        if let Some(first) = firsts.into_iter().min() {
            self.forget_before(first + (late - most) as u64);
        }
        true
    }

    fn forget_before(&mut self, msn: u64) {
        for rendition in self.renditions.values_mut() {
            rendition.forget_before(msn);
        }
    }

    fn cut(&mut self, at: MediaTime, discontinuity: bool, keyframe: bool) {
        let cut = Cut {
            at,
            msn: self.next_msn,
            discontinuity,
            keyframe,
        };
        self.next_msn += 1;
        self.last_cut = Some(at);
        for rendition in self.renditions.values_mut() {
            rendition.cut(cut);
        }
    }
}
