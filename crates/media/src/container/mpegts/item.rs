//! What a reader finds.

use std::fmt;

use crate::{Codec, Frame, MediaTime};

/// Number of a packet's stream in the multiplex, 13 bits. It names a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub u16);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A track of the program that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its name in later items.
    pub pid: Pid,
    /// Its codec.
    pub codec: Codec,
    /// Three letters (ISO 639-2), where they are told.
    pub language: Option<String>,
}

/// What data that is neither sound nor picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Timed metadata: an ID3v2 tag.
    Id3,
    /// A splice information section (SCTE-35), from its table id to its checksum.
    Scte35,
}

/// One thing found in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The tracks from here on: at the start, and whenever the program changes. Tracks that are
    /// no longer listed have ended.
    Tracks(Vec<Track>),
    /// A frame. Times of one track's decoding never go back, whatever the stream's do.
    Frame {
        /// Its track.
        track: Pid,
        /// The frame.
        frame: Frame,
    },
    /// Data that goes with the program.
    Data {
        /// Where it came.
        pid: Pid,
        /// What it is.
        kind: DataKind,
        /// When it is meant for; for a section, which has no time, the newest of the tracks.
        /// `None` before the first frame.
        pts: Option<MediaTime>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A stream of the program that is dropped.
    Unsupported {
        /// Which.
        pid: Pid,
        /// What it is, in words.
        name: String,
    },
    /// A program that is not read because another is.
    ProgramSkipped {
        /// Its number.
        number: u16,
    },
    /// Frames are missing here. Pictures up to the next keyframe may refer to them.
    Lost {
        /// Where; `None` where packets could not be told apart at all.
        pid: Option<Pid>,
        /// Why.
        reason: Loss,
    },
    /// The stream's times jumped. Frames go on at `at`, the same for all tracks that jump along.
    Discontinuity {
        /// The track on which it was seen.
        pid: Pid,
        /// The time of the first frame after it.
        at: MediaTime,
        /// By how many nanoseconds times of the stream are moved from here on.
        shift: i64,
    },
    /// Something that a publisher should know. Each comes once per PID.
    Warning(Warning),
}

/// Why frames are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Loss {
    /// Packets are missing: the counter tells.
    #[error("packets are missing")]
    Gap,
    /// Packets do not begin where they should.
    #[error("bytes are missing: no packet begins where the last one ends")]
    Sync,
    /// A PES packet ended before its length.
    #[error("a PES packet ended early")]
    Short,
    /// A PES packet or an access unit is longer than any real one.
    #[error("a PES packet or an access unit is too long")]
    TooLong,
    /// A header contradicts itself.
    #[error("a header is malformed")]
    Malformed,
    /// An access unit went on after it was taken for complete.
    #[error("an access unit went on after its end")]
    Cut,
    /// Sound for a time at which there was sound already, after times jumped back.
    #[error("sound overlaps sound before it")]
    Overlap,
}

/// What a publisher should know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Warning {
    /// The program that was asked for is not there.
    #[error("program {wanted} is not in the stream (there are {available:?})")]
    NoSuchProgram {
        /// What was asked for.
        wanted: u16,
        /// What there is.
        available: Vec<u16>,
    },
    /// No program has a stream that can be played.
    #[error("no program has H.264, H.265, AAC or Opus")]
    NothingPlayable,
    /// A table's checksum is wrong.
    #[error("a table at PID {0} is damaged (its checksum is wrong)")]
    DamagedTable(Pid),
    /// The packets are encrypted, so nothing of them comes out.
    #[error("PID {0} is scrambled; send it in the clear")]
    Scrambled(Pid),
    /// Frames came whose parameter sets have not come; they are dropped.
    #[error("PID {0} has frames before its parameter sets; repeat them with every keyframe")]
    NoParameterSets(Pid),
    /// Frames came before any time; they are dropped.
    #[error("PID {0} has frames before its first PTS")]
    NoTime(Pid),
    /// Decoding times go back by little; they are raised.
    #[error("decoding times of PID {0} go back; an encoder with B-frames has to send DTS")]
    Unordered(Pid),
    /// A presentation time is impossible beside its decoding time, so that one is not believed.
    #[error("PTS and DTS of PID {0} do not fit each other")]
    TimesDisagree(Pid),
    /// Sound whose configuration or framing is not understood.
    #[error("PID {pid}: {reason}")]
    Sound {
        /// Where.
        pid: Pid,
        /// What is wrong.
        reason: String,
    },
}
