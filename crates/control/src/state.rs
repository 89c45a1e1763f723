//! Rooms, sources and sessions as control remembers them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use inver_proto::{
    Direction, Door, KeyId, ParticipantId, RoomId, RoomKind, SessionId, SourceId, Timestamp,
    Warning,
};

use crate::half_open::Prefix;
use crate::record::{KeyRecord, RoomRecord};
use crate::speaker::Speaker;
use crate::{Now, SessionToken};

/// One room.
#[derive(Debug)]
pub(crate) struct RoomState {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) keyed: bool,
    pub(crate) configured: bool,
    pub(crate) number: Option<u32>,
    pub(crate) wait_for_publisher: bool,
    pub(crate) max_viewers: Option<u32>,
    pub(crate) created_at: Timestamp,
    /// Whether media of any of its sources flows.
    pub(crate) live: bool,
    pub(crate) live_since: Option<Timestamp>,
    /// Since when its publisher's place is filled by what stands in for it.
    pub(crate) fallback_since: Option<Timestamp>,
    /// Viewers that are connected.
    pub(crate) viewers: u32,
    /// Players without a session, as the door that serves them counts them.
    pub(crate) players: u32,
    /// Sessions that watch, connected or not.
    pub(crate) subscribers: usize,
    /// The count that was last told, and whether a timer will tell the next one.
    pub(crate) viewers_told: u32,
    pub(crate) viewers_due: bool,
    /// When the count was last told.
    pub(crate) viewers_told_at: Option<Duration>,
    /// Everyone with a session or a publication.
    pub(crate) participants: BTreeMap<ParticipantId, ParticipantState>,
    /// What a viewer of the room as a whole gets: in a broadcast its only source, in a call the
    /// speaker's, or one without a publisher where viewers wait.
    pub(crate) stage: Option<SourceId>,
    /// All sources, the stage's included.
    pub(crate) sources: BTreeSet<SourceId>,
    /// Who speaks, in a call.
    pub(crate) speaker: Speaker,
    /// Stream keys, oldest first.
    pub(crate) keys: Vec<KeyRecord>,
}

impl RoomState {
    /// A room that lives as long as somebody is in it.
    pub(crate) fn passing(id: RoomId, kind: RoomKind, now: Now) -> Self {
        Self::from_record(
            RoomRecord {
                id,
                kind,
                number: None,
                keyed: false,
                wait_for_publisher: false,
                max_viewers: None,
                created_at: now.wall,
            },
            false,
        )
    }

    pub(crate) fn from_record(record: RoomRecord, configured: bool) -> Self {
        Self {
            id: record.id,
            kind: record.kind,
            keyed: record.keyed,
            configured,
            number: record.number,
            wait_for_publisher: record.wait_for_publisher,
            max_viewers: record.max_viewers,
            created_at: record.created_at,
            live: false,
            live_since: None,
            fallback_since: None,
            viewers: 0,
            players: 0,
            subscribers: 0,
            viewers_told: 0,
            viewers_due: false,
            viewers_told_at: None,
            participants: BTreeMap::new(),
            stage: None,
            sources: BTreeSet::new(),
            speaker: Speaker::default(),
            keys: Vec::new(),
        }
    }

    /// All who watch, with a session or without.
    pub(crate) fn audience(&self) -> u32 {
        self.viewers.saturating_add(self.players)
    }

    /// Places that are taken, also by those who wait or connect.
    pub(crate) fn taken(&self) -> usize {
        let players = usize::try_from(self.players).unwrap_or(usize::MAX);
        self.subscribers.saturating_add(players)
    }
}

/// One participant of a room.
#[derive(Debug, Default)]
pub(crate) struct ParticipantState {
    pub(crate) sessions: BTreeSet<SessionId>,
    /// What it publishes or is about to publish again.
    pub(crate) source: Option<SourceId>,
}

/// One place where media enters.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) room: RoomId,
    /// Who publishes here, or did and may come back; nobody where viewers wait for anyone.
    pub(crate) participant: Option<ParticipantId>,
    /// Whether that participant was told of as here, and not yet as gone.
    pub(crate) joined: bool,
    /// The session that feeds it.
    pub(crate) session: Option<SessionId>,
    /// A session that the data plane is being asked to let feed it.
    pub(crate) pending: Option<SessionId>,
    /// Whether media flows.
    pub(crate) flowing: bool,
    /// Since when no media flows, where it does not.
    pub(crate) quiet_since: Duration,
    /// Until when the publisher may come back to its viewers.
    pub(crate) grace_until: Option<Duration>,
    /// Whether the publisher left on purpose, so that another may follow at once.
    pub(crate) released: bool,
    /// Whether a publisher's media has flowed since the source was nobody's.
    pub(crate) was_live: bool,
    /// Grows with every publisher that comes, to find the most recent one.
    pub(crate) published: u64,
    pub(crate) subscribers: BTreeSet<SessionId>,
    pub(crate) warnings: Vec<Warning>,
}

impl Source {
    /// Whether somebody publishes here or is about to come back.
    pub(crate) fn is_taken(&self) -> bool {
        self.session.is_some() || self.pending.is_some() || self.grace_until.is_some()
    }
}

/// How far a session's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The data plane has not answered.
    Asked,
    /// Accepted; ICE and DTLS are on their way.
    Connecting,
    Connected,
    Reconnecting,
}

/// One session.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) id: SessionId,
    pub(crate) token: SessionToken,
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    pub(crate) door: Door,
    pub(crate) direction: Direction,
    pub(crate) source: SourceId,
    /// Whether it watches the room's choice and moves with it.
    pub(crate) follows: bool,
    /// Whether it stays where nobody publishes.
    pub(crate) waits: bool,
    /// Whether somebody listens to its signals.
    pub(crate) watched: bool,
    pub(crate) progress: Progress,
    /// Whether it counts as half open.
    pub(crate) half_open: bool,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) since: Timestamp,
    pub(crate) address: Option<IpAddr>,
    pub(crate) remote: Option<String>,
    pub(crate) user_agent: Option<String>,
    /// When others were told that it has begun; nothing of what they never heard of is told to
    /// have ended.
    pub(crate) told: Option<Duration>,
    pub(crate) key: Option<KeyId>,
    /// Entity tag of its ICE session, with quotes.
    pub(crate) etag: String,
    /// The client's ICE user name fragment.
    pub(crate) client_ufrag: Option<String>,
}
