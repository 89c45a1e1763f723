//! Pushes of rooms to other servers, and pulls from other servers into rooms.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ParticipantId, RestreamId, RoomId, Timestamp};

/// How far a push or pull has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestreamState {
    /// A push waits for somebody to publish; a pull on demand for somebody to watch.
    Waiting,
    /// The other end is being connected to.
    Connecting,
    /// Media flows.
    Live,
    /// The last try failed; another one follows.
    Retrying,
}

/// How a push or pull fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestreamStatus {
    /// How far it has come.
    pub state: RestreamState,
    /// Since when that holds.
    pub since: Timestamp,
    /// Why the last try failed, or what is missing while media flows; for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When the next try begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
}

/// A target that a room is sent to whenever somebody publishes in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Push {
    /// Its name.
    pub id: RestreamId,
    /// The room.
    pub room: RoomId,
    /// Where to, without what is secret in it.
    pub url: String,
    /// Whether the configuration file has it; such a one is removed there only.
    pub configured: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it fares.
    pub status: RestreamStatus,
}

/// `GET /rooms/{room}/pushes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushList {
    /// The room's pushes.
    pub pushes: Vec<Push>,
}

/// `POST /rooms/{room}/pushes`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePush {
    /// `rtmp://host/app/stream-key`, `rtmps://host/app/stream-key` or
    /// `srt://host:port?streamid=...&passphrase=...&latency=120` (milliseconds).
    #[schema(example = "rtmps://live.example.com/app/stream-key")]
    pub url: String,
    /// Sends Opus as it is to an SRT target. By default it becomes AAC, which more servers take.
    #[serde(default)]
    pub keep_opus: bool,
}

/// A source whose stream comes into a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pull {
    /// Its name.
    pub id: RestreamId,
    /// The room.
    pub room: RoomId,
    /// Where from, without what is secret in it.
    pub url: String,
    /// As whom it publishes.
    pub participant: ParticipantId,
    /// Whether it runs only while somebody watches.
    pub on_demand: bool,
    /// Whether the configuration file has it; such a one is removed there only.
    pub configured: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it fares.
    pub status: RestreamStatus,
}

/// `GET /rooms/{room}/pulls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullList {
    /// The room's pulls.
    pub pulls: Vec<Pull>,
}

/// `POST /rooms/{room}/pulls`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePull {
    /// `rtmp://host/app/stream`, `rtmps://host/app/stream`,
    /// `rtsp://user:password@host:554/path` (also `rtsps://`; `?transport=udp` has media come beside
    /// the connection), `srt://host:port?streamid=...&passphrase=...&latency=120` (milliseconds),
    /// `https://:token@host/whep/room` (WHEP; also `http://`, the token only where one is needed), or
    /// `file:name.ts` (also `.flv`) in the server's folder for such files, which is played in a
    /// loop.
    #[schema(example = "srt://encoder.example.com:9000?streamid=read:studio")]
    pub url: String,
    /// Runs only while somebody watches or waits.
    #[serde(default)]
    pub on_demand: bool,
    /// As whom it publishes; by default a name made from the source.
    #[serde(default)]
    pub participant: Option<ParticipantId>,
}

impl std::fmt::Debug for CreatePush {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatePush").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CreatePull {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatePull")
            .field("on_demand", &self.on_demand)
            .finish_non_exhaustive()
    }
}
