//! The state as the control API shows it.

use inver_proto::{
    Direction, Participant, ParticipantId, Publication, Room, RoomId, Session, SessionId,
    SessionStats, SourceId, Transport, Warning, WarningKind,
};

use crate::state::{ParticipantState, RoomState, SessionState, Source};
use crate::{Control, Refusal, Secret, rooms::no_room};

/// What the data plane measured of one session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionFigures {
    /// Live figures.
    pub stats: SessionStats,
    /// Address and port that media comes from or goes to.
    pub remote: Option<String>,
    /// What carries the media.
    pub transport: Option<Transport>,
}

/// What the data plane measured, looked up while a view is made.
pub trait Figures {
    /// One session's figures.
    fn session(&self, session: SessionId) -> Option<SessionFigures>;

    /// What arrives at a source, one per track.
    fn publications(&self, source: SourceId) -> Vec<Publication>;
}

/// No figures: for views of the state alone.
impl Figures for () {
    fn session(&self, _: SessionId) -> Option<SessionFigures> {
        None
    }

    fn publications(&self, _: SourceId) -> Vec<Publication> {
        Vec::new()
    }
}

impl Control {
    /// All rooms, by name.
    pub fn rooms(&self, figures: &dyn Figures) -> Vec<Room> {
        self.rooms
            .values()
            .map(|room| self.view(room, figures))
            .collect()
    }

    /// One room.
    pub fn room(&self, room: &RoomId, figures: &dyn Figures) -> Result<Room, Refusal> {
        let state = self.rooms.get(room).ok_or_else(|| no_room(room))?;
        Ok(self.view(state, figures))
    }

    /// Rooms with media now, and viewers in all rooms.
    pub fn totals(&self) -> (u32, u32) {
        self.rooms.values().fold((0, 0), |(live, viewers), room| {
            (
                live + u32::from(room.live),
                viewers.saturating_add(room.audience()),
            )
        })
    }

    fn view(&self, room: &RoomState, figures: &dyn Figures) -> Room {
        let sources = || room.sources.iter().filter_map(|id| self.sources.get(id));
        let participants = room.participants.iter();
        let participants = participants.filter_map(|(id, who)| self.who(id, who, figures));
        Room {
            id: room.id.clone(),
            kind: room.kind,
            number: room.number,
            keyed: room.keyed,
            configured: room.configured,
            live: room.live,
            viewers: room.audience(),
            created_at: room.created_at,
            live_since: room.live_since,
            fallback_since: room.fallback_since,
            participants: participants.collect(),
            warnings: sources()
                .flat_map(|source| source.warnings.iter().cloned())
                .collect(),
            relay: None,
        }
    }

    /// `None` for a participant that viewers wait for and that is not here.
    fn who(
        &self,
        id: &ParticipantId,
        who: &ParticipantState,
        figures: &dyn Figures,
    ) -> Option<Participant> {
        let taken = |source: &SourceId| self.sources.get(source).is_some_and(Source::is_taken);
        let source = who.source.filter(taken);
        if source.is_none() && who.sessions.is_empty() {
            return None;
        }
        let sessions = who.sessions.iter().filter_map(|id| self.sessions.get(id));
        Some(Participant {
            id: id.clone(),
            publishing: source.is_some(),
            sessions: sessions
                .map(|session| self.session_view(session, figures))
                .collect(),
            publications: source
                .map(|id| figures.publications(id))
                .unwrap_or_default(),
        })
    }

    fn session_view(&self, session: &SessionState, figures: &dyn Figures) -> Session {
        let measured = figures.session(session.id).unwrap_or_default();
        let state = self.session_state(session.id);
        Session {
            id: session.id,
            participant: session.participant.clone(),
            door: session.door,
            direction: session.direction,
            state: state.unwrap_or(inver_proto::SessionState::Connecting),
            since: session.since,
            remote: measured.remote.or_else(|| session.remote.clone()),
            user_agent: session.user_agent.clone(),
            transport: measured.transport,
            stats: measured.stats,
        }
    }

    /// The source that a session feeds or gets.
    pub fn source_of(&self, session: SessionId) -> Option<SourceId> {
        self.sessions.get(&session).map(|session| session.source)
    }

    /// How many watch a room, connected or not, or wait in it for its publisher.
    pub fn wanted_by(&self, room: &RoomId) -> usize {
        self.rooms.get(room).map_or(0, RoomState::taken)
    }

    /// Whether viewers of a room are let in now: somebody publishes, or may come back.
    pub fn takes_viewers(&self, room: &RoomId) -> bool {
        let stage = self.rooms.get(room).and_then(|state| state.stage);
        let source = stage.and_then(|stage| self.sources.get(&stage));
        source.is_some_and(|source| source.session.is_some() || source.grace_until.is_some())
    }

    /// Encrypts a secret for the store; it opens again at the same place only. Places with `//`
    /// are nobody else's.
    pub fn seal(&mut self, place: &str, secret: &Secret) -> Vec<u8> {
        self.vault.seal_text(&mut *self.entropy, place, secret)
    }

    /// Decrypts what [`Self::seal`] gave; `None` where the store or the server's secret changed.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Option<Secret> {
        self.vault.open_text(place, sealed)
    }

    /// What a participant of a room publishes or is about to publish again; without a participant
    /// what the room shows. `None`: nothing.
    pub fn published(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Option<(ParticipantId, SourceId)> {
        let state = self.rooms.get(room)?;
        let wanted = |id: &SourceId| {
            let source = self.sources.get(id)?;
            let owner = source.participant.clone()?;
            let fits = source.is_taken() && participant.is_none_or(|who| *who == owner);
            fits.then_some((owner, *id))
        };
        match participant {
            None => state.stage.as_ref().and_then(wanted),
            Some(_) => state.sources.iter().find_map(wanted),
        }
    }

    /// Whether a source was found to send pictures out of order (B-frames).
    pub fn sends_b_frames(&self, source: SourceId) -> bool {
        let source = self.sources.get(&source);
        source.is_some_and(|source| {
            let mut warnings = source.warnings.iter();
            warnings.any(|warning| warning.kind == WarningKind::BFrames)
        })
    }

    /// What a publisher's session is known for; `None` once it is gone.
    pub fn publisher(&self, session: SessionId) -> Option<Publisher> {
        let state = self.sessions.get(&session)?;
        let source = self.sources.get(&state.source)?;
        let fed_by_it = source.session == Some(session);
        Some(Publisher {
            source: state.source,
            user_agent: state.user_agent.clone(),
            viewers: self.rooms.get(&state.room).map_or(0, RoomState::audience),
            warnings: source
                .warnings
                .iter()
                .filter(|_| fed_by_it)
                .cloned()
                .collect(),
        })
    }

    /// Sessions by direction and whether they are connected, for the metrics.
    pub fn session_counts(&self) -> SessionCounts {
        let mut counts = SessionCounts::default();
        for session in self.sessions.values() {
            match session.direction {
                _ if session.half_open => counts.connecting += 1,
                Direction::Publish => counts.publishing += 1,
                Direction::Subscribe => counts.subscribing += 1,
            }
        }
        counts
    }
}

/// What a publisher's session is known for, beside its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// What it feeds.
    pub source: SourceId,
    /// What its program calls itself.
    pub user_agent: Option<String>,
    /// How many watch its room.
    pub viewers: u32,
    /// What it should change.
    pub warnings: Vec<Warning>,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Not connected yet, either direction.
    pub connecting: usize,
    /// Connected publishers.
    pub publishing: usize,
    /// Connected viewers.
    pub subscribing: usize,
}
