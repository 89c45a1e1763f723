//! Fragmented MP4 (ISO/IEC 14496-12) as CMAF (ISO/IEC 23000-19) has it: what HLS segments and
//! recordings are made of. Reads nothing but what it wrote itself.
//!
//! A stream is an [initialisation segment](init_segment) and then [fragments](fragment), each with
//! the decoding time of its first sample, so that a player or a reader of a file that was cut off
//! can use all that is there.

mod boxes;
mod file;
mod fragment;
mod init;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::codec::aac::AudioSpecificConfig;
use crate::codec::{records, vp8, vp9};
use crate::{Codec, Config, Frame, MediaTime};

pub use file::{Index, file_header};
pub use fragment::{Run, fragment};
pub use init::init_segment;

/// Ticks per second of pictures, in which every common frame rate is whole or nearly so.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// Why a track cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The codec has no binding to MP4 that players know.
    #[error("{0} cannot be carried in MP4")]
    Codec(Codec),
    /// The configuration lacks what its record needs.
    #[error("the configuration of {0} is incomplete: no record can be made of it")]
    Incomplete(Codec),
}

impl Unsupported {
    /// What cannot be written.
    pub fn codec(self) -> Codec {
        match self {
            Self::Codec(codec) | Self::Incomplete(codec) => codec,
        }
    }
}

/// A track of an MP4 stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its number, from 1.
    pub id: u32,
    /// Ticks per second of its times.
    pub timescale: u32,
    /// What its decoder needs.
    pub config: Arc<Config>,
    /// Picture size in pixels; `None` for sound.
    pub size: Option<(u32, u32)>,
}

impl Track {
    /// The track that begins with `frame`: for VP8 and VP9, whose configurations tell no size, a
    /// keyframe.
    pub fn of(id: u32, frame: &Frame) -> Self {
        let config = Arc::clone(&frame.config);
        let timescale = match &*config {
            Config::Aac { asc } => AudioSpecificConfig::parse(asc)
                .map_or(48_000, |asc| asc.output_rate())
                .max(1),
            Config::Opus { .. } => 48_000,
            Config::H264 { .. }
            | Config::H265 { .. }
            | Config::Av1 { .. }
            | Config::Vp8
            | Config::Vp9 { .. } => VIDEO_TIMESCALE,
        };
        let size = match &*config {
            Config::Vp8 => vp8::size(&frame.data),
            Config::Vp9 { .. } => vp9::frame_header(&frame.data).and_then(|header| header.size),
            config => records::size(config),
        };
        Self {
            id,
            timescale,
            config,
            size,
        }
    }

    /// The codec in the words of RFC 6381, by which players decide.
    pub fn codecs(&self) -> Option<String> {
        records::codecs(&self.config, self.size)
    }

    /// A moment in ticks of this track.
    pub fn ticks(&self, at: MediaTime) -> i64 {
        at.ticks(self.timescale)
    }
}

/// A frame on its way into a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Decoding time in ticks of its track; what is before 0 is written as 0.
    pub dts: i64,
    /// Ticks to the next sample.
    pub duration: u32,
    /// From decoding to presentation, in ticks.
    pub composition: i32,
    /// Whether decoding can begin here.
    pub keyframe: bool,
    /// The bytes, as [`Frame::data`] has them.
    pub data: Arc<[u8]>,
}

impl Sample {
    /// A frame of `track` that lasts for `duration` ticks.
    pub fn of(track: &Track, frame: &Frame, duration: u32) -> Self {
        let dts = track.ticks(frame.dts);
        let composition = track.ticks(frame.pts).saturating_sub(dts);
        Self {
            dts,
            duration,
            composition: i32::try_from(composition).unwrap_or(0),
            keyframe: frame.keyframe,
            data: Arc::clone(&frame.data),
        }
    }
}
