//! What stands before the fragments: brands, tracks and their decoders' configurations.

use super::boxes::Boxes;
use super::{Track, Unsupported};
use crate::codec::aac::AudioSpecificConfig;
use crate::codec::records;
use crate::{Config, Kind};

/// The transformation that changes nothing, in 16.16 and 2.30 fixed point.
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// "Undetermined", in the packed letters of ISO 639-2.
const LANGUAGE: u16 = 0x55c4;

/// 72 dots per inch in 16.16 fixed point, which everybody writes and nobody reads.
const RESOLUTION: u32 = 0x48_0000;

/// The initialisation segment of these tracks: `ftyp` and `moov`.
///
/// # Errors
///
/// A codec that MP4 does not carry, or parameter sets that are missing.
pub fn init_segment(tracks: &[Track]) -> Result<Vec<u8>, Unsupported> {
    let entries: Vec<Entry> = tracks.iter().map(Entry::of).collect::<Result<_, _>>()?;
    let mut out = Boxes::with_capacity(1024);
    out.nest(b"ftyp", |out| {
        out.bytes(b"iso6");
        out.u32(0);
        for brand in [b"iso6", b"cmfc", b"isom", b"mp41"] {
            out.bytes(brand);
        }
    });
    out.nest(b"moov", |out| {
        movie_header(out, tracks);
        for (track, entry) in tracks.iter().zip(&entries) {
            out.nest(b"trak", |out| write_track(out, track, entry));
        }
        out.nest(b"mvex", |out| {
            for track in tracks {
                out.full(b"trex", 0, 0, |out| {
                    out.u32(track.id);
                    out.u32(1);
                    out.zeros(12);
                });
            }
        });
    });
    Ok(out.finish())
}

/// A sample entry's name, and the box with the decoder's configuration.
struct Entry {
    name: &'static [u8; 4],
    record_name: &'static [u8; 4],
    record: Vec<u8>,
    channels: u16,
}

impl Entry {
    fn of(track: &Track) -> Result<Self, Unsupported> {
        let config = &*track.config;
        let codec = config.codec();
        let incomplete = Unsupported::Incomplete(codec);
        let (name, record_name, record) = match config {
            Config::H264 { .. } => (b"avc1", b"avcC", records::write_avc(config)),
            Config::H265 { .. } => (b"hvc1", b"hvcC", records::write_hevc(config)),
            Config::Av1 { .. } => (b"av01", b"av1C", records::write_av1(config)),
            Config::Vp9 { .. } => (b"vp09", b"vpcC", records::write_vpc(config, track.size)),
            Config::Aac { asc } => (b"mp4a", b"esds", Some(elementary_stream(asc))),
            Config::Opus { .. } => (b"Opus", b"dOps", records::write_dops(config)),
            Config::Vp8 => return Err(Unsupported::Codec(codec)),
        };
        if codec.kind() == Kind::Video && track.size.is_none() {
            return Err(incomplete);
        }
        let channels = match config {
            Config::Aac { asc } => {
                AudioSpecificConfig::parse(asc).map_or(2, |asc| u16::from(asc.output_channels()))
            }
            Config::Opus { channels, .. } => u16::from(*channels),
            Config::H264 { .. }
            | Config::H265 { .. }
            | Config::Av1 { .. }
            | Config::Vp8
            | Config::Vp9 { .. } => 0,
        };
        Ok(Self {
            name,
            record_name,
            record: record.ok_or(incomplete)?,
            channels,
        })
    }
}

fn movie_header(out: &mut Boxes, tracks: &[Track]) {
    let next = tracks.iter().map(|track| track.id).max().unwrap_or(0) + 1;
    out.full(b"mvhd", 0, 0, |out| {
        out.zeros(8);
        out.u32(1000);
        out.u32(0);
        out.u32(0x1_0000);
        out.u16(0x100);
        out.zeros(10);
        for value in UNITY {
            out.u32(value);
        }
        out.zeros(24);
        out.u32(next);
    });
}

fn write_track(out: &mut Boxes, track: &Track, entry: &Entry) {
    let video = track.config.codec().kind() == Kind::Video;
    let (width, height) = track.size.unwrap_or((0, 0));
    // Enabled, in the movie, in the preview.
    out.full(b"tkhd", 0, 7, |out| {
        out.zeros(8);
        out.u32(track.id);
        out.zeros(16);
        out.u16(0);
        out.u16(u16::from(!video));
        out.u16(if video { 0 } else { 0x100 });
        out.u16(0);
        for value in UNITY {
            out.u32(value);
        }
        out.u32(width.min(0xffff) << 16);
        out.u32(height.min(0xffff) << 16);
    });
    out.nest(b"mdia", |out| {
        out.full(b"mdhd", 0, 0, |out| {
            out.zeros(8);
            out.u32(track.timescale);
            out.u32(0);
            out.u16(LANGUAGE);
            out.u16(0);
        });
        out.full(b"hdlr", 0, 0, |out| {
            out.u32(0);
            out.bytes(if video { b"vide" } else { b"soun" });
            out.zeros(12);
            out.bytes(if video { b"video\0" } else { b"sound\0" });
        });
        out.nest(b"minf", |out| {
            if video {
                out.full(b"vmhd", 0, 1, |out| out.zeros(8));
            } else {
                out.full(b"smhd", 0, 0, |out| out.zeros(4));
            }
            out.nest(b"dinf", |out| {
                out.full(b"dref", 0, 0, |out| {
                    out.u32(1);
                    // In this file.
                    out.full(b"url ", 0, 1, |_| {});
                });
            });
            out.nest(b"stbl", |out| sample_table(out, track, entry));
        });
    });
}

/// The description; the samples themselves are told by the fragments.
fn sample_table(out: &mut Boxes, track: &Track, entry: &Entry) {
    out.full(b"stsd", 0, 0, |out| {
        out.u32(1);
        out.nest(entry.name, |out| {
            out.zeros(6);
            out.u16(1);
            match track.size {
                Some((width, height)) if track.config.codec().kind() == Kind::Video => {
                    picture_entry(out, width, height);
                }
                Some(_) | None => sound_entry(out, track.timescale, entry.channels),
            }
            out.nest(entry.record_name, |out| out.bytes(&entry.record));
        });
    });
    out.full(b"stts", 0, 0, |out| out.u32(0));
    out.full(b"stsc", 0, 0, |out| out.u32(0));
    out.full(b"stsz", 0, 0, |out| out.zeros(8));
    out.full(b"stco", 0, 0, |out| out.u32(0));
}

fn picture_entry(out: &mut Boxes, width: u32, height: u32) {
    out.zeros(16);
    out.u16(u16::try_from(width).unwrap_or(u16::MAX));
    out.u16(u16::try_from(height).unwrap_or(u16::MAX));
    out.u32(RESOLUTION);
    out.u32(RESOLUTION);
    out.u32(0);
    out.u16(1);
    out.zeros(32);
    out.u16(0x18);
    out.u16(0xffff);
}

fn sound_entry(out: &mut Boxes, rate: u32, channels: u16) {
    out.zeros(8);
    out.u16(channels);
    out.u16(16);
    out.zeros(4);
    // 16.16 fixed point; rates above 65535 do not fit, and are told by the configuration.
    out.u32(if rate > 0xffff { 0 } else { rate << 16 });
}

/// `esds` (ISO/IEC 14496-14, 5.6; descriptors: ISO/IEC 14496-1, 7.2.6).
fn elementary_stream(asc: &[u8]) -> Vec<u8> {
    const ES: u8 = 0x03;
    const DECODER: u8 = 0x04;
    const SPECIFIC: u8 = 0x05;
    const SYNC: u8 = 0x06;
    /// MPEG-4 audio, of a stream of sound.
    const OBJECT: u8 = 0x40;
    const STREAM: u8 = 0x15;
    let specific = descriptor(SPECIFIC, asc);
    let mut decoder = vec![OBJECT, STREAM];
    // Size of the decoder's buffer, most and average bits per second: not known.
    decoder.extend_from_slice(&[0; 11]);
    decoder.extend_from_slice(&specific);
    let mut stream = vec![0, 0, 0];
    stream.extend_from_slice(&descriptor(DECODER, &decoder));
    stream.extend_from_slice(&descriptor(SYNC, &[2]));
    let mut out = vec![0, 0, 0, 0];
    out.extend_from_slice(&descriptor(ES, &stream));
    out
}

fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    // Four bytes of seven bits each, as most writers have it.
    for shift in [21, 14, 7] {
        out.push(0x80 | ((body.len() >> shift) & 0x7f) as u8);
    }
    out.push((body.len() & 0x7f) as u8);
    out.extend_from_slice(body);
    out
}
