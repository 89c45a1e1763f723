//! What control wants done and what it tells.

use std::time::Duration;

use inver_proto::{ApiEvent, CloseCause, SessionId, SourceId};

use crate::record::Change;

/// Something that leaves control after a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The shell is to do this.
    Command(Command),
    /// Readers of the control API's event stream get this.
    Event(ApiEvent),
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
