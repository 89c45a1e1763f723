//! A stream in the service's eyes: its name, how it fares, what happens around it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use inver_control::{SystemEntropy, base62};
use inver_proto::{CloseCause, Door, ParticipantId, RoomId, SessionId, Timestamp};
use serde::Serialize;

/// Largest thumbnail in bytes: a 720p JPEG of good quality has about 150 KB.
pub const MAX_THUMBNAIL: usize = 512 * 1024;

/// Longest id in bytes that a service may give a stream: room for two UUIDs with names.
const MAX_ID: usize = 128;

/// Letters of an id of our own: 142 bits.
const OWN_ID_LETTERS: usize = 24;

/// What the service calls a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct StreamId(String);

impl StreamId {
    /// Takes an id of 1 to 128 bytes without control characters.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let fits = !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
        fits.then_some(Self(id))
    }

    /// An id of our own, for services that give none.
    pub(crate) fn own() -> Self {
        Self(base62(&mut SystemEntropy::default(), OWN_ID_LETTERS))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stream that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// What the service calls it.
    pub id: StreamId,
    /// Where it is.
    pub room: RoomId,
}

/// How a stream fares. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Metadata {
    /// Sound codec, such as `opus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_codec: Option<String>,
    /// Picture codec, such as `H264`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_codec: Option<String>,
    /// Picture width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Picture height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Bits per second that arrive, sound and picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u64>,
    /// Pictures per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_second: Option<f32>,
    /// Packets that never arrived, since the stream began.
    pub lost_packets: u64,
    /// Packets that were asked for again, since the stream began.
    pub nack_packets: u64,
    /// Packets that arrived, since the stream began.
    pub received_packets: u64,
    /// Round trip to the publisher in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_ms: Option<u32>,
    /// Maker or name of the encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_name: Option<String>,
    /// Version of the encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_version: Option<String>,
    /// Name of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest_server: Option<String>,
    /// How many watch now.
    pub viewers: u32,
    /// Whole seconds since the stream began.
    #[serde(rename = "duration_seconds", serialize_with = "whole_seconds")]
    pub duration: Duration,
    /// What the publisher should change, such as B-frames, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

fn whole_seconds<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// What a service answers to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// End the stream now.
    End {
        /// Why, fit to show.
        reason: String,
    },
}

/// What happened to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A publisher's media flows.
    Published,
    /// A publisher is gone.
    Unpublished,
    /// A viewer is connected.
    Read,
    /// A viewer is gone.
    Unread,
}

impl EventKind {
    /// The `type` of the message that tells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "publish.started",
            Self::Unpublished => "publish.ended",
            Self::Read => "read.started",
            Self::Unread => "read.ended",
        }
    }
}

/// Something that happened, to be told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// What.
    #[serde(skip)]
    pub kind: EventKind,
    /// When.
    #[serde(skip)]
    pub at: Timestamp,
    /// Where.
    pub room: RoomId,
    /// The room's number, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// To whom.
    pub participant: ParticipantId,
    /// In which session.
    pub session: SessionId,
    /// Through which protocol.
    pub door: Door,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// The stream, where the service has one.
    #[serde(rename = "stream_id", skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// How long it lasted, of what ended.
    #[serde(
        rename = "duration_seconds",
        serialize_with = "maybe_whole_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub duration: Option<Duration>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CloseCause>,
}

fn maybe_whole_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs())
        .serialize(serializer)
}
