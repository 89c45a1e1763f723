//! What the control API's event stream tells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    CloseCause, Direction, Door, ParticipantId, RoomId, RoomKind, SessionId, SessionState,
    Timestamp, Warning,
};

/// One event: its number, its time, its room and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiEvent {
    /// Grows by one; the `id:` of the event stream.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Where it happened.
    pub room: RoomId,
    /// What happened.
    #[serde(flatten)]
    pub what: RoomEvent,
}

/// What happened in a room; the tag is the `event:` of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event")]
pub enum RoomEvent {
    /// The room came to be.
    #[serde(rename = "room.created")]
    RoomCreated {
        /// What it is for.
        kind: RoomKind,
        /// Whether it survives a restart.
        configured: bool,
    },
    /// The room is gone.
    #[serde(rename = "room.closed")]
    RoomClosed,
    /// Media began to flow.
    #[serde(rename = "room.live")]
    RoomLive {
        /// Since when the room counts as live.
        since: Timestamp,
    },
    /// Media stopped.
    #[serde(rename = "room.offline")]
    RoomOffline,
    /// The room shows what stands in for its publisher.
    #[serde(rename = "fallback.began")]
    FallbackBegan,
    /// What stood in for the publisher is shown no more.
    #[serde(rename = "fallback.ended")]
    FallbackEnded,
    /// A participant has its first session.
    #[serde(rename = "participant.joined")]
    ParticipantJoined {
        /// Who.
        participant: ParticipantId,
    },
    /// A participant has no session left.
    #[serde(rename = "participant.left")]
    ParticipantLeft {
        /// Who.
        participant: ParticipantId,
    },
    /// A session was accepted.
    #[serde(rename = "session.started")]
    SessionStarted {
        /// Its number.
        session: SessionId,
        /// Whose it is.
        participant: ParticipantId,
        /// Protocol that it came through.
        door: Door,
        /// Which way its media goes.
        direction: Direction,
    },
    /// A session connected, lost contact or found it again.
    #[serde(rename = "session.state")]
    SessionState {
        /// Its number.
        session: SessionId,
        /// Whose it is.
        participant: ParticipantId,
        /// Where it stands now.
        state: SessionState,
    },
    /// A session is gone.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// Its number.
        session: SessionId,
        /// Whose it was.
        participant: ParticipantId,
        /// Why.
        reason: CloseCause,
    },
    /// Tracks, codecs or layers of a participant changed; ask for the room to see them.
    #[serde(rename = "publication.changed")]
    PublicationChanged {
        /// Who publishes.
        participant: ParticipantId,
    },
    /// The number of viewers changed; told at most once a second per room.
    #[serde(rename = "viewers.changed")]
    ViewersChanged {
        /// How many watch.
        viewers: u32,
    },
    /// A publication has a fault that its publisher should know.
    #[serde(rename = "warning")]
    Warning {
        /// Who publishes.
        participant: ParticipantId,
        /// What is wrong.
        warning: Warning,
    },
}

impl RoomEvent {
    /// The name on the event stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RoomCreated { .. } => "room.created",
            Self::RoomClosed => "room.closed",
            Self::RoomLive { .. } => "room.live",
            Self::RoomOffline => "room.offline",
            Self::FallbackBegan => "fallback.began",
            Self::FallbackEnded => "fallback.ended",
            Self::ParticipantJoined { .. } => "participant.joined",
            Self::ParticipantLeft { .. } => "participant.left",
            Self::SessionStarted { .. } => "session.started",
            Self::SessionState { .. } => "session.state",
            Self::SessionEnded { .. } => "session.ended",
            Self::PublicationChanged { .. } => "publication.changed",
            Self::ViewersChanged { .. } => "viewers.changed",
            Self::Warning { .. } => "warning",
        }
    }
}
