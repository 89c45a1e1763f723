//! What stands in for a room's publisher while that is gone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{RestreamStatus, RoomId, Timestamp};

/// What stands in for the publisher of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fallback {
    /// The room.
    pub room: RoomId,
    /// What is shown, without what is secret in it.
    pub url: String,
    /// How long the publisher has to be gone before it begins, in milliseconds.
    pub after_ms: u64,
    /// How long it goes on at most, in seconds; absent: until the publisher returns.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub longest_seconds: Option<u64>,
    /// Whether it is also there before anybody has published.
    pub always: bool,
    /// Whether the configuration file has it; one that is made by API stands before it.
    pub configured: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it fares; `waiting` while the publisher is there.
    pub status: RestreamStatus,
}

/// `PUT /rooms/{room}/fallback`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFallback {
    /// A picture, `file:name.jpg` (also `.jpeg` and `.png`), or a film, `file:name.ts` (also
    /// `.flv`), in the server's folder for such files; or another source, as a pull can have it:
    /// `rtmp://host/app/stream`, `rtmps://...`, `srt://host:port?...`.
    #[schema(example = "file:slate.png")]
    pub url: String,
    /// How long the publisher has to be gone before it begins, in milliseconds; 2000 by default.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// How long it goes on at most, in seconds; 600 by default, 0 for no end.
    #[serde(default)]
    pub longest_seconds: Option<u64>,
    /// Whether it is also there before anybody has published, and then without an end.
    #[serde(default)]
    pub always: bool,
}

impl std::fmt::Debug for SetFallback {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetFallback")
            .field("after_ms", &self.after_ms)
            .field("longest_seconds", &self.longest_seconds)
            .field("always", &self.always)
            .finish_non_exhaustive()
    }
}
