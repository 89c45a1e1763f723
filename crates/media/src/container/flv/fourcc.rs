//! Names of codecs: the four characters of Enhanced RTMP and the numbers of plain FLV.

use crate::{Codec, Kind};

/// Four characters that name a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// The codecs that Enhanced RTMP can carry here, pictures first.
    pub const KNOWN: [(Self, Codec); 7] = [
        (Self(*b"avc1"), Codec::H264),
        (Self(*b"hvc1"), Codec::H265),
        (Self(*b"av01"), Codec::Av1),
        (Self(*b"vp09"), Codec::Vp9),
        (Self(*b"vp08"), Codec::Vp8),
        (Self(*b"mp4a"), Codec::Aac),
        (Self(*b"Opus"), Codec::Opus),
    ];

    /// The four characters of a codec.
    pub fn of(codec: Codec) -> Self {
        Self(match codec {
            Codec::H264 => *b"avc1",
            Codec::H265 => *b"hvc1",
            Codec::Av1 => *b"av01",
            Codec::Vp9 => *b"vp09",
            Codec::Vp8 => *b"vp08",
            Codec::Aac => *b"mp4a",
            Codec::Opus => *b"Opus",
        })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("????")
    }

    /// The codec, where it is of this kind and can be carried.
    pub(super) fn codec(self, kind: Kind) -> Result<Codec, UnsupportedCodec> {
        let known = Self::KNOWN
            .into_iter()
            .find(|(fourcc, codec)| *fourcc == self && codec.kind() == kind);
        if let Some((_, codec)) = known {
            return Ok(codec);
        }
        let name = match (kind, &self.0) {
            (Kind::Audio, b".mp3") => "MP3".to_owned(),
            (Kind::Audio, b"fLaC") => "FLAC".to_owned(),
            (Kind::Audio, b"ac-3") => "AC-3".to_owned(),
            (Kind::Audio, b"ec-3") => "E-AC-3".to_owned(),
            (Kind::Video, b"vvc1") => "H.266 (VVC)".to_owned(),
            (_, other) => format!("\"{}\"", other.escape_ascii()),
        };
        Err(UnsupportedCodec { kind, name })
    }
}

/// A codec that Inver does not carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} codec {name} is not supported: send {}", accepted(*.kind))]
pub struct UnsupportedCodec {
    /// Sound or picture.
    pub kind: Kind,
    /// Its usual name.
    pub name: String,
}

fn accepted(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "AAC or Opus",
        Kind::Video => "H.264, H.265, AV1, VP9 or VP8",
    }
}

/// The codec of plain FLV's `SoundFormat`.
pub(super) fn sound_format(format: u8) -> Result<Codec, UnsupportedCodec> {
    let name = match format {
        10 => return Ok(Codec::Aac),
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        13 => "Opus in its unofficial numbering (Enhanced RTMP names it \"Opus\")",
        _ => "of an unknown number",
    };
    Err(UnsupportedCodec {
        kind: Kind::Audio,
        name: name.to_owned(),
    })
}

/// The codec of plain FLV's `CodecID`. Twelve is no official number, but cameras and encoders of
/// many makers send H.265 with it, in the same layout as H.264.
pub(super) fn codec_id(id: u8) -> Result<Codec, UnsupportedCodec> {
    let name = match id {
        7 => return Ok(Codec::H264),
        12 => return Ok(Codec::H265),
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 | 6 => "Screen Video",
        4 | 5 => "VP6",
        8 => "H.263",
        9 => "MPEG-4 Part 2",
        13 => "AV1 in its unofficial numbering (Enhanced RTMP names it \"av01\")",
        _ => "of an unknown number",
    };
    Err(UnsupportedCodec {
        kind: Kind::Video,
        name: name.to_owned(),
    })
}
