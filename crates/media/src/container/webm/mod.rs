//! WebM: what VP8 and VP9 with Opus are kept in (RFC 8794 for EBML, RFC 9559 for Matroska).
//!
//! A file begins with a segment whose length nobody knows yet, and goes on with whole clusters, so
//! that it plays wherever it breaks off. Finishing appends the cues by which players seek, and then
//! writes the first bytes anew, in the same length: the segment's, where the cues are, and how long
//! it all lasts. No byte of media moves.

mod ebml;
mod index;

use crate::container::fmp4::{Sample, Track, Unsupported};
use crate::{Config, Kind, MediaTime};
use ebml::{Elements, id};

pub use ebml::{Head, head};
pub use index::{Index, Visited};

/// What players decode before what they seek, for Opus (RFC 7845, 4.6): 80 ms in nanoseconds.
const PRE_ROLL: u64 = 80_000_000;

/// Nanoseconds of one tick: a millisecond, which is what players expect of WebM.
const TICK: i64 = 1_000_000;

/// Who wrote it.
const APP: &str = "Inver";

/// Bytes before the segment's contents: the EBML header, the segment's id and length.
const BEFORE: usize = 48;

/// Bytes of the place for what tells where things are.
const SEEK_HEAD: usize = 68;

/// What a file of these tracks begins with.
///
/// # Errors
///
/// A codec that WebM does not carry, or a picture whose size is not known.
pub fn file_header(tracks: &[Track]) -> Result<Vec<u8>, Unsupported> {
    let mut out = front(None);
    let mut entries = Elements::default();
    for track in tracks {
        entry(&mut entries, track)?;
    }
    let mut all = Elements::default();
    all.master(id::TRACKS, &entries);
    out.extend_from_slice(all.bytes());
    Ok(out)
}

/// What is known once a file is finished.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Bytes of the segment's contents.
    len: u64,
    /// Where the cues stand, counted from the segment's contents.
    cues: u64,
    /// How long it lasts, in milliseconds.
    lasts: f64,
}

/// The first bytes, up to the tracks; always as many.
fn front(known: Option<Known>) -> Vec<u8> {
    let mut about = Elements::default();
    about.uint(id::EBML_VERSION, 1);
    about.uint(id::EBML_READ_VERSION, 1);
    about.uint(id::EBML_MAX_ID, 4);
    about.uint(id::EBML_MAX_SIZE, 8);
    about.text(id::DOC_TYPE, "webm");
    about.uint(id::DOC_TYPE_VERSION, 4);
    about.uint(id::DOC_TYPE_READ_VERSION, 2);
    let mut out = Elements::default();
    out.master(id::EBML, &about);
    out.begin(id::SEGMENT, known.map(|known| known.len));
    debug_assert_eq!(out.bytes().len(), BEFORE);

    let mut info = Elements::default();
    info.uint(id::TIMESTAMP_SCALE, TICK.unsigned_abs());
    match known {
        Some(known) => info.float(id::DURATION, known.lasts),
        // Its place is kept.
        None => info.void(11),
    }
    info.text(id::MUXING_APP, APP);
    info.text(id::WRITING_APP, APP);
    let mut about = Elements::default();
    about.master(id::INFO, &info);

    let tracks = SEEK_HEAD + about.bytes().len();
    let mut seeks = Elements::default();
    seek(&mut seeks, id::INFO, SEEK_HEAD as u64);
    seek(&mut seeks, id::TRACKS, tracks as u64);
    if let Some(known) = known {
        seek(&mut seeks, id::CUES, known.cues);
    }
    out.master(id::SEEK_HEAD, &seeks);
    let left = BEFORE + SEEK_HEAD - out.bytes().len();
    if left > 0 {
        out.void(left);
    }
    out.append(&about);
    out.into_bytes()
}

fn seek(seeks: &mut Elements, to: u32, at: u64) {
    let mut one = Elements::default();
    one.binary(id::SEEK_ID, &to.to_be_bytes());
    one.wide(id::SEEK_POSITION, at);
    seeks.master(id::SEEK, &one);
}

/// Describes a track.
fn entry(entries: &mut Elements, track: &Track) -> Result<(), Unsupported> {
    let codec = track.config.codec();
    let mut one = Elements::default();
    one.uint(id::TRACK_NUMBER, u64::from(track.id));
    one.uint(id::TRACK_UID, u64::from(track.id));
    let video = codec.kind() == Kind::Video;
    one.uint(id::TRACK_TYPE, if video { 1 } else { 2 });
    one.uint(id::FLAG_LACING, 0);
    one.text(id::LANGUAGE, "und");
    match &*track.config {
        Config::Vp8 => one.text(id::CODEC_ID, "V_VP8"),
        Config::Vp9 { .. } => one.text(id::CODEC_ID, "V_VP9"),
        Config::Opus { channels, pre_skip } => {
            one.text(id::CODEC_ID, "A_OPUS");
            one.binary(id::CODEC_PRIVATE, &opus_head(*channels, *pre_skip));
            one.uint(id::CODEC_DELAY, delay(track).unsigned_abs());
            one.uint(id::SEEK_PRE_ROLL, PRE_ROLL);
            let mut sound = Elements::default();
            sound.float(id::SAMPLING_FREQUENCY, 48_000.0);
            sound.uint(id::CHANNELS, u64::from(*channels));
            one.master(id::AUDIO, &sound);
        }
        Config::H264 { .. } | Config::H265 { .. } | Config::Av1 { .. } | Config::Aac { .. } => {
            return Err(Unsupported::Codec(codec));
        }
    }
    if video {
        let (width, height) = track.size.ok_or(Unsupported::Incomplete(codec))?;
        let mut picture = Elements::default();
        picture.uint(id::PIXEL_WIDTH, u64::from(width));
        picture.uint(id::PIXEL_HEIGHT, u64::from(height));
        one.master(id::VIDEO, &picture);
    }
    entries.master(id::TRACK_ENTRY, &one);
    Ok(())
}

/// `OpusHead` (RFC 7845, 5.1).
fn opus_head(channels: u8, pre_skip: u16) -> Vec<u8> {
    let mut out = b"OpusHead\x01".to_vec();
    out.push(channels);
    out.extend_from_slice(&pre_skip.to_le_bytes());
    out.extend_from_slice(&48_000_u32.to_le_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    out
}

/// By how many nanoseconds players show a block of this track before the time that it tells.
fn delay(track: &Track) -> i64 {
    match &*track.config {
        Config::Opus { pre_skip, .. } => i64::from(*pre_skip) * 1_000_000_000 / 48_000,
        Config::H264 { .. }
        | Config::H265 { .. }
        | Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. }
        | Config::Aac { .. } => 0,
    }
}

/// A cluster with these samples, in the order of their times.
pub fn cluster(runs: &[(&Track, &[Sample])]) -> Vec<u8> {
    let mut blocks: Vec<(i64, u32, &Sample)> = Vec::new();
    for (track, samples) in runs {
        let shown = samples.iter().map(|sample| {
            let at = sample.dts.saturating_add(i64::from(sample.composition));
            let at = MediaTime::from_ticks(at, track.timescale).shifted(delay(track));
            (at.ticks(1_000).max(0), track.id, sample)
        });
        blocks.extend(shown);
    }
    // Stable: samples of one track at one moment stay in their order.
    blocks.sort_by_key(|(at, _, _)| *at);
    let begins = blocks.first().map_or(0, |(at, _, _)| *at);
    let bytes: usize = blocks
        .iter()
        .map(|(_, _, sample)| sample.data.len() + 16)
        .sum();
    let mut inside = Elements::with_capacity(bytes + 16);
    inside.uint(id::TIMESTAMP, begins.unsigned_abs());
    for (at, track, sample) in blocks {
        // Clusters last for a second, and for some where frames are rare.
        let after = i16::try_from(at - begins).unwrap_or(i16::MAX);
        inside.block(track, after, sample.keyframe, &sample.data);
    }
    let mut out = Elements::with_capacity(bytes + 32);
    out.master(id::CLUSTER, &inside);
    out.into_bytes()
}

#[cfg(test)]
mod tests;
