//! Tags and the tracks that they belong to.

use crate::Kind;

/// What a tag holds; the numbers are those of RTMP's message types too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagType {
    /// Sound, 8.
    Audio,
    /// Picture, 9.
    Video,
    /// Script data in AMF0, 18: metadata.
    Data,
}

impl TagType {
    /// The type of a number; `None` for numbers that no tag has.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Data),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Data => 18,
        }
    }
}

impl From<Kind> for TagType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => Self::Audio,
            Kind::Video => Self::Video,
        }
    }
}

/// A track of one publication: sound and picture are numbered apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Track {
    /// Sound or picture.
    pub kind: Kind,
    /// The number of Enhanced RTMP's multitrack; 0 is the one that clients without multitrack
    /// send and play.
    pub id: u8,
}

impl Track {
    /// The first track of sound.
    pub const AUDIO: Self = Self {
        kind: Kind::Audio,
        id: 0,
    };
    /// The first track of pictures.
    pub const VIDEO: Self = Self {
        kind: Kind::Video,
        id: 0,
    };
}

/// A tag to be sent or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it holds.
    pub tag_type: TagType,
    /// Decoding time in milliseconds; wraps.
    pub timestamp: u32,
    /// The body, without the header of eleven bytes that files have.
    pub body: Vec<u8>,
}
