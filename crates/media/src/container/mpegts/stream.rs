//! One PID of the program that is read: continuity, PES packets, and what is in them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::{Clock, Jump, RATE, Timeline, composition};
use super::packet::Packet;
use super::pes::{Assembler, Pes, Progress, Times};
use super::psi::{Sections, StreamInfo, StreamKind, whole};
use super::sound::{Heard, Sound};
use super::video::{Cut, Cutter};
use super::{DataKind, Item, Loss, Pid, Warning};
use crate::codec::nal::{self, ParameterSets};
use crate::{Codec, Config, Frame, MediaTime};

/// Different warnings that are remembered as given: some kinds for each of some PIDs.
const MAX_WARNINGS: usize = 256;
/// Sound that goes back by less is moved behind the sound before it; more is dropped. Jitter of
/// senders is below, a clock that was set back is above.
const OVERLAP: i64 = 100_000_000;
/// A tick, in nanoseconds.
const TICK: i64 = 11_111;

/// What streams share: where items go, and the line of time.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) line: Timeline,
    pub(super) items: VecDeque<Item>,
    warned: Vec<Warning>,
}

impl Shared {
    /// Warns, once.
    pub(super) fn warn(&mut self, warning: Warning) {
        if self.warned.len() < MAX_WARNINGS && !self.warned.contains(&warning) {
            self.warned.push(warning.clone());
            self.items.push_back(Item::Warning(warning));
        }
    }

    fn lost(&mut self, pid: Pid, reason: Loss) {
        self.items.push_back(Item::Lost {
            pid: Some(pid),
            reason,
        });
    }
}

/// One PID.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) info: StreamInfo,
    continuity: Continuity,
    pes: Assembler,
    content: Content,
    track: Track,
}

#[derive(Debug)]
enum Content {
    Video(Cutter, ParameterSets),
    Sound(Sound),
    Id3,
    Scte35(Sections),
}

impl Stream {
    /// `None` for what is not carried.
    pub(super) fn new(info: StreamInfo) -> Option<Self> {
        let video = |codec| {
            Some(Content::Video(
                Cutter::new(codec),
                ParameterSets::new(codec)?,
            ))
        };
        let content = match info.kind {
            StreamKind::H264 => video(Codec::H264)?,
            StreamKind::H265 => video(Codec::H265)?,
            StreamKind::Adts => Content::Sound(Sound::adts()),
            StreamKind::Latm => Content::Sound(Sound::latm()),
            StreamKind::Opus { channels } => Content::Sound(Sound::opus(channels)),
            StreamKind::Id3 => Content::Id3,
            StreamKind::Scte35 => Content::Scte35(Sections::default()),
            StreamKind::Other(_) => return None,
        };
        Some(Self {
            track: Track::new(info.pid),
            info,
            continuity: Continuity::default(),
            pes: Assembler::default(),
            content,
        })
    }

    /// The sender said that its clock changes about here.
    pub(super) fn expect_change(&mut self) {
        self.track.clock.expect_change();
    }

    /// Takes a packet of this PID.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, shared: &mut Shared) {
        match self.continuity.check(packet) {
            Step::Next => {}
            Step::Repeated => return,
            Step::Announced if packet.start || !self.pes.active() => {}
            Step::Announced | Step::Gap => {
                self.abandon();
                shared.lost(self.info.pid, Loss::Gap);
            }
        }
        let Some(payload) = packet.payload else {
            return;
        };
        if packet.scrambled {
            self.abandon();
            shared.warn(Warning::Scrambled(self.info.pid));
            return;
        }
        if let Content::Scte35(sections) = &mut self.content {
            let pid = self.info.pid;
            sections.push(packet.start, payload, |section| {
                splice(pid, section, shared)
            });
            return;
        }
        if packet.start {
            let progress = self.pes.end();
            self.advance(progress, shared);
            self.pes.begin();
        }
        let progress = self.pes.push(payload, packet.stuffed);
        self.advance(progress, shared);
    }

    /// Something is missing: what is under way is dropped.
    pub(super) fn abandon(&mut self) {
        self.pes.abandon();
        match &mut self.content {
            Content::Video(cutter, _) => cutter.abandon(),
            Content::Sound(sound) => sound.abandon(),
            Content::Id3 => {}
            Content::Scte35(sections) => sections.abandon(),
        }
    }

    /// The stream ends: gives out what is whole.
    pub(super) fn finish(&mut self, shared: &mut Shared) {
        let progress = self.pes.end();
        self.advance(progress, shared);
        if let Content::Video(cutter, sets) = &mut self.content {
            let track = &mut self.track;
            cutter.flush(&mut |cut| track.cut(cut, sets, shared));
        }
    }

    fn advance(&mut self, progress: Progress, shared: &mut Shared) {
        match progress {
            Progress::Open => {}
            Progress::Whole => match Pes::parse(self.pes.bytes()) {
                Some(pes) if pes.scrambled => shared.warn(Warning::Scrambled(self.info.pid)),
                Some(pes) => self.track.content(&mut self.content, &pes, shared),
                None => self.drop_packet(Loss::Malformed, shared),
            },
            Progress::Dropped(reason) => self.drop_packet(reason, shared),
        }
    }

    fn drop_packet(&mut self, reason: Loss, shared: &mut Shared) {
        self.abandon();
        shared.lost(self.info.pid, reason);
    }
}

fn splice(pid: Pid, section: &[u8], shared: &mut Shared) {
    if !whole(section) {
        return shared.warn(Warning::DamagedTable(pid));
    }
    let now = shared.line.front();
    shared.items.push_back(Item::Data {
        pid,
        kind: DataKind::Scte35,
        pts: now.map(|ticks| MediaTime::from_ticks(ticks, RATE)),
        bytes: section.to_vec(),
    });
}

/// Times of what comes out of one PID.
#[derive(Debug)]
struct Track {
    pid: Pid,
    clock: Clock,
    /// The last decoding time that came out, in ticks (video).
    last_ticks: Option<i64>,
    /// The last time that came out (sound).
    last: Option<MediaTime>,
    overlapping: bool,
}

impl Track {
    fn new(pid: Pid) -> Self {
        Self {
            pid,
            clock: Clock::default(),
            last_ticks: None,
            last: None,
            overlapping: false,
        }
    }

    fn content(&mut self, content: &mut Content, pes: &Pes<'_>, shared: &mut Shared) {
        match content {
            Content::Video(cutter, sets) => {
                cutter.push(pes.payload, pes.times, |cut| self.cut(cut, sets, shared));
            }
            Content::Sound(sound) => {
                let told = pes.times.map(|times| {
                    let (ticks, jump) = self.clock.place(&mut shared.line, times.pts);
                    self.jumped(jump, ticks, shared);
                    ticks
                });
                sound.push(pes.payload, told, &mut |heard| self.heard(heard, shared));
            }
            Content::Id3 => {
                let pts = pes.times.and_then(|times| shared.line.peek(times.pts));
                shared.items.push_back(Item::Data {
                    pid: self.pid,
                    kind: DataKind::Id3,
                    pts: pts.map(|ticks| MediaTime::from_ticks(ticks, RATE)),
                    bytes: pes.payload.to_vec(),
                });
            }
            Content::Scte35(_) => {}
        }
    }

    fn jumped(&self, jump: Option<Jump>, at: i64, shared: &mut Shared) {
        if let Some(jump) = jump {
            shared.items.push_back(Item::Discontinuity {
                pid: self.pid,
                at: MediaTime::from_ticks(at, RATE),
                shift: MediaTime::from_ticks(jump.shift, RATE).0,
            });
        }
    }

    fn cut(&mut self, cut: Cut<'_>, sets: &mut ParameterSets, shared: &mut Shared) {
        match cut {
            Cut::Unit(unit, times) => self.picture(unit, times, sets, shared),
            Cut::Lost(reason) => shared.lost(self.pid, reason),
        }
    }

    fn picture(
        &mut self,
        unit: &[u8],
        times: Option<Times>,
        sets: &mut ParameterSets,
        shared: &mut Shared,
    ) {
        let unit = sets.access_unit(nal::annex_b(unit));
        if !unit.picture {
            return;
        }
        let (dts, pts) = match (times, self.last_ticks) {
            (Some(times), _) => {
                let (dts, jump) = self.clock.place(&mut shared.line, times.dts);
                self.jumped(jump, dts, shared);
                let ahead = composition(times.pts, times.dts).unwrap_or_else(|| {
                    shared.warn(Warning::TimesDisagree(self.pid));
                    0
                });
                (dts, dts + ahead)
            }
            (None, Some(last)) => {
                let next = last + self.clock.step();
                (next, next)
            }
            (None, None) => return shared.warn(Warning::NoTime(self.pid)),
        };
        if !sets.complete() {
            return shared.warn(Warning::NoParameterSets(self.pid));
        }
        let dts = match self.last_ticks {
            Some(last) if dts <= last => {
                shared.warn(Warning::Unordered(self.pid));
                last + 1
            }
            _ => dts,
        };
        self.last_ticks = Some(dts);
        shared.line.passed(dts);
        shared.items.push_back(Item::Frame {
            track: self.pid,
            frame: Frame {
                config: unit.config,
                pts: MediaTime::from_ticks(pts, RATE),
                dts: MediaTime::from_ticks(dts, RATE),
                keyframe: unit.keyframe,
                data: unit.data.into(),
            },
        });
    }

    fn heard(&mut self, heard: Heard<'_>, shared: &mut Shared) {
        match heard {
            Heard::Unit { config, pts, data } => self.unit(config, pts, data, shared),
            Heard::NoTime => shared.warn(Warning::NoTime(self.pid)),
            Heard::Lost(reason) => shared.lost(self.pid, reason),
            Heard::Bad(reason) => shared.warn(Warning::Sound {
                pid: self.pid,
                reason,
            }),
        }
    }

    fn unit(&mut self, config: &Arc<Config>, pts: MediaTime, data: &[u8], shared: &mut Shared) {
        let pts = match self.last {
            Some(last) if pts <= last => {
                if last.0.saturating_sub(pts.0) > OVERLAP {
                    if !std::mem::replace(&mut self.overlapping, true) {
                        shared.lost(self.pid, Loss::Overlap);
                    }
                    return;
                }
                last.shifted(TICK)
            }
            _ => pts,
        };
        self.overlapping = false;
        self.last = Some(pts);
        shared.line.passed(pts.ticks(RATE));
        shared.items.push_back(Item::Frame {
            track: self.pid,
            frame: Frame {
                config: config.clone(),
                pts,
                dts: pts,
                keyframe: true,
                data: data.into(),
            },
        });
    }
}

/// What a packet's counter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    /// The same packet once more, as is allowed.
    Repeated,
    /// It begins anew, and says so.
    Announced,
    Gap,
}

/// Follows the counter of one PID.
#[derive(Debug, Default)]
struct Continuity {
    last: Option<u8>,
    /// A repeated packet is told from one that comes 16 later by what it holds.
    payload: Vec<u8>,
}

impl Continuity {
    fn check(&mut self, packet: &Packet<'_>) -> Step {
        // Without a payload the counter stands still.
        let Some(payload) = packet.payload else {
            return Step::Next;
        };
        let step = match self.last {
            None => Step::Next,
            Some(last) if packet.counter == (last + 1) & 0x0f => Step::Next,
            Some(last) if packet.counter == last && self.payload == payload => Step::Repeated,
            Some(_) if packet.discontinuity => Step::Announced,
            Some(_) => Step::Gap,
        };
        self.last = Some(packet.counter);
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        step
    }
}
