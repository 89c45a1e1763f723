//! What the control API is asked and what it answers, beside the rooms themselves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{KeyId, Participant, ParticipantId, Room, RoomId, RoomKind, Timestamp};

/// `GET /rooms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoomList {
    /// All rooms that the asker may see, by name.
    pub rooms: Vec<Room>,
}

/// `GET /rooms/{room}/participants`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ParticipantList {
    /// Everyone in the room, by name.
    pub participants: Vec<Participant>,
}

/// `POST /rooms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// Its name; a random one where absent.
    #[serde(default)]
    pub id: Option<RoomId>,
    /// What it is for.
    #[serde(default)]
    pub kind: RoomKind,
    /// Whether publishing needs a key or token; by default on a server that is not open.
    #[serde(default)]
    pub keyed: Option<bool>,
    /// Whether viewers may come before the publisher and wait.
    #[serde(default)]
    pub wait_for_publisher: Option<bool>,
    /// Most viewers at one time; the server's limit where absent.
    #[serde(default)]
    pub max_viewers: Option<u32>,
}

/// A stream key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its public name.
    pub id: KeyId,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// When its secret was made.
    pub created_at: Timestamp,
    /// When somebody last published with it, to the minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_at: Option<Timestamp>,
}

/// `GET /rooms/{room}/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The room's keys, oldest first.
    pub keys: Vec<Key>,
}

/// `POST /rooms/{room}/keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What its owner calls it, at most 100 characters.
    #[serde(default)]
    pub label: Option<String>,
}

/// A stream key with its secret, shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// Its public name.
    pub id: KeyId,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// When its secret was made.
    pub created_at: Timestamp,
    /// The room that it publishes to.
    pub room: RoomId,
    /// The secret: the bearer token of WHIP.
    pub key: String,
    /// `{room}-{key}`: the one-field form for encoders.
    pub stream_key: String,
}

impl std::fmt::Debug for CreatedKey {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey")
            .field("id", &self.id)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// `POST /tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// A room, or `*` (the default) for all of them.
    #[serde(default)]
    pub room: Option<String>,
    /// Whether its bearer may publish.
    #[serde(default)]
    pub publish: bool,
    /// Whether its bearer may watch.
    #[serde(default)]
    pub subscribe: bool,
    /// Whether its bearer may administer the room, or the server where the room is `*`.
    #[serde(default)]
    pub admin: bool,
    /// Participant that its bearer is; any where absent.
    #[serde(default)]
    pub subject: Option<ParticipantId>,
    /// How long it is good; an hour where absent, at most 366 days.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
}

/// A signed token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The JWT (HS256), to be sent as a bearer token.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for CreatedToken {
    /// Leaves the token out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A STUN or TURN server that clients may use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs.
    pub urls: Vec<String>,
    /// User name for TURN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// Password for TURN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    /// Leaves the credential out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// `GET /server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerInfo {
    /// The program's version.
    pub version: String,
    /// Whether everything is allowed without credentials.
    pub open: bool,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// Rooms with media now.
    pub rooms_live: u32,
    /// Sessions that watch now, in all rooms.
    pub viewers: u32,
    /// Where WHIP publishers post, without the room.
    pub whip_url: String,
    /// Where WHEP viewers post, without the room.
    pub whep_url: String,
    /// Whether rooms can be watched over HLS, which does not carry every codec.
    #[serde(default)]
    pub hls: bool,
    /// Ports of the doors for encoders that do not speak WebRTC.
    #[serde(default)]
    pub encoders: EncoderPorts,
    /// STUN and TURN servers for clients.
    pub ice_servers: Vec<IceServer>,
    /// Whether the server is about to stop and takes no new sessions.
    pub draining: bool,
}

/// Ports of the doors for encoders that do not speak WebRTC, on the host of the pages; absent
/// where a door is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EncoderPorts {
    /// RTMP over TCP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmp: Option<u16>,
    /// RTMP over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmps: Option<u16>,
    /// RTSP over TCP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsp: Option<u16>,
    /// SRT over UDP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub srt: Option<u16>,
    /// FTL over TCP and UDP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ftl: Option<u16>,
}

/// An error's body (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI reference that names the kind of problem; `about:blank` where the status says all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong and what would be right.
    pub detail: String,
}
