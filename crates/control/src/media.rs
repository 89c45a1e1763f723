//! What the data plane tells, and what follows: states, liveness, warnings, who is on stage.

use inver_proto::{
    CloseCause, Direction, RoomEvent, RoomId, RoomKind, SessionId, SessionState, SourceId, Warning,
    WarningKind,
};

use crate::output::{Command, Signal};
use crate::policy::ANONYMOUS_TAKEOVER;
use crate::state::Progress;
use crate::{Control, Now};

/// Warnings of one publication that are kept; the oldest goes.
const MOST_WARNINGS: usize = 32;

/// A fact from the data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// ICE and DTLS are up.
    Connected(SessionId),
    /// ICE lost contact.
    Disconnected(SessionId),
    /// The session is gone from the data plane.
    Closed(SessionId, CloseCause),
    /// Tracks, codecs or layers of a source are others than before.
    PublicationChanged(SourceId),
    /// Media of a source began to flow, or stopped for two seconds.
    Flowing(SourceId, bool),
    /// Somebody speaks in a source's audio.
    Speaking(SourceId),
    /// A publisher should know this.
    Warned(SessionId, Warning),
}

impl Control {
    /// Takes a fact from the data plane. Facts about sessions and sources that are gone are
    /// late and change nothing.
    pub fn handle_media(&mut self, event: MediaEvent, now: Now) {
        match event {
            MediaEvent::Connected(session) => self.connected(session, now),
            MediaEvent::Disconnected(session) => {
                self.progress(session, Progress::Reconnecting, now);
            }
            MediaEvent::Closed(session, cause) => self.remove_session(session, cause, now),
            MediaEvent::PublicationChanged(source) => self.publication_changed(source, now),
            MediaEvent::Flowing(source, flowing) => self.flowing(source, flowing, now),
            MediaEvent::Speaking(source) => self.speaking(source, now),
            MediaEvent::Warned(session, warning) => self.warned(session, warning, now),
        }
    }

    fn connected(&mut self, session: SessionId, now: Now) {
        self.settle(session);
        self.progress(session, Progress::Connected, now);
        self.tell_begin(session, now);
    }

    fn progress(&mut self, session: SessionId, progress: Progress, now: Now) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let before = state.progress;
        // Losing contact before there was any is still connecting.
        let connected = matches!(before, Progress::Connected | Progress::Reconnecting);
        if before == progress || (progress == Progress::Reconnecting && !connected) {
            return;
        }
        state.progress = progress;
        let (room, participant) = (state.room.clone(), state.participant.clone());
        let direction = state.direction;
        if direction == Direction::Subscribe && !connected {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.viewers += 1;
            }
            self.viewers_changed(&room, now);
        }
        if let Some(state) = self.session_state(session) {
            self.event(
                now,
                &room,
                RoomEvent::SessionState {
                    session,
                    participant,
                    state,
                },
            );
        }
    }

    /// The state that the control API shows.
    pub(crate) fn session_state(&self, session: SessionId) -> Option<SessionState> {
        let session = self.sessions.get(&session)?;
        Some(match session.progress {
            Progress::Asked | Progress::Connecting => SessionState::Connecting,
            Progress::Reconnecting => SessionState::Reconnecting,
            Progress::Connected => {
                let source = self.sources.get(&session.source);
                let fed = source.is_some_and(|source| source.session.is_some());
                match session.direction {
                    Direction::Subscribe if !fed => SessionState::Waiting,
                    Direction::Subscribe | Direction::Publish => SessionState::Connected,
                }
            }
        })
    }

    fn publication_changed(&mut self, source: SourceId, now: Now) {
        let Some(state) = self.sources.get(&source) else {
            return;
        };
        let room = state.room.clone();
        if let Some(participant) = state.participant.clone() {
            self.event(now, &room, RoomEvent::PublicationChanged { participant });
        }
        let watching = self.watching(source);
        self.signal(watching, Signal::LayersChanged);
    }

    fn flowing(&mut self, source: SourceId, flowing: bool, now: Now) {
        let Some(state) = self.sources.get_mut(&source) else {
            return;
        };
        // What still trickles out of the data plane after the publisher left is no news.
        if state.flowing == flowing || (flowing && state.session.is_none()) {
            return;
        }
        state.flowing = flowing;
        if !flowing {
            // The data plane says so after two seconds of silence.
            state.quiet_since = now.elapsed.saturating_sub(ANONYMOUS_TAKEOVER);
        }
        let (room, publisher) = (state.room.clone(), state.session);
        self.refresh_live(&room, now);
        if let Some(publisher) = publisher {
            self.tell_begin(publisher, now);
        }
        let watching = self.watching(source);
        self.signal(
            watching,
            if flowing {
                Signal::Active
            } else {
                Signal::Inactive
            },
        );
    }

    fn warned(&mut self, session: SessionId, warning: Warning, now: Now) {
        let Some(state) = self.sessions.get(&session) else {
            return;
        };
        let (room, participant) = (state.room.clone(), state.participant.clone());
        let Some(source) = self.sources.get_mut(&state.source) else {
            return;
        };
        if source.session != Some(session) {
            return;
        }
        // Of what is not supported there can be several things at once.
        let renews = |known: &Warning| {
            known.kind == warning.kind
                && (warning.kind != WarningKind::Unsupported || known.message == warning.message)
        };
        source.warnings.retain(|known| !renews(known));
        if source.warnings.len() >= MOST_WARNINGS {
            source.warnings.remove(0);
        }
        source.warnings.push(warning.clone());
        tracing::info!(%session, %room, message = warning.message, "publication warned");
        self.event(
            now,
            &room,
            RoomEvent::Warning {
                participant,
                warning,
            },
        );
    }

    fn speaking(&mut self, source: SourceId, now: Now) {
        let Some(state) = self.sources.get(&source) else {
            return;
        };
        if state.session.is_none() {
            return;
        }
        let room = state.room.clone();
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        if state.kind == RoomKind::Call && state.speaker.spoke(source, state.stage, now.elapsed) {
            self.stage(&room, source);
        }
    }

    /// A publisher was accepted. In a call it comes on stage unless somebody speaks there.
    pub(crate) fn publisher_came(&mut self, source: SourceId, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        if state.kind == RoomKind::Broadcast || state.stage == Some(source) {
            return;
        }
        let fed = state
            .stage
            .and_then(|stage| self.sources.get(&stage))
            .is_some_and(|stage| stage.session.is_some());
        if !(fed && state.speaker.stage_speaks(now.elapsed)) {
            self.stage(room, source);
        }
    }

    /// The publisher on stage may have left: the most recent of the others follows.
    pub(crate) fn restage(&mut self, room: &RoomId) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let fed = |id: &SourceId| {
            self.sources
                .get(id)
                .filter(|source| source.session.is_some())
                .map(|s| s.published)
        };
        if state.stage.as_ref().and_then(fed).is_some() {
            return;
        }
        let others = state.sources.iter().filter_map(|id| Some((fed(id)?, *id)));
        if let Some((_, source)) = others.max() {
            self.stage(room, source);
        }
    }

    /// Puts a source on stage: all viewers of the room as a whole move to it.
    fn stage(&mut self, room: &RoomId, source: SourceId) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        let old = state.stage.replace(source);
        state.speaker.staged(source);
        let Some(old) = old.filter(|old| *old != source) else {
            return;
        };
        let followers: Vec<SessionId> = self
            .sources
            .get(&old)
            .map(|source| source.subscribers.iter().copied())
            .into_iter()
            .flatten()
            .filter(|viewer| self.sessions.get(viewer).is_some_and(|s| s.follows))
            .collect();
        for viewer in &followers {
            if let Some(session) = self.sessions.get_mut(viewer) {
                session.source = source;
            }
            if let Some(old) = self.sources.get_mut(&old) {
                old.subscribers.remove(viewer);
            }
            if let Some(new) = self.sources.get_mut(&source) {
                new.subscribers.insert(*viewer);
            }
            self.command(Command::SwitchSource {
                session: *viewer,
                source,
            });
        }
        let active = self
            .sources
            .get(&source)
            .is_some_and(|source| source.flowing);
        let watching: Vec<SessionId> = followers
            .into_iter()
            .filter(|v| self.sessions.get(v).is_some_and(|s| s.watched))
            .collect();
        self.signal(
            watching.clone(),
            if active {
                Signal::Active
            } else {
                Signal::Inactive
            },
        );
        self.signal(watching, Signal::LayersChanged);
        self.forget_source_if_unused(old);
    }
}
