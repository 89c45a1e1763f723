//! What the control API shows: rooms, participants, sessions and publications.
//!
//! Numbers stay below 2^53, so that JavaScript reads them exactly; times are RFC 3339 in UTC;
//! what is not known is absent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ParticipantId, RoomId, SessionId, Timestamp};

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoomKind {
    /// One publisher and any number of viewers.
    #[default]
    Broadcast,
    /// Many publishers.
    Call,
}

/// Protocol that a session came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// WHIP (RFC 9725).
    Whip,
    /// WHEP (draft-ietf-wish-whep).
    Whep,
    /// RTMP and Enhanced RTMP, plain or over TLS.
    Rtmp,
    /// RTSP, its media over TCP or UDP.
    Rtsp,
    /// SRT.
    Srt,
    /// FTL.
    Ftl,
    /// MPEG transport stream over UDP.
    Udp,
    /// HLS.
    Hls,
    /// A stream that the server itself pulls from elsewhere.
    Pull,
    /// Pulled from another server over WHEP.
    Relay,
    /// What stands in for a publisher that is gone.
    Fallback,
}

impl Door {
    /// The word in logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
            Self::Rtmp => "rtmp",
            Self::Rtsp => "rtsp",
            Self::Srt => "srt",
            Self::Ftl => "ftl",
            Self::Udp => "udp",
            Self::Hls => "hls",
            Self::Pull => "pull",
            Self::Relay => "relay",
            Self::Fallback => "fallback",
        }
    }
}

/// Which way a session's media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the server.
    Publish,
    /// From the server.
    Subscribe,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Connected, and nobody publishes what it watches.
    Waiting,
    /// ICE or DTLS is not done yet.
    Connecting,
    /// ICE and DTLS are up.
    Connected,
    /// ICE lost contact and may find it again.
    Reconnecting,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseCause {
    /// The client asked for it.
    Asked,
    /// An operator ended the session or its room, or withdrew its key.
    Kicked,
    /// The client closed its connection.
    Remote,
    /// No connection came about in time.
    NeverConnected,
    /// Contact was lost and not found again.
    ConnectionLost,
    /// A newer session of the same publisher took over.
    TakenOver,
    /// The publisher stayed away longer than the grace period.
    PublisherGone,
    /// What is published cannot be shown to the viewer.
    Unplayable,
    /// Something in the session's own protocol state failed.
    Failed,
    /// The server is stopping.
    Drained,
}

/// What carries a session's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// ICE-TCP (RFC 6544).
    Tcp,
}

/// What a publisher or operator should know about a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Frames are coded out of presentation order.
    BFrames,
    /// Keyframes are too far apart.
    KeyframeInterval,
    /// There is video and no sound.
    NoAudio,
    /// Packets are lost between the publisher and the server.
    Loss,
    /// The encoder's clock and the server's run apart.
    ClockDrift,
    /// Something that the encoder sends is not carried.
    Unsupported,
    /// It is not recorded, or no longer, where it should be.
    Recording,
}

/// A warning about a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// What was seen and what would be right.
    pub message: String,
}

/// The one container: everything that is published or watched is in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Its name.
    pub id: RoomId,
    /// What it is for.
    pub kind: RoomKind,
    /// Number of a keyed room, for protocols that need one (FTL).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<u32>,
    /// Whether publishing needs a stream key or a token.
    pub keyed: bool,
    /// Whether it was made by the API and survives a restart.
    pub configured: bool,
    /// Whether media flows now.
    pub live: bool,
    /// Sessions that watch now.
    pub viewers: u32,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it went live; a publisher's reconnect within the grace period does not reset it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live_since: Option<Timestamp>,
    /// Since when it shows what stands in for its publisher; absent while it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback_since: Option<Timestamp>,
    /// Who is in it.
    pub participants: Vec<Participant>,
    /// What is wrong with its publications.
    pub warnings: Vec<Warning>,
    /// Where it comes from, where it is relayed from another server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relay: Option<Relay>,
}

/// Another server that a room is relayed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Relay {
    /// Host of the origin, and its port where it is not the usual one.
    pub origin: String,
    /// How far it is.
    pub state: RelayState,
    /// Why it does not flow, while it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// How far a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayState {
    /// The origin is being asked, or media is on its way.
    Connecting,
    /// A session with the origin stands.
    Connected,
    /// The origin refused or was lost; it is asked again in a while.
    Waiting,
}

impl Room {
    /// The form for readers without the right to administer: who publishes what, no sessions,
    /// no addresses, no viewers' names, no number.
    #[must_use]
    pub fn reduced(mut self) -> Self {
        self.number = None;
        self.relay = None;
        self.warnings.clear();
        self.participants
            .retain(|participant| participant.publishing);
        for participant in &mut self.participants {
            participant.sessions.clear();
        }
        self
    }
}

/// Anyone or anything in a room; survives reconnects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Participant {
    /// Its name within the room.
    pub id: ParticipantId,
    /// Whether it has a publishing session or is about to reconnect one.
    pub publishing: bool,
    /// Its live sessions.
    pub sessions: Vec<Session>,
    /// What it publishes, one per track.
    pub publications: Vec<Publication>,
}

/// One live connection of a participant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its number on this node.
    pub id: SessionId,
    /// Whose it is.
    pub participant: ParticipantId,
    /// Protocol that it came through.
    pub door: Door,
    /// Which way its media goes.
    pub direction: Direction,
    /// Where it stands.
    pub state: SessionState,
    /// When it was made.
    pub since: Timestamp,
    /// Address and port of the media, else of the request that made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<String>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_agent: Option<String>,
    /// What carries the media, once known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transport: Option<Transport>,
    /// Live figures, refreshed every second.
    pub stats: SessionStats,
}

/// One session's live figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionStats {
    /// Round-trip time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip_ms: Option<f64>,
    /// Bits per second received.
    pub bitrate_in: u64,
    /// Bits per second sent.
    pub bitrate_out: u64,
    /// Share of packets lost on the media's way, 0 to 1.
    pub loss: f32,
    /// Packets asked for again.
    pub nacks: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
    /// Bandwidth estimate towards a viewer in bits per second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimate: Option<u64>,
    /// Simulcast id that a viewer receives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rid: Option<String>,
    /// Highest spatial layer that a viewer receives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spatial: Option<u8>,
    /// Highest temporal layer that a viewer receives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temporal: Option<u8>,
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

/// A track's presence in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Publication {
    /// Audio or video.
    pub kind: MediaKind,
    /// Codec as in SDP (`H264`, `opus`), once a packet came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub codec: Option<String>,
    /// Share of packets lost on the way to the server, 0 to 1.
    pub loss: f32,
    /// Layers, lowest first; one without simulcast.
    pub layers: Vec<Layer>,
}

/// One layer of a publication.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    /// Simulcast id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rid: Option<String>,
    /// Picture width in pixels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub width: Option<u32>,
    /// Picture height in pixels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub height: Option<u32>,
    /// Frames per second.
    pub frames_per_second: f32,
    /// Bits per second.
    pub bitrate: u64,
    /// Milliseconds between the last two keyframes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyframe_interval_ms: Option<u64>,
    /// Whether packets arrived within the last two seconds.
    pub active: bool,
    /// Spatial layers inside the stream (SVC), at least 1.
    pub spatial_layers: u8,
    /// Temporal layers inside the stream, at least 1.
    pub temporal_layers: u8,
}
