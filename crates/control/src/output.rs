//! What control wants done and what it tells.

use std::net::IpAddr;
use std::time::Duration;

use inver_proto::{
    ApiEvent, CloseCause, Door, ParticipantId, RoomId, SessionId, SourceId, Timestamp,
};

use crate::record::Change;

/// Something that leaves control after a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The shell is to do this.
    Command(Command),
    /// Readers of the control API's event stream get this.
    Event(ApiEvent),
    /// Services outside are told this.
    Happened(Happening),
    /// These sessions' event streams get this.
    Signal {
        /// Whose.
        sessions: Vec<SessionId>,
        /// What.
        signal: Signal,
    },
}

/// What the shell does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ends a session in the data plane; control has forgotten it already.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        cause: CloseCause,
    },
    /// Gives a viewer another source.
    SwitchSource {
        /// Which viewer.
        session: SessionId,
        /// What it gets.
        source: SourceId,
    },
    /// Drops a source that nobody feeds or watches.
    ForgetSource {
        /// Which.
        source: SourceId,
    },
    /// Shows what stands in for a room's publisher, or ends that.
    Fallback {
        /// Which room.
        room: RoomId,
        /// Whether it is wanted.
        wanted: bool,
    },
    /// Writes something that may be late or lost, such as a key's last use.
    Note(Change),
}

/// What a session's event stream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Media flows.
    Active,
    /// No media flows.
    Inactive,
    /// The tracks or layers of the session's source are others than before.
    LayersChanged,
    /// How many watch the room.
    Viewers(u32),
    /// The client should make a new session elsewhere or later.
    Reconnect {
        /// How long to wait at least.
        after: Duration,
    },
    /// The session is over.
    Ended(CloseCause),
}

/// What happened to a session, with all that services outside are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub what: What,
    /// When.
    pub at: Timestamp,
    /// To which session.
    pub session: SessionId,
    /// What it feeds or gets.
    pub source: SourceId,
    /// Where.
    pub room: RoomId,
    /// The room's number, where it has one.
    pub number: Option<u32>,
    /// Whose session it is.
    pub participant: ParticipantId,
    /// Protocol that it came through.
    pub door: Door,
    /// Address that it came from.
    pub address: Option<IpAddr>,
}

/// The turns in a session's life that services outside hear of, at most one beginning and, after
/// it, one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A publisher's media flows.
    Published,
    /// A publisher that was told of is gone.
    Unpublished {
        /// How long it was there.
        lasted: Duration,
        /// Why it is gone.
        cause: CloseCause,
    },
    /// A viewer is connected.
    Read,
    /// A viewer that was told of is gone.
    Unread {
        /// How long it was there.
        lasted: Duration,
        /// Why it is gone.
        cause: CloseCause,
    },
}
