//! Configuration records: what containers hold so that a decoder can begin.
//!
//! `avcC` and `hvcC` (ISO/IEC 14496-15), `av1C` (AOM "AV1 Codec ISO Media File Format Binding"),
//! `vpcC` (WebM Project "VP Codec ISO Media File Format Binding"), `OpusHead` (RFC 7845) and
//! `dOps` (Opus in ISOBMFF), each into a [`Config`] and back, and the `codecs` strings of
//! RFC 6381. Records are read without their box header. Nothing here is decoded.

use super::nal::{MAX_SET_LEN, NalLength};
use super::{av1, h264, h265};
use crate::Config;

/// Longest AV1 sequence header that is kept. Real ones have about a dozen bytes.
const MAX_SEQUENCE_HEADER: usize = 1024;

/// A record of H.264 or H.265.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NalRecord {
    /// The parameter sets.
    pub config: Config,
    /// How long the length before each NAL unit is in the samples that the record describes.
    pub length: NalLength,
}

/// Why a record was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a field.
    #[error("the {0} record ends early")]
    Short(&'static str),
    /// Another version than the one that is specified.
    #[error("version {found} of the {record} record is not known; {expected} is")]
    Version {
        /// The record.
        record: &'static str,
        /// What stands there.
        found: u8,
        /// What is understood.
        expected: u8,
    },
    /// The length of NAL units has a number of bytes that does not exist.
    #[error("lengths of NAL units have {0} bytes; 1, 2 or 4 are allowed")]
    LengthSize(u8),
    /// A parameter set is empty or longer than any real one.
    #[error("a parameter set has {0} bytes; 1 to {MAX_SET_LEN} are allowed")]
    Set(usize),
    /// Something else than a sequence header stands in an AV1 record.
    #[error("the AV1 record holds no sequence header that can be read")]
    SequenceHeader,
    /// More or fewer channels than Opus is carried with.
    #[error("Opus with {0} channels; 1 and 2 are carried")]
    Channels(u8),
}

/// Reads bytes from the front; the error names the record.
struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
}

impl<'a> Reader<'a> {
    fn new(record: &'static str, rest: &'a [u8]) -> Self {
        Self { rest, record }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(RecordError::Short(self.record))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| RecordError::Short(self.record))
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().map(u16::from_be_bytes)
    }

    fn set(&mut self) -> Result<Vec<u8>, RecordError> {
        let len = usize::from(self.u16()?);
        if len == 0 || len > MAX_SET_LEN {
            return Err(RecordError::Set(len));
        }
        self.take(len).map(<[u8]>::to_vec)
    }

    fn version(&mut self, expected: u8) -> Result<(), RecordError> {
        let found = self.u8()?;
        if found == expected {
            return Ok(());
        }
        Err(RecordError::Version {
            record: self.record,
            found,
            expected,
        })
    }
}

fn nal_length(byte: u8) -> Result<NalLength, RecordError> {
    let bytes = (byte & 0x03) + 1;
    NalLength::from_bytes(bytes).ok_or(RecordError::LengthSize(bytes))
}

/// Reads `avcC`, also one without parameter sets (they then come in band).
pub fn avc(record: &[u8]) -> Result<NalRecord, RecordError> {
    let mut reader = Reader::new("avcC", record);
    reader.version(1)?;
    reader.take(3)?;
    let length = nal_length(reader.u8()?)?;
    let count = reader.u8()? & 0x1f;
    let sps = (0..count).map(|_| reader.set()).collect::<Result<_, _>>()?;
    let count = reader.u8()?;
    let pps = (0..count).map(|_| reader.set()).collect::<Result<_, _>>()?;
    Ok(NalRecord {
        config: Config::H264 { sps, pps },
        length,
    })
}

/// Writes `avcC` with lengths of four bytes; `None` for another codec or without a sequence
/// parameter set that can be read.
pub fn write_avc(config: &Config) -> Option<Vec<u8>> {
    let Config::H264 { sps, pps } = config else {
        return None;
    };
    let first = h264::sps(sps.first()?)?;
    let mut out = vec![1, first.profile, first.constraints, first.level, 0xff];
    out.push(0xe0 | u8::try_from(sps.len()).ok().filter(|count| *count < 32)?);
    write_sets(&mut out, sps)?;
    out.push(u8::try_from(pps.len()).ok()?);
    write_sets(&mut out, pps)?;
    if !matches!(first.profile, 66 | 77 | 88) {
        out.push(0xfc | first.chroma);
        out.push(0xf8 | first.luma_bits.checked_sub(8)?);
        out.push(0xf8 | first.chroma_bits.checked_sub(8)?);
        out.push(0);
    }
    Some(out)
}

fn write_sets(out: &mut Vec<u8>, sets: &[Vec<u8>]) -> Option<()> {
    for set in sets {
        out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
        out.extend_from_slice(set);
    }
    Some(())
}

/// Reads `hvcC`, also one without parameter sets (they then come in band).
pub fn hevc(record: &[u8]) -> Result<NalRecord, RecordError> {
    let mut reader = Reader::new("hvcC", record);
    let version = reader.u8()?;
    // Early writers left the version 0; the fields are the same.
    if version > 1 {
        return Err(RecordError::Version {
            record: "hvcC",
            found: version,
            expected: 1,
        });
    }
    reader.take(20)?;
    let length = nal_length(reader.u8()?)?;
    let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
    // Each set has at least three bytes, so the record's own length bounds the loops.
    for _ in 0..reader.u8()? {
        let nal_type = reader.u8()? & 0x3f;
        for _ in 0..reader.u16()? {
            let list = match nal_type {
                32 => &mut vps,
                33 => &mut sps,
                34 => &mut pps,
                // SEI messages that hold for the whole stream.
                _ => {
                    let len = usize::from(reader.u16()?);
                    reader.take(len)?;
                    continue;
                }
            };
            list.push(reader.set()?);
        }
    }
    Ok(NalRecord {
        config: Config::H265 { vps, sps, pps },
        length,
    })
}

/// Writes `hvcC` with lengths of four bytes; `None` for another codec or without a sequence
/// parameter set that can be read.
pub fn write_hevc(config: &Config) -> Option<Vec<u8>> {
    let Config::H265 { vps, sps, pps } = config else {
        return None;
    };
    let first = h265::sps(sps.first()?)?;
    let mut out = vec![1];
    out.extend_from_slice(&first.profile_tier_level);
    // No spatial segmentation and no kind of parallelism are claimed, and no frame rate.
    out.extend_from_slice(&[0xf0, 0x00, 0xfc]);
    out.push(0xfc | first.chroma);
    out.push(0xf8 | (first.luma_bits.checked_sub(8)? & 0x07));
    out.push(0xf8 | (first.chroma_bits.checked_sub(8)? & 0x07));
    out.extend_from_slice(&[0, 0]);
    let nesting = u8::from(first.temporal_nesting) << 2;
    out.push((first.temporal_layers & 0x07) << 3 | nesting | 0x03);
    let arrays = [(32_u8, vps), (33, sps), (34, pps)];
    let used = arrays.iter().filter(|(_, sets)| !sets.is_empty()).count();
    out.push(u8::try_from(used).ok()?);
    for (nal_type, sets) in arrays {
        if sets.is_empty() {
            continue;
        }
        // The first bit says that all sets of the kind stand here.
        out.push(0x80 | nal_type);
        out.extend_from_slice(&u16::try_from(sets.len()).ok()?.to_be_bytes());
        write_sets(&mut out, sets)?;
    }
    Some(out)
}

/// Reads `av1C`. A record without a sequence header gives an empty one: it comes in band.
pub fn av1(record: &[u8]) -> Result<Config, RecordError> {
    let mut reader = Reader::new("av1C", record);
    let first = reader.u8()?;
    if first != 0x81 {
        return Err(RecordError::Version {
            record: "av1C",
            found: first & 0x7f,
            expected: 1,
        });
    }
    reader.take(3)?;
    if reader.rest.is_empty() {
        return Ok(Config::Av1 {
            sequence_header: Vec::new(),
        });
    }
    let sequence_header = av1::obus(reader.rest)
        .find(|obu| av1::sequence_header(obu).is_some())
        .filter(|obu| obu.len() <= MAX_SEQUENCE_HEADER)
        .ok_or(RecordError::SequenceHeader)?;
    // The last OBU of a record may lack its size field.
    let mut sized = Vec::with_capacity(sequence_header.len() + 2);
    av1::Obu::parse(sequence_header)
        .ok_or(RecordError::SequenceHeader)?
        .write(&mut sized);
    Ok(Config::Av1 {
        sequence_header: sized,
    })
}

/// Writes `av1C`; `None` for another codec or without a sequence header that can be read.
pub fn write_av1(config: &Config) -> Option<Vec<u8>> {
    let Config::Av1 { sequence_header } = config else {
        return None;
    };
    let header = av1::sequence_header(sequence_header)?;
    let flag = |set: bool, bit: u8| u8::from(set) << bit;
    let mut out = vec![
        0x81,
        header.profile << 5 | header.level,
        flag(header.high_tier, 7)
            | flag(header.bits > 8, 6)
            | flag(header.bits == 12, 5)
            | flag(header.monochrome, 4)
            | flag(header.subsampling.0, 3)
            | flag(header.subsampling.1, 2)
            | header.sample_position,
        0,
    ];
    out.extend_from_slice(sequence_header);
    Some(out)
}

/// Reads `vpcC` of VP9, with or without the version and flags that stand before the fields in a
/// file.
pub fn vpc(record: &[u8]) -> Result<Config, RecordError> {
    let mut reader = Reader::new("vpcC", record);
    // Fields that began with 1, 0, 0, 0 would name a profile with samples of no bits.
    if record.starts_with(&[1, 0, 0, 0]) {
        reader.take(4)?;
    }
    let profile = reader.u8()?;
    reader.take(7)?;
    if profile > 3 {
        return Err(RecordError::Version {
            record: "vpcC",
            found: profile,
            expected: 1,
        });
    }
    Ok(Config::Vp9 { profile })
}

/// Writes `vpcC` of VP9 with version and flags before the fields. The level follows from the
/// picture's size; without one it is 4.1. `None` for another codec.
pub fn write_vpc(config: &Config, size: Option<(u32, u32)>) -> Option<Vec<u8>> {
    let Config::Vp9 { profile } = *config else {
        return None;
    };
    // Chroma: 1 is 4:2:0 with samples between the rows, 3 is 4:4:4. The colour description is
    // "not specified" (2) throughout.
    let chroma = if profile % 2 == 0 { 1 } else { 3 };
    Some(vec![
        1,
        0,
        0,
        0,
        profile,
        vp9_level(size),
        vp9_bits(profile) << 4 | chroma << 1,
        2,
        2,
        2,
        0,
        0,
    ])
}

fn vp9_bits(profile: u8) -> u8 {
    if profile < 2 { 8 } else { 10 }
}

/// The lowest level that allows a picture's size (VP9 levels, WebM Project), ten times its number.
fn vp9_level(size: Option<(u32, u32)>) -> u8 {
    const LEVELS: [(u64, u8); 8] = [
        (36_864, 10),
        (73_728, 11),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 41),
        (8_912_896, 51),
    ];
    let Some((width, height)) = size else {
        return 41;
    };
    let samples = u64::from(width) * u64::from(height);
    LEVELS
        .iter()
        .find(|(most, _)| samples <= *most)
        .map_or(61, |(_, level)| *level)
}

/// Reads `OpusHead`, the identification header (RFC 7845, 5.1).
pub fn opus_head(record: &[u8]) -> Result<Config, RecordError> {
    let mut reader = Reader::new("OpusHead", record);
    if reader.take(8)? != b"OpusHead" {
        return Err(RecordError::Short("OpusHead"));
    }
    // The upper half is the major version; minor ones only add.
    let version = reader.u8()?;
    if version >> 4 != 0 {
        return Err(RecordError::Version {
            record: "OpusHead",
            found: version,
            expected: 1,
        });
    }
    let channels = reader.u8()?;
    let pre_skip = reader.array().map(u16::from_le_bytes)?;
    reader.take(7)?;
    opus(channels, pre_skip)
}

/// Writes `OpusHead`; `None` for another codec.
pub fn write_opus_head(config: &Config) -> Option<Vec<u8>> {
    let Config::Opus { channels, pre_skip } = *config else {
        return None;
    };
    let mut out = b"OpusHead".to_vec();
    out.extend_from_slice(&[1, channels]);
    out.extend_from_slice(&pre_skip.to_le_bytes());
    out.extend_from_slice(&48_000_u32.to_le_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    Some(out)
}

/// Reads `dOps`.
pub fn dops(record: &[u8]) -> Result<Config, RecordError> {
    let mut reader = Reader::new("dOps", record);
    reader.version(0)?;
    let channels = reader.u8()?;
    let pre_skip = reader.u16()?;
    reader.take(7)?;
    opus(channels, pre_skip)
}

/// Writes `dOps`; `None` for another codec.
pub fn write_dops(config: &Config) -> Option<Vec<u8>> {
    let Config::Opus { channels, pre_skip } = *config else {
        return None;
    };
    let mut out = vec![0, channels];
    out.extend_from_slice(&pre_skip.to_be_bytes());
    out.extend_from_slice(&48_000_u32.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    Some(out)
}

fn opus(channels: u8, pre_skip: u16) -> Result<Config, RecordError> {
    match channels {
        1 | 2 => Ok(Config::Opus { channels, pre_skip }),
        _ => Err(RecordError::Channels(channels)),
    }
}

/// Picture size in pixels, where the configuration tells it.
pub fn size(config: &Config) -> Option<(u32, u32)> {
    match config {
        Config::H264 { sps, .. } => Some(h264::sps(sps.last()?)?.size),
        Config::H265 { sps, .. } => Some(h265::sps(sps.last()?)?.size),
        Config::Av1 { sequence_header } => Some(av1::sequence_header(sequence_header)?.size),
        Config::Vp8 | Config::Vp9 { .. } | Config::Aac { .. } | Config::Opus { .. } => None,
    }
}

/// `profile-level-id` of H.264 (RFC 6184, 8.1), 24 bits, as [`crate::Format`] has it.
pub fn profile_level_id(config: &Config) -> Option<u32> {
    match config {
        Config::H264 { sps, .. } => Some(h264::sps(sps.last()?)?.profile_level_id()),
        Config::H265 { .. }
        | Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. }
        | Config::Aac { .. }
        | Config::Opus { .. } => None,
    }
}

/// How many pictures at most are decoded before and shown behind a picture; `None` where the
/// configuration does not say.
pub fn reorder_depth(config: &Config) -> Option<u32> {
    match config {
        Config::H264 { sps, .. } => h264::sps(sps.last()?)?.reorder_frames,
        Config::H265 { sps, .. } => Some(h265::sps(sps.last()?)?.reorder_pics),
        // Shown order is decoded order: hidden frames are not shown at all.
        Config::Av1 { .. } | Config::Vp8 | Config::Vp9 { .. } => Some(0),
        Config::Aac { .. } | Config::Opus { .. } => None,
    }
}

/// The `codecs` string (RFC 6381 and each codec's binding) by which players decide. `size` is the
/// picture's size for VP9, whose record has none. `None` while parameter sets are missing.
pub fn codecs(config: &Config, size: Option<(u32, u32)>) -> Option<String> {
    Some(match config {
        Config::H264 { sps, .. } => {
            let [_, profile, constraints, level, ..] = *sps.first()?.as_slice() else {
                return None;
            };
            format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
        }
        Config::H265 { sps, .. } => hevc_codecs(&h265::sps(sps.first()?)?),
        Config::Av1 { sequence_header } => {
            let header = av1::sequence_header(sequence_header)?;
            let tier = if header.high_tier { 'H' } else { 'M' };
            format!(
                "av01.{}.{:02}{tier}.{:02}",
                header.profile, header.level, header.bits
            )
        }
        Config::Vp8 => "vp8".to_owned(),
        Config::Vp9 { profile } => format!(
            "vp09.{profile:02}.{:02}.{:02}",
            vp9_level(size),
            vp9_bits(*profile)
        ),
        Config::Aac { asc } => {
            let (first, second) = (*asc.first()?, asc.get(1).copied().unwrap_or(0));
            let object = match first >> 3 {
                31 => 32 + ((first & 0x07) << 3 | second >> 5),
                object => object,
            };
            format!("mp4a.40.{object}")
        }
        Config::Opus { .. } => "opus".to_owned(),
    })
}

/// The string of H.265 (ISO/IEC 14496-15, annex E).
fn hevc_codecs(sps: &h265::Sps) -> String {
    let [first, f0, f1, f2, f3, constraints @ .., level] = sps.profile_tier_level;
    let space = match first >> 6 {
        0 => "",
        1 => "A",
        2 => "B",
        _ => "C",
    };
    let flags = u32::from_be_bytes([f0, f1, f2, f3]).reverse_bits();
    let tier = if first & 0x20 != 0 { 'H' } else { 'L' };
    let mut out = format!("hvc1.{space}{}.{flags:X}.{tier}{level}", first & 0x1f);
    let used = constraints
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        out.push_str(&format!(".{byte:X}"));
    }
    out
}

#[cfg(test)]
mod tests;
