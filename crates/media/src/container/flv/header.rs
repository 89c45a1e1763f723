//! Headers of audio and video tags, plain and enhanced: who the bytes belong to and what they are.

use super::UnsupportedCodec;
use super::fourcc::{FourCc, codec_id, sound_format};
use crate::{Codec, Kind};

const EX_SOUND_FORMAT: u8 = 9;
const EX_VIDEO_BIT: u8 = 0x80;
const FRAME_KEY: u8 = 1;
const FRAME_COMMAND: u8 = 5;
const MOD_EX: u8 = 7;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const VIDEO_METADATA: u8 = 4;
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// Tracks in one tag. Four bytes of an empty one would cost twenty times as much memory.
const MAX_PARTS: usize = 64;
/// Extensions (ModEx) before one packet. One is defined; more would only serve to burn time.
const MAX_MOD_EX: usize = 8;

/// Why a tag makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tag ends inside its header.
    #[error("{kind} tag of {len} bytes ends inside its header")]
    Short {
        /// Sound or picture.
        kind: Kind,
        /// Length of the tag.
        len: usize,
    },
    /// A packet type that is not defined for this kind.
    #[error("{kind} tag has the undefined packet type {packet_type}")]
    PacketType {
        /// Sound or picture.
        kind: Kind,
        /// The number.
        packet_type: u8,
    },
    /// A way of multitrack that is not defined, multitrack inside multitrack, or too many tracks.
    #[error("{kind} tag has a malformed multitrack header")]
    Multitrack {
        /// Sound or picture.
        kind: Kind,
    },
    /// AV1 wrapped for MPEG-2 TS, which nobody sends over RTMP.
    #[error("video tag begins an MPEG-2 TS sequence: send AV1 with its configuration record")]
    MpegTs,
    /// More extensions before one packet than make sense.
    #[error("{kind} tag has more than {MAX_MOD_EX} extensions")]
    ManyExtensions {
        /// Sound or picture.
        kind: Kind,
    },
    /// Script data that is not AMF0.
    #[error("script data: {0}")]
    Script(#[from] super::amf0::Error),
}

/// What the bytes of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// What a decoder needs before the first frame.
    Config,
    /// A frame that is shown this many milliseconds after it is decoded.
    Frame {
        /// Composition time.
        offset_ms: i32,
    },
    /// The sequence ends.
    End,
    /// Nothing that matters here: colour information, the order of channels.
    Other,
}

/// The share of one track in a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) track: u8,
    pub(super) codec: Result<Codec, UnsupportedCodec>,
    pub(super) packet: Packet,
    pub(super) data: &'a [u8],
}

/// A tag taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The header says that decoding can begin here.
    pub(super) keyframe: bool,
    /// To be added to the timestamp, below a millisecond.
    pub(super) nanos: u32,
    pub(super) parts: Vec<Part<'a>>,
}

/// Takes a tag of sound or picture apart.
pub(super) fn parse(kind: Kind, body: &[u8]) -> Result<Parsed<'_>, Error> {
    let mut cursor = Cursor {
        kind,
        len: body.len(),
        rest: body,
    };
    match kind {
        Kind::Audio => audio(&mut cursor),
        Kind::Video => video(&mut cursor),
    }
}

fn audio<'a>(cursor: &mut Cursor<'a>) -> Result<Parsed<'a>, Error> {
    let [first] = cursor.array()?;
    let format = first >> 4;
    if format == EX_SOUND_FORMAT {
        return enhanced(cursor, first & 0x0f, true);
    }
    let codec = sound_format(format);
    let packet = match &codec {
        Ok(_) => match cursor.array()? {
            [0] => Packet::Config,
            [1] => Packet::Frame { offset_ms: 0 },
            [packet_type] => return Err(cursor.packet_type(packet_type)),
        },
        Err(_) => Packet::Frame { offset_ms: 0 },
    };
    Ok(single(true, codec, packet, cursor.rest))
}

fn video<'a>(cursor: &mut Cursor<'a>) -> Result<Parsed<'a>, Error> {
    let [first] = cursor.array()?;
    let frame_type = (first >> 4) & 0x07;
    let keyframe = frame_type == FRAME_KEY;
    if first & EX_VIDEO_BIT != 0 {
        if frame_type == FRAME_COMMAND && first & 0x0f != VIDEO_METADATA {
            return Ok(nothing());
        }
        return enhanced(cursor, first & 0x0f, keyframe);
    }
    if frame_type == FRAME_COMMAND {
        return Ok(nothing());
    }
    let codec = codec_id(first & 0x0f);
    let packet = match &codec {
        Ok(_) => {
            let [packet_type] = cursor.array()?;
            // Some encoders end a sequence without the composition time.
            let offset_ms = match packet_type {
                2 => 0,
                _ => cursor.signed_24()?,
            };
            match packet_type {
                0 => Packet::Config,
                1 => Packet::Frame { offset_ms },
                2 => Packet::End,
                packet_type => return Err(cursor.packet_type(packet_type)),
            }
        }
        Err(_) => Packet::Frame { offset_ms: 0 },
    };
    Ok(single(keyframe, codec, packet, cursor.rest))
}

fn nothing<'a>() -> Parsed<'a> {
    Parsed {
        keyframe: false,
        nanos: 0,
        parts: Vec::new(),
    }
}

fn single<'a>(
    keyframe: bool,
    codec: Result<Codec, UnsupportedCodec>,
    packet: Packet,
    data: &'a [u8],
) -> Parsed<'a> {
    Parsed {
        keyframe,
        nanos: 0,
        parts: vec![Part {
            track: 0,
            codec,
            packet,
            data,
        }],
    }
}

fn enhanced<'a>(
    cursor: &mut Cursor<'a>,
    first_type: u8,
    keyframe: bool,
) -> Result<Parsed<'a>, Error> {
    let kind = cursor.kind;
    let (packet_type, nanos) = mod_ex(cursor, first_type)?;
    let multitrack = match kind {
        Kind::Audio => AUDIO_MULTITRACK,
        Kind::Video => VIDEO_MULTITRACK,
    };
    let mut parts = Vec::new();
    if packet_type == multitrack {
        let [byte] = cursor.array()?;
        let (way, packet_type) = (byte >> 4, byte & 0x0f);
        if way > MANY_TRACKS_MANY_CODECS || packet_type == multitrack || packet_type == MOD_EX {
            return Err(Error::Multitrack { kind });
        }
        let shared = if way == MANY_TRACKS_MANY_CODECS {
            None
        } else {
            Some(FourCc(cursor.array()?))
        };
        loop {
            if parts.len() >= MAX_PARTS {
                return Err(Error::Multitrack { kind });
            }
            let fourcc = match shared {
                Some(fourcc) => fourcc,
                None => FourCc(cursor.array()?),
            };
            let [track] = cursor.array()?;
            let data = if way == ONE_TRACK {
                std::mem::take(&mut cursor.rest)
            } else {
                let len = cursor.unsigned_24()?;
                cursor.take(len)?
            };
            parts.push(part(kind, track, fourcc, packet_type, data)?);
            if cursor.rest.is_empty() {
                break;
            }
        }
    } else {
        let fourcc = FourCc(cursor.array()?);
        parts.push(part(kind, 0, fourcc, packet_type, cursor.rest)?);
    }
    Ok(Parsed {
        keyframe,
        nanos,
        parts,
    })
}

/// Reads extensions; gives the packet type behind them and the nanoseconds that one may hold.
fn mod_ex(cursor: &mut Cursor<'_>, first_type: u8) -> Result<(u8, u32), Error> {
    let mut packet_type = first_type;
    let mut nanos = 0;
    for _ in 0..MAX_MOD_EX {
        if packet_type != MOD_EX {
            return Ok((packet_type, nanos));
        }
        let [short] = cursor.array()?;
        let mut len = usize::from(short) + 1;
        if len == 256 {
            len = usize::from(u16::from_be_bytes(cursor.array()?)) + 1;
        }
        let data = cursor.take(len)?;
        let [byte] = cursor.array()?;
        packet_type = byte & 0x0f;
        if byte >> 4 == TIMESTAMP_OFFSET_NANO
            && let [a, b, c, ..] = *data
        {
            // The specification allows up to 999 999: less than a millisecond.
            nanos = u32::from_be_bytes([0, a, b, c]).min(999_999);
        }
    }
    if packet_type == MOD_EX {
        return Err(Error::ManyExtensions { kind: cursor.kind });
    }
    Ok((packet_type, nanos))
}

fn part<'a>(
    kind: Kind,
    track: u8,
    fourcc: FourCc,
    packet_type: u8,
    data: &'a [u8],
) -> Result<Part<'a>, Error> {
    let codec = fourcc.codec(kind);
    let mut cursor = Cursor {
        kind,
        len: data.len(),
        rest: data,
    };
    let packet = match (kind, packet_type) {
        (_, 0) => Packet::Config,
        (_, 2) => Packet::End,
        (Kind::Audio, 1) => Packet::Frame { offset_ms: 0 },
        (Kind::Video, 1) => Packet::Frame {
            offset_ms: match codec {
                Ok(Codec::H264 | Codec::H265) => cursor.signed_24()?,
                _ => 0,
            },
        },
        (Kind::Video, 3) => Packet::Frame { offset_ms: 0 },
        (_, 4) => Packet::Other,
        (Kind::Video, 5) => return Err(Error::MpegTs),
        (kind, packet_type) => return Err(Error::PacketType { kind, packet_type }),
    };
    Ok(Part {
        track,
        codec,
        packet,
        data: cursor.rest,
    })
}

struct Cursor<'a> {
    kind: Kind,
    len: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn short(&self) -> Error {
        Error::Short {
            kind: self.kind,
            len: self.len,
        }
    }

    fn packet_type(&self, packet_type: u8) -> Error {
        Error::PacketType {
            kind: self.kind,
            packet_type,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*array)
    }

    fn unsigned_24(&mut self) -> Result<usize, Error> {
        let [a, b, c] = self.array()?;
        Ok(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    fn signed_24(&mut self) -> Result<i32, Error> {
        let [a, b, c] = self.array()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
