//! Tags into frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fourcc::UnsupportedCodec;
use super::header::{self, Error, Packet, Part};
use super::obu;
use super::{Metadata, TagType, Track};
use crate::codec::nal::{NalLength, ParameterSets, annex_b, length_prefixed};
use crate::codec::records;
use crate::{Codec, Config, Frame, Kind, MediaTime};

/// Tracks of one publication, sound and picture together. Multitrack senders use up to six
/// renditions and as many languages; each track may hold some hundred kilobytes of parameter sets.
pub const MAX_TRACKS: usize = 16;
/// Longest `AudioSpecificConfig` that is kept. With a program config element it has some dozens.
const MAX_ASC: usize = 256;
/// Longest step between tags that is taken for one over the wrap at 2^31. Longer ones rather are
/// a restart of the encoder's clock.
const SHORT_STEP_MS: i32 = 60_000;

/// What a tag held.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// The encoder tells about itself.
    Metadata(Metadata),
    /// A track begins, or its configuration changed.
    Config {
        /// The track.
        track: Track,
        /// What decoders need from the next frame on.
        config: Arc<Config>,
    },
    /// A frame.
    Frame {
        /// The track.
        track: Track,
        /// The frame.
        frame: Frame,
    },
    /// The encoder says that the track ends.
    Ended {
        /// The track.
        track: Track,
    },
    /// The track is in a codec that is not carried; told once, its tags are dropped.
    Unsupported {
        /// The track.
        track: Track,
        /// The codec.
        codec: UnsupportedCodec,
    },
    /// Something of the tag was dropped; counted in [`TagReader::drops`] too.
    Dropped {
        /// The track.
        track: Track,
        /// Why.
        reason: DropReason,
    },
}

/// Why a frame or a configuration was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// No configuration came before the frame.
    NoConfig,
    /// The bytes contradict the codec's framing.
    Malformed,
    /// The configuration record was not understood; the last one stays.
    BadConfig,
    /// There are no bytes.
    Empty,
    /// The codec is not carried.
    Unsupported,
    /// More tracks than [`MAX_TRACKS`].
    ManyTracks,
}

/// How often something was dropped, by [`DropReason`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// [`DropReason::NoConfig`].
    pub no_config: u64,
    /// [`DropReason::Malformed`].
    pub malformed: u64,
    /// [`DropReason::BadConfig`].
    pub bad_config: u64,
    /// [`DropReason::Empty`].
    pub empty: u64,
    /// [`DropReason::Unsupported`].
    pub unsupported: u64,
    /// [`DropReason::ManyTracks`].
    pub many_tracks: u64,
}

impl Drops {
    fn count(&mut self, reason: DropReason) {
        let count = match reason {
            DropReason::NoConfig => &mut self.no_config,
            DropReason::Malformed => &mut self.malformed,
            DropReason::BadConfig => &mut self.bad_config,
            DropReason::Empty => &mut self.empty,
            DropReason::Unsupported => &mut self.unsupported,
            DropReason::ManyTracks => &mut self.many_tracks,
        };
        *count += 1;
    }
}

/// Turns the tags of one publication into frames.
///
/// Times are those of the tags: the first one's stands for itself, later ones are the nearest to
/// their predecessor, so the wrap after 24.9 or 49.7 days does not show and a restart of the encoder's
/// clock does, as a step back.
#[derive(Debug, Default)]
pub struct TagReader {
    tracks: BTreeMap<Track, State>,
    /// The last timestamp as it came and as it was understood.
    last: Option<(u32, i64)>,
    drops: Drops,
}

impl TagReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was dropped so far.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// Takes the body of a tag with its timestamp in milliseconds.
    ///
    /// An error means that the tag's header or script makes no sense; the reader can go on with
    /// the next tag.
    pub fn read(
        &mut self,
        tag_type: TagType,
        timestamp: u32,
        body: &[u8],
    ) -> Result<Vec<Item>, Error> {
        let kind = match tag_type {
            TagType::Audio => Kind::Audio,
            TagType::Video => Kind::Video,
            TagType::Data => {
                let metadata = Metadata::parse(body)?;
                return Ok(metadata.map(Item::Metadata).into_iter().collect());
            }
        };
        let ms = self.extend(timestamp);
        // Encoders send empty tags to keep a connection alive.
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let parsed = header::parse(kind, body)?;
        // The offset is one of presentation, but decoding it at a whole millisecond and showing
        // it a fraction later would look like pictures out of order.
        let dts = MediaTime::from_ticks(ms, 1000).shifted(i64::from(parsed.nanos));
        let mut items = Vec::new();
        for part in parsed.parts {
            let track = Track {
                kind,
                id: part.track,
            };
            if !self.tracks.contains_key(&track) && self.tracks.len() >= MAX_TRACKS {
                self.drops.count(DropReason::ManyTracks);
                let reason = DropReason::ManyTracks;
                items.push(Item::Dropped { track, reason });
                continue;
            }
            let state = self.tracks.entry(track).or_default();
            if let Err(reason) = state.part(track, part, dts, parsed.keyframe, &mut items) {
                self.drops.count(reason);
                items.push(Item::Dropped { track, reason });
            }
        }
        Ok(items)
    }

    fn extend(&mut self, timestamp: u32) -> i64 {
        let ms = match self.last {
            None => i64::from(timestamp),
            Some((last, ms)) => ms + i64::from(step(last, timestamp)),
        };
        self.last = Some((timestamp, ms));
        ms
    }
}

/// From one timestamp to the next. RTMP's have 32 bits; FLV's are signed, so the widespread
/// encoders go from 2^31 - 1 to 0. A step that is short in the smaller ring is such a one.
fn step(last: u32, timestamp: u32) -> i32 {
    let difference = timestamp.wrapping_sub(last);
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the upper half of the ring is the past"
    )]
    let (whole, signed) = (difference as i32, (difference << 1) as i32 / 2);
    if signed.abs() < SHORT_STEP_MS {
        signed
    } else {
        whole
    }
}

/// What is known of a track.
#[derive(Debug, Default)]
struct State {
    length: NalLength,
    /// Of H.264 and H.265, the parameter sets.
    sets: Option<ParameterSets>,
    /// What was told last.
    config: Option<Arc<Config>>,
    unsupported: Option<UnsupportedCodec>,
}

/// A frame without its times.
struct Unit {
    config: Arc<Config>,
    data: Arc<[u8]>,
    /// The bytes tell that decoding can begin here. Where they do not, the tag's header may:
    /// encoders that refresh gradually mark the pictures from which decoding can begin.
    keyframe: bool,
}

impl Unit {
    fn new(config: Arc<Config>, data: impl Into<Arc<[u8]>>) -> Self {
        Self {
            config,
            data: data.into(),
            keyframe: false,
        }
    }
}

impl State {
    fn part(
        &mut self,
        track: Track,
        part: Part<'_>,
        dts: MediaTime,
        keyframe: bool,
        items: &mut Vec<Item>,
    ) -> Result<(), DropReason> {
        let codec = match part.codec {
            Ok(codec) => codec,
            Err(codec) => {
                if self.unsupported.as_ref() != Some(&codec) {
                    self.unsupported = Some(codec.clone());
                    items.push(Item::Unsupported { track, codec });
                }
                return Err(DropReason::Unsupported);
            }
        };
        if self.codec().is_some_and(|known| known != codec) {
            *self = Self::default();
        }
        match part.packet {
            Packet::Config => self.record(track, codec, part.data, items),
            Packet::Frame { offset_ms } => {
                let unit = self.frame(track, codec, part.data, items)?;
                if let Some(unit) = unit {
                    let frame = Frame {
                        config: unit.config,
                        pts: dts.shifted(i64::from(offset_ms) * 1_000_000),
                        dts,
                        keyframe: track.kind == Kind::Audio || unit.keyframe || keyframe,
                        data: unit.data,
                    };
                    items.push(Item::Frame { track, frame });
                }
                Ok(())
            }
            Packet::End => {
                items.push(Item::Ended { track });
                Ok(())
            }
            Packet::Other => Ok(()),
        }
    }

    fn codec(&self) -> Option<Codec> {
        let sets = self.sets.as_ref().map(|sets| sets.config().codec());
        sets.or(self.config.as_ref().map(|config| config.codec()))
    }

    fn record(
        &mut self,
        track: Track,
        codec: Codec,
        data: &[u8],
        items: &mut Vec<Item>,
    ) -> Result<(), DropReason> {
        let bad = |_| DropReason::BadConfig;
        let config = match codec {
            Codec::H264 | Codec::H265 => {
                return self.nal_record(track, codec, data, items);
            }
            Codec::Av1 => records::av1(data).map_err(bad)?,
            Codec::Vp8 => Config::Vp8,
            Codec::Vp9 => records::vpc(data).map_err(bad)?,
            Codec::Opus => records::opus_head(data).map_err(bad)?,
            Codec::Aac if (2..=MAX_ASC).contains(&data.len()) => Config::Aac { asc: data.into() },
            Codec::Aac => return Err(DropReason::BadConfig),
        };
        // A record that leaves the sequence header to the stream takes none away.
        let empty =
            matches!(&config, Config::Av1 { sequence_header } if sequence_header.is_empty());
        if !empty {
            self.tell(track, Arc::new(config), items);
        }
        Ok(())
    }

    fn nal_record(
        &mut self,
        track: Track,
        codec: Codec,
        data: &[u8],
        items: &mut Vec<Item>,
    ) -> Result<(), DropReason> {
        let record = match codec {
            Codec::H264 => records::avc(data),
            _ => records::hevc(data),
        };
        let sets = match record {
            Ok(record) => {
                self.length = record.length;
                ParameterSets::with_config(Arc::new(record.config))
            }
            // Some encoders put the sets here as they come out of the encoder.
            Err(_) if starts_with_code(data) => {
                let mut sets = ParameterSets::new(codec);
                if let Some(sets) = &mut sets {
                    sets.access_unit(annex_b(data));
                }
                sets
            }
            Err(_) => return Err(DropReason::BadConfig),
        };
        let sets = sets.ok_or(DropReason::BadConfig)?;
        if sets.complete() {
            self.tell(track, sets.config().clone(), items);
        }
        self.sets = Some(sets);
        Ok(())
    }

    /// A frame's bytes in the shape of [`Frame::data`]; `None` where there is no picture.
    fn frame(
        &mut self,
        track: Track,
        codec: Codec,
        data: &[u8],
        items: &mut Vec<Item>,
    ) -> Result<Option<Unit>, DropReason> {
        if data.is_empty() {
            return Err(DropReason::Empty);
        }
        match codec {
            Codec::H264 | Codec::H265 => return self.nal_frame(track, codec, data, items),
            Codec::Av1 => {
                let unit = obu::normalize(data).ok_or(DropReason::Malformed)?;
                if let Some(sequence_header) = unit.sequence_header {
                    self.tell(track, Arc::new(Config::Av1 { sequence_header }), items);
                }
                let config = self.config.clone().ok_or(DropReason::NoConfig)?;
                if unit.data.is_empty() {
                    return Ok(None);
                }
                return Ok(Some(Unit::new(config, unit.data)));
            }
            Codec::Vp8 => self.tell_first(track, Config::Vp8, items),
            Codec::Vp9 => {
                // The frame marker (binary 10), then the profile, its lower bit first.
                let first = data.first().copied().unwrap_or_default();
                if first >> 6 != 0b10 {
                    return Err(DropReason::Malformed);
                }
                let profile = (first >> 5 & 1) | (first >> 3 & 2);
                self.tell_first(track, Config::Vp9 { profile }, items);
            }
            Codec::Aac | Codec::Opus => {}
        }
        let config = self.config.clone().ok_or(DropReason::NoConfig)?;
        Ok(Some(Unit::new(config, data)))
    }

    fn nal_frame(
        &mut self,
        track: Track,
        codec: Codec,
        data: &[u8],
        items: &mut Vec<Item>,
    ) -> Result<Option<Unit>, DropReason> {
        let mut units = length_prefixed(data, self.length);
        units.by_ref().for_each(drop);
        let lengths_fit = !units.broken();
        if !lengths_fit && !starts_with_code(data) {
            return Err(DropReason::Malformed);
        }
        if self.sets.is_none() {
            self.sets = ParameterSets::new(codec);
        }
        let sets = self.sets.as_mut().ok_or(DropReason::NoConfig)?;
        let unit = if lengths_fit {
            sets.access_unit(length_prefixed(data, self.length))
        } else {
            sets.access_unit(annex_b(data))
        };
        if !sets.complete() {
            return Err(DropReason::NoConfig);
        }
        self.tell(track, unit.config.clone(), items);
        if !unit.picture {
            return Ok(None);
        }
        let config = self.config.clone().unwrap_or(unit.config);
        Ok(Some(Unit {
            keyframe: unit.keyframe,
            ..Unit::new(config, unit.data)
        }))
    }

    fn tell_first(&mut self, track: Track, config: Config, items: &mut Vec<Item>) {
        if self.config.is_none() {
            self.tell(track, Arc::new(config), items);
        }
    }

    fn tell(&mut self, track: Track, config: Arc<Config>, items: &mut Vec<Item>) {
        if let Some(known) = &self.config
            && (Arc::ptr_eq(known, &config) || *known == config)
        {
            return;
        }
        self.config = Some(config.clone());
        items.push(Item::Config { track, config });
    }
}

fn starts_with_code(data: &[u8]) -> bool {
    data.starts_with(&[0, 0, 1]) || data.starts_with(&[0, 0, 0, 1])
}
