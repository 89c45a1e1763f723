//! Puts a transport stream together: one program, tables, PES packets, a program clock.

use std::sync::Arc;

use super::clock::RATE;
use super::packet::{Adaptation, PACKET, write};
use super::pes::{Times, write_header};
use super::psi::{Listed, write_pat, write_pmt};
use super::{Pid, opus};
use crate::codec::aac::{self, AudioSpecificConfig, adts};
use crate::codec::nal;
use crate::{Codec, Config, Frame, Kind};

/// Bytes of a full datagram: seven packets, the most that fit an Ethernet frame.
pub const DATAGRAM: usize = 7 * PACKET;

/// Tracks of the program.
const MAX_TRACKS: usize = 16;
const PROGRAM: u16 = 1;
const PMT_PID: Pid = Pid(0x1000);
const FIRST_PID: u16 = 0x100;
/// Ticks after which the next frame brings the tables again: 80 ms, so that no more than the usual
/// 100 ms pass. Longer delays who joins; shorter costs bits.
const TABLES: i64 = 7_200;
/// Ticks between clock references at most: 40 ms, as DVB asks.
const PCR: i64 = 3_600;
/// Ticks by which the clock is behind the decoding times: 200 ms. With less, sound that comes
/// later than its picture would be late; with more, receivers hold more.
const LEAD: i64 = 18_000;
/// Clock references in a row that fill a pause. After longer ones the clock is just set.
const MAX_FILL: i64 = 25;
/// Where streams that begin before `LEAD` are moved to: a second from zero.
const START: i64 = 90_000;

/// Why something cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A codec that transport streams have no agreed way to carry.
    #[error("MPEG transport streams do not carry {0}; H264, H265, AAC and Opus are carried")]
    Codec(Codec),
    /// AAC that ADTS cannot tell.
    #[error("this AAC does not fit into a transport stream: {0}")]
    Aac(#[from] aac::Error),
    /// More channels than Opus has here.
    #[error("Opus with {0} channels is not carried; 1 and 2 are")]
    OpusChannels(u8),
    /// No tracks, or too many.
    #[error("a program has 1 to 16 tracks, not {0}")]
    TrackCount(usize),
    /// A frame for a track that is not there.
    #[error("there is no track {0}")]
    NoSuchTrack(usize),
    /// Lengths of NAL units that do not add up to the frame's.
    #[error("a frame's NAL units are not behind lengths of four bytes")]
    Malformed,
}

/// A track to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// What its first frame has; later ones may have another.
    pub config: Arc<Config>,
    /// Three letters (ISO 639-2).
    pub language: Option<String>,
}

/// Puts a transport stream together.
///
/// Call [`Self::write`] with frames as they come, each track's in decoding order, then
/// [`Self::datagram`] until nothing comes, and, where a frame should not wait for the next one,
/// [`Self::rest`]. What is not taken piles up.
///
/// Times are carried modulo 2^33 ticks as they are, except that a stream that begins before
/// 200 ms is moved so that it begins behind a second: players stumble over a clock that begins
/// below zero.
#[derive(Debug)]
pub struct Writer {
    tracks: Vec<Track>,
    /// Counters outlive tracks: a PID goes on counting.
    counters: [u8; MAX_TRACKS],
    clock_track: usize,
    version: u8,
    table_counters: [u8; 2],
    tables_at: Option<i64>,
    pcr_at: Option<i64>,
    /// The next clock reference has nothing to do with the one before.
    anew: bool,
    shift: Option<i64>,
    out: Vec<u8>,
    taken: usize,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Track {
    config: Arc<Config>,
    language: Option<String>,
    shape: Shape,
    /// The decoder was not told the configuration yet.
    untold: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    H264,
    H265,
    Adts(AudioSpecificConfig),
    Opus { channels: u8, pre_skip: u16 },
}

impl Shape {
    fn new(config: &Config) -> Result<Self, Error> {
        match config {
            Config::H264 { .. } => Ok(Self::H264),
            Config::H265 { .. } => Ok(Self::H265),
            Config::Aac { asc } => {
                let config = AudioSpecificConfig::parse(asc)?;
                // What headers cannot tell is better known now than with the first frame.
                adts::header(&config, 0)?;
                Ok(Self::Adts(config))
            }
            Config::Opus { channels, pre_skip } => match channels {
                1 | 2 => Ok(Self::Opus {
                    channels: *channels,
                    pre_skip: *pre_skip,
                }),
                other => Err(Error::OpusChannels(*other)),
            },
            Config::Av1 { .. } | Config::Vp8 | Config::Vp9 { .. } => {
                Err(Error::Codec(config.codec()))
            }
        }
    }

    fn stream_type(&self) -> u8 {
        match self {
            Self::H264 => 0x1b,
            Self::H265 => 0x24,
            Self::Adts(_) => 0x0f,
            Self::Opus { .. } => 0x06,
        }
    }

    fn stream_id(&self) -> u8 {
        match self {
            Self::H264 | Self::H265 => 0xe0,
            Self::Adts(_) => 0xc0,
            Self::Opus { .. } => 0xbd,
        }
    }
}

impl Track {
    fn new(track: &TrackConfig) -> Result<Self, Error> {
        Ok(Self {
            shape: Shape::new(&track.config)?,
            config: track.config.clone(),
            language: track.language.clone(),
            untold: true,
        })
    }

    fn listed(&self, index: usize) -> Listed {
        let mut descriptors = Vec::new();
        if let Shape::Opus { channels, .. } = self.shape {
            descriptors.extend_from_slice(b"\x05\x04Opus");
            descriptors.extend_from_slice(&[0x7f, 2, opus::EXTENSION_TAG, channels]);
        }
        if let Some(letters) = self.language.as_deref().map(str::as_bytes)
            && letters.len() == 3
        {
            descriptors.extend_from_slice(&[0x0a, 4]);
            descriptors.extend_from_slice(letters);
            descriptors.push(0);
        }
        (self.shape.stream_type(), pid(index), descriptors)
    }
}

/// The PID of a track by its index.
fn pid(index: usize) -> Pid {
    Pid(FIRST_PID + u16::try_from(index).unwrap_or(0))
}

impl Writer {
    /// With these tracks, 1 to 16; frames name them by index.
    pub fn new(tracks: &[TrackConfig]) -> Result<Self, Error> {
        let mut writer = Self {
            tracks: Vec::new(),
            counters: [0; MAX_TRACKS],
            clock_track: 0,
            version: 0,
            table_counters: [0; 2],
            tables_at: None,
            pcr_at: None,
            anew: false,
            shift: None,
            out: Vec::new(),
            taken: 0,
            scratch: Vec::new(),
        };
        writer.replace(tracks)?;
        Ok(writer)
    }

    /// Goes on with other tracks. Nothing changes where that fails.
    pub fn set_tracks(&mut self, tracks: &[TrackConfig]) -> Result<(), Error> {
        let before = self.listed();
        self.replace(tracks)?;
        if self.listed() != before {
            self.next_version();
        }
        Ok(())
    }

    /// Writes a frame of the track of this index. Nothing is written where that fails.
    pub fn write(&mut self, index: usize, frame: &Frame) -> Result<(), Error> {
        self.out.drain(..std::mem::take(&mut self.taken));
        self.reconfigure(index, &frame.config)?;
        let track = self.tracks.get(index).ok_or(Error::NoSuchTrack(index))?;
        let shape = track.shape.clone();
        let video = frame.codec().kind() == Kind::Video;
        let tell = track.untold || (video && frame.keyframe);

        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        let filled = fill(&mut payload, &shape, frame, tell);
        if filled.is_ok() {
            self.place(index, &shape, frame, tell && video, &payload);
        }
        self.scratch = payload;
        filled
    }

    /// The next full datagram of 1316 bytes.
    pub fn datagram(&mut self) -> Option<&[u8]> {
        let from = self.taken;
        let datagram = self.out.get(from..from + DATAGRAM)?;
        self.taken += DATAGRAM;
        Some(datagram)
    }

    /// What does not fill a datagram, once no full one is left: 1 to 6 packets.
    pub fn rest(&mut self) -> Option<&[u8]> {
        let rest = self.out.get(self.taken..)?;
        if rest.is_empty() || rest.len() >= DATAGRAM {
            return None;
        }
        self.taken = self.out.len();
        Some(rest)
    }

    fn replace(&mut self, tracks: &[TrackConfig]) -> Result<(), Error> {
        if tracks.is_empty() || tracks.len() > MAX_TRACKS {
            return Err(Error::TrackCount(tracks.len()));
        }
        self.tracks = tracks.iter().map(Track::new).collect::<Result<_, _>>()?;
        self.choose_clock();
        Ok(())
    }

    /// The clock goes with the first video track, else with the first.
    fn choose_clock(&mut self) {
        let video = |track: &Track| track.config.codec().kind() == Kind::Video;
        self.clock_track = self.tracks.iter().position(video).unwrap_or(0);
    }

    fn reconfigure(&mut self, index: usize, config: &Arc<Config>) -> Result<(), Error> {
        let track = self.tracks.get(index).ok_or(Error::NoSuchTrack(index))?;
        if Arc::ptr_eq(&track.config, config) || track.config == *config {
            return Ok(());
        }
        let shape = Shape::new(config)?;
        let before = self.listed();
        if let Some(track) = self.tracks.get_mut(index) {
            track.shape = shape;
            track.config = config.clone();
            track.untold = true;
        }
        self.choose_clock();
        if self.listed() != before {
            self.next_version();
        }
        Ok(())
    }

    fn listed(&self) -> (Pid, Vec<Listed>) {
        let tracks = self.tracks.iter().enumerate();
        let listed = tracks.map(|(index, track)| track.listed(index)).collect();
        (pid(self.clock_track), listed)
    }

    fn next_version(&mut self) {
        self.version = (self.version + 1) & 0x1f;
        self.tables_at = None;
    }

    fn place(&mut self, index: usize, shape: &Shape, frame: &Frame, entry: bool, payload: &[u8]) {
        let decode = frame.dts.min(frame.pts).ticks(RATE);
        let shift = *self.shift.get_or_insert(if decode < LEAD {
            START + LEAD - decode
        } else {
            0
        });
        let dts = decode.saturating_add(shift);
        let pts = frame.pts.ticks(RATE).saturating_add(shift);
        self.tables(dts, entry);
        let clock = self.clock(index, dts.saturating_sub(LEAD));

        let mut pes = Vec::with_capacity(19 + payload.len());
        let times = Times {
            pts: wrapped(pts),
            dts: wrapped(dts),
        };
        write_header(&mut pes, shape.stream_id(), times, payload.len());
        pes.extend_from_slice(payload);
        let random_access = frame.keyframe && (entry || frame.codec().kind() == Kind::Audio);
        let first = Adaptation {
            random_access,
            ..clock
        };
        self.packets(index, first, &pes);
        if let Some(track) = self.tracks.get_mut(index) {
            track.untold = false;
        }
    }

    /// Writes the tables where it is time, and before each entry point.
    fn tables(&mut self, now: i64, entry: bool) {
        let due = self
            .tables_at
            .is_none_or(|at| !(0..TABLES).contains(&now.saturating_sub(at)));
        if !due && !entry {
            return;
        }
        self.tables_at = Some(now);
        let (clock, listed) = self.listed();
        let tables = [
            (Pid(0), write_pat(0, PROGRAM, PMT_PID)),
            (PMT_PID, write_pmt(self.version, PROGRAM, clock, &listed)),
        ];
        for ((pid, table), counter) in tables.into_iter().zip(&mut self.table_counters) {
            let mut rest = &table[..];
            let mut start = true;
            while !rest.is_empty() {
                // Tables are filled up with 0xff, not by an adaptation field.
                let mut payload = [0xff; PACKET - 4];
                let now = rest.len().min(payload.len());
                payload[..now].copy_from_slice(&rest[..now]);
                write(
                    &mut self.out,
                    pid,
                    start,
                    *counter,
                    Adaptation::default(),
                    &payload,
                );
                *counter = (*counter + 1) & 0x0f;
                rest = &rest[now..];
                start = false;
            }
        }
    }

    /// Writes clock references where frames are too far apart; gives the one for this frame's
    /// first packet where it is on the clock's track.
    fn clock(&mut self, index: usize, now: i64) -> Adaptation {
        let own = index == self.clock_track;
        // A clock that was set back is not filled.
        let set_back = |last: &i64| now < last.saturating_sub(i64::from(RATE));
        self.anew |= self.pcr_at.take_if(|last| set_back(last)).is_some();
        match self.pcr_at {
            Some(last) if now.saturating_sub(last) <= PCR * MAX_FILL => {
                let mut at = last.saturating_add(PCR);
                while at < now {
                    self.reference(at);
                    at += PCR;
                }
            }
            Some(_) => self.reference(now.saturating_sub(1)),
            None if !own => self.reference(now),
            None => {}
        }
        // The clock only goes on: a frame older than one of another track has none.
        if own && self.pcr_at.is_none_or(|last| now > last) {
            return self.tick(now);
        }
        Adaptation::default()
    }

    fn tick(&mut self, at: i64) -> Adaptation {
        self.pcr_at = Some(at);
        Adaptation {
            random_access: false,
            discontinuity: std::mem::take(&mut self.anew),
            pcr: Some(wrapped(at)),
        }
    }

    /// A packet with nothing but a clock reference, which does not count.
    fn reference(&mut self, at: i64) {
        let adaptation = self.tick(at);
        let counter = self.counters.get(self.clock_track).copied().unwrap_or(0);
        let pid = pid(self.clock_track);
        write(
            &mut self.out,
            pid,
            false,
            counter.wrapping_sub(1),
            adaptation,
            &[],
        );
    }

    fn packets(&mut self, index: usize, first: Adaptation, pes: &[u8]) {
        let Some(counter) = self.counters.get_mut(index) else {
            return;
        };
        let (mut rest, mut adaptation, mut start) = (pes, first, true);
        while !rest.is_empty() {
            rest = write(&mut self.out, pid(index), start, *counter, adaptation, rest);
            *counter = (*counter + 1) & 0x0f;
            adaptation = Adaptation::default();
            start = false;
        }
    }
}

fn wrapped(ticks: i64) -> u64 {
    u64::try_from(ticks.rem_euclid(1 << 33)).unwrap_or(0)
}

/// What the PES packet of a frame holds; `tell` asks for the configuration too.
fn fill(out: &mut Vec<u8>, shape: &Shape, frame: &Frame, tell: bool) -> Result<(), Error> {
    match shape {
        Shape::H264 | Shape::H265 => {
            let mut nals = nal::length_prefixed(&frame.data, nal::NalLength::Four);
            if nals.by_ref().count() == 0 || nals.broken() {
                return Err(Error::Malformed);
            }
            *out = nal::to_annex_b(&frame.config, tell, &frame.data);
        }
        Shape::Adts(config) => {
            out.extend_from_slice(&adts::header(config, frame.data.len())?);
            out.extend_from_slice(&frame.data);
        }
        Shape::Opus { pre_skip, .. } => {
            let trim = if tell { *pre_skip } else { 0 };
            opus::write_header(out, frame.data.len(), trim);
            out.extend_from_slice(&frame.data);
        }
    }
    Ok(())
}
