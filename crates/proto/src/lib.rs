//! Ids and every wire message of the control API.
//!
//! Pure data: parsing, printing and JSON shapes. It never performs I/O, never reads a clock and
//! knows nothing of media.

mod api;
mod events;
mod fallback;
mod ids;
mod pattern;
mod relay;
mod requests;
mod restream;
mod timestamp;

pub use api::{
    CloseCause, Direction, Door, Layer, MediaKind, Participant, Publication, Relay, RelayState,
    Room, RoomKind, Session, SessionState, SessionStats, Transport, Warning, WarningKind,
};
pub use events::{ApiEvent, RoomEvent};
pub use fallback::{Fallback, SetFallback};
pub use ids::{
    KeyId, MAX_NAME, NameError, ParticipantId, RESERVED_ROOMS, RestreamId, RoomId, SessionId,
    SourceId,
};
pub use pattern::{RoomPattern, RoomPatternError};
pub use relay::{MAX_HOPS, NodeId, RELAY_PATH_HEADER, RelayPath, RelayPathError};
pub use requests::{
    CreateKey, CreateRoom, CreateToken, CreatedKey, CreatedToken, EncoderPorts, IceServer, Key,
    KeyList, ParticipantList, Problem, RoomList, ServerInfo,
};
pub use restream::{
    CreatePull, CreatePush, Pull, PullList, Push, PushList, RestreamState, RestreamStatus,
};
pub use timestamp::Timestamp;
