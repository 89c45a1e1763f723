//! Frames into tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::MAX_TRACKS;
use super::{FourCc, Metadata, Tag, TagType, Track};
use crate::codec::records;
use crate::{Codec, Config, Frame, Kind, MediaTime};

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;

/// Why a frame cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The configuration lacks what its record needs.
    #[error("the configuration of {0} is incomplete: no record can be made of it")]
    Incomplete(Codec),
    /// More tracks than a reader takes.
    #[error("more than {MAX_TRACKS} tracks")]
    ManyTracks,
}

/// Turns the frames of one publication into tags.
///
/// H.264 and AAC of track 0 are written as plain FLV, which every player takes; other codecs and
/// other tracks as Enhanced RTMP. A track's configuration precedes its first frame and every
/// frame whose configuration differs.
#[derive(Debug)]
pub struct TagWriter {
    origin: Option<MediaTime>,
    configs: BTreeMap<Track, Arc<Config>>,
}

impl Default for TagWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl TagWriter {
    /// Time 0 of the tags will be the first frame's decoding time.
    pub fn new() -> Self {
        Self {
            origin: None,
            configs: BTreeMap::new(),
        }
    }

    /// Time 0 of the tags is `origin`. Frames that are decoded earlier come at 0.
    pub fn with_origin(origin: MediaTime) -> Self {
        Self {
            origin: Some(origin),
            ..Self::new()
        }
    }

    /// The tag that tells players about the publication.
    pub fn metadata(&self, metadata: &Metadata) -> Tag {
        Tag {
            tag_type: TagType::Data,
            timestamp: 0,
            body: metadata.write(),
        }
    }

    /// The tags of a frame: itself and, where it is new, its configuration before it.
    pub fn write(&mut self, track: Track, frame: &Frame) -> Result<Vec<Tag>, WriteError> {
        let origin = *self.origin.get_or_insert(frame.dts);
        let dts_ms = milliseconds(frame.dts, origin).max(0);
        let pts_ms = milliseconds(frame.pts, origin);
        let timestamp = wrapped(dts_ms);
        let tag_type = TagType::from(track.kind);
        let mut tags = Vec::with_capacity(2);
        if !self.knows(track, &frame.config) {
            if !self.configs.contains_key(&track) && self.configs.len() >= MAX_TRACKS {
                return Err(WriteError::ManyTracks);
            }
            if let Some(body) = config_body(track, &frame.config)? {
                tags.push(Tag {
                    tag_type,
                    timestamp,
                    body,
                });
            }
            self.configs.insert(track, frame.config.clone());
        }
        tags.push(Tag {
            tag_type,
            timestamp,
            body: frame_body(track, frame, pts_ms - dts_ms),
        });
        Ok(tags)
    }

    /// The tag that ends a track; `None` where nothing of it was written. `at` is its last time.
    pub fn end(&mut self, track: Track, at: MediaTime) -> Option<Tag> {
        let config = self.configs.remove(&track)?;
        let codec = config.codec();
        let body = match plain(track, codec) {
            true if codec == Codec::H264 => vec![0x17, SEQUENCE_END, 0, 0, 0],
            // Plain AAC has no end.
            true => return None,
            false => enhanced(track, codec, true, SEQUENCE_END),
        };
        Some(Tag {
            tag_type: track.kind.into(),
            timestamp: wrapped(milliseconds(at, self.origin.unwrap_or(at)).max(0)),
            body,
        })
    }

    fn knows(&self, track: Track, config: &Arc<Config>) -> bool {
        self.configs
            .get(&track)
            .is_some_and(|known| Arc::ptr_eq(known, config) || known == config)
    }
}

/// Milliseconds since the origin, rounded to the nearest.
fn milliseconds(at: MediaTime, origin: MediaTime) -> i64 {
    MediaTime(at.0.saturating_sub(origin.0)).ticks(1000)
}

fn wrapped(ms: i64) -> u32 {
    u32::try_from(ms.rem_euclid(1 << 32)).unwrap_or_default()
}

fn plain(track: Track, codec: Codec) -> bool {
    track.id == 0 && matches!(codec, Codec::H264 | Codec::Aac)
}

fn config_body(track: Track, config: &Config) -> Result<Option<Vec<u8>>, WriteError> {
    let codec = config.codec();
    let record = match config {
        Config::H264 { .. } => records::write_avc(config),
        Config::H265 { .. } => records::write_hevc(config),
        Config::Av1 { .. } => records::write_av1(config),
        Config::Vp9 { .. } => records::write_vpc(config, None),
        Config::Opus { .. } => records::write_opus_head(config),
        Config::Aac { asc } => Some(asc.clone()),
        // Everything stands in the keyframes.
        Config::Vp8 => return Ok(None),
    };
    let record = record.ok_or(WriteError::Incomplete(codec))?;
    let mut body = match codec {
        Codec::H264 if plain(track, codec) => vec![0x17, SEQUENCE_START, 0, 0, 0],
        Codec::Aac if plain(track, codec) => vec![0xaf, SEQUENCE_START],
        _ => enhanced(track, codec, true, SEQUENCE_START),
    };
    body.extend_from_slice(&record);
    Ok(Some(body))
}

fn frame_body(track: Track, frame: &Frame, offset_ms: i64) -> Vec<u8> {
    let codec = frame.codec();
    let offset = signed_24(offset_ms);
    let mut body = Vec::with_capacity(frame.data.len() + 12);
    if plain(track, codec) {
        if codec == Codec::H264 {
            body.push(if frame.keyframe { 0x17 } else { 0x27 });
            body.push(CODED_FRAMES);
            body.extend_from_slice(&offset);
        } else {
            body.extend_from_slice(&[0xaf, CODED_FRAMES]);
        }
    } else {
        let has_offset = matches!(codec, Codec::H264 | Codec::H265);
        if has_offset && offset_ms == 0 {
            body = enhanced(track, codec, frame.keyframe, CODED_FRAMES_X);
        } else {
            body = enhanced(track, codec, frame.keyframe, CODED_FRAMES);
            if has_offset {
                body.extend_from_slice(&offset);
            }
        }
        body.reserve(frame.data.len());
    }
    body.extend_from_slice(&frame.data);
    body
}

/// The header of an enhanced tag, up to where the packet's own bytes begin.
fn enhanced(track: Track, codec: Codec, keyframe: bool, packet_type: u8) -> Vec<u8> {
    let (first, multitrack) = match track.kind {
        Kind::Audio => (0x90, AUDIO_MULTITRACK),
        Kind::Video => (if keyframe { 0x90 } else { 0xa0 }, VIDEO_MULTITRACK),
    };
    let mut header = Vec::with_capacity(16);
    if track.id == 0 {
        header.push(first | packet_type);
    } else {
        // One track (0) in the upper half.
        header.extend_from_slice(&[first | multitrack, packet_type]);
    }
    header.extend_from_slice(&FourCc::of(codec).0);
    if track.id != 0 {
        header.push(track.id);
    }
    header
}

/// Composition times beyond 2.3 hours do not exist; such a value ends at the edge.
fn signed_24(value: i64) -> [u8; 3] {
    let value = i32::try_from(value.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or_default();
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}
